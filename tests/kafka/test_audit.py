"""``prefstream audit`` on a real broker: it holds while a worker runs, is killed, stands still, and finds what is planted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from kafka import KafkaAdminClient, TopicPartition
from kafka.structs import OffsetAndMetadata
from typer.testing import CliRunner

from prefstream import cli
from prefstream.audit import Audit
from tests.kafka.conftest import StartFlow
from tests.kafka.worker_process import Engine, Flow, applied, read_all, refused, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

USERS = [f"user-{number}" for number in range(40)]
NUM_SOURCE_PARTITIONS = 2

Write = Callable[[str, int, bytes, bytes | None], None]


def rating(user: str, number: int, **more: str) -> bytes:
    item = {"id": str(number), "title": f"Film {number % 50}"}
    event = {"type": "rating", "user": user, "at": "2026-01-05T20:15:00Z", "domain": "films", "item": item, "value": 4} | more
    return json.dumps(event).encode()


def send_load(flow: Flow, number: int) -> None:
    """An event of each user, one of them in a list of three, a duplicate, and garbage."""
    for user in USERS:
        flow.send("ratings", rating(user, number), applied(user))
    three = b",".join(rating("listed", number) for _ in range(3))
    flow.send("ratings", b"[" + three + b"]", applied(*["listed"] * 3))
    flow.send("ratings", rating("twice", number, id=f"id-{number}"), applied("twice"), key=b"twice")
    flow.send("ratings", rating("twice", number, id=f"id-{number}"), applied(), key=b"twice")
    flow.send("ratings", b"\xff", refused("undecodable"))
    flow.producer.send(flow.names.events, key=b"ada", value=b"written by a stranger")


def audit(flow: Flow, *options: str) -> tuple[int, str]:
    """The exit code of ``prefstream audit``, and what it prints in one line."""
    environment = {"PREFSTREAM_BOOTSTRAP_SERVERS": flow.bootstrap_servers, "PREFSTREAM_NAMESPACE": flow.namespace}
    result = CliRunner().invoke(cli.app, ["audit", *options], env=environment | {"COLUMNS": "160"})
    return result.exit_code, " ".join(result.output.split())


def audit_json(flow: Flow) -> Audit:
    exit_code, output = audit(flow, "--json")
    assert output.startswith("{"), output
    found = msgspec.json.decode(output, type=Audit)
    assert exit_code == {"holds": 0, "broken": 1, "undecided": 2}[found.verdict]
    return found


def assert_found(flow: Flow, words: str, exit_code: int = 1) -> None:
    """The audit comes to this exit code, and names this."""
    found, output = audit(flow)
    assert (found, bool(re.search(words, output))) == (exit_code, True), output


@pytest.fixture(scope="module")
def flow(start_flow: StartFlow, engine: Engine) -> Flow:
    """A flow with a worker on it."""
    flow = start_flow({"ratings": ("native", NUM_SOURCE_PARTITIONS)})
    flow.start_worker(engine.url).await_ready()
    return flow


@pytest.fixture
def write(flow: Flow) -> Write:
    """Puts a record where only a worker may."""

    def send(topic: str, partition: int, key: bytes, value: bytes | None) -> None:
        flow.producer.send(topic, key=key, value=value, partition=partition).get(10)

    return send


@pytest.fixture
def admin(flow: Flow) -> Iterator[KafkaAdminClient]:
    with KafkaAdminClient(bootstrap_servers=flow.bootstrap_servers) as admin:
        yield admin


def test_it_holds_while_a_worker_is_at_work_and_after_it_was_killed(flow: Flow, engine: Engine) -> None:
    audits: list[Audit] = []

    def is_in_motion() -> bool:
        send_load(flow, len(audits))
        audits.append(audit_json(flow))
        return any(account.is_moving and account.applied for account in audits[-1].partitions)

    until("audit in motion", is_in_motion)
    flow.workers[-1].kill()
    audits.append(audit_json(flow))
    flow.start_worker(engine.url).await_ready()
    audits.append(audit_json(flow))
    assert [(found.verdict, found.findings) for found in audits] == [("holds", ())] * len(audits)


def test_at_rest_its_numbers_are_those_of_what_was_sent(flow: Flow) -> None:
    send_load(flow, 1_000_000)
    flow.await_applied()
    until("worker at rest", lambda: flow.workers[-1].metric("prefstream_pending_events") == 0)
    until("standstill", lambda: not any(account.is_moving for account in audit_json(flow).partitions))
    found = audit_json(flow)
    events = flow.ledger.events_by_user
    loads = len(flow.ledger.reasons)
    assert (found.verdict, found.findings) == ("holds", ())
    assert sum(account.accepted for account in found.partitions) == events.total()
    assert sum(account.applied for account in found.partitions) == events.total()
    assert sum(account.duplicate for account in found.partitions) == loads
    assert sum(account.dead for account in found.partitions) == loads
    assert sum(source.met for source in found.sources) == len(flow.ledger.fates)
    assert {source.topic for source in found.sources} == {f"{flow.namespace}-ratings"}
    assert audit(flow)[1].endswith(found.sentence)


def newest(flow: Flow, user: str) -> Any:
    """The record of the user's current summary."""
    return [record for record in read_all(flow.bootstrap_servers, flow.names.summaries) if record.key == user.encode()][-1]


def test_one_event_too_many_is_found_in_its_partition(flow: Flow, write: Write) -> None:
    record = newest(flow, USERS[0])
    summary = json.loads(record.value)
    more = json.dumps(summary | {"num_events": summary["num_events"] + 1}).encode()
    write(record.topic, record.partition, record.key, more)
    assert_found(flow, f"Does not hold: partition {record.partition}: 1 event too many: ")
    write(record.topic, record.partition, record.key, record.value)
    assert audit(flow)[0] == 0


def pending_row(flow: Flow) -> Any:
    """The record of the one event that waits."""
    rows = {record.key: record for record in read_all(flow.bootstrap_servers, flow.names.pending) if record.key[:1] == b"e"}
    (row,) = (record for record in rows.values() if record.value is not None)
    return row


def test_a_pending_event_that_disappears_is_found_in_its_partition(flow: Flow, engine: Engine, write: Write) -> None:
    assert flow.workers[-1].stop() == 0
    flow.start_worker(engine.url, flush_age_seconds=3_600).await_ready()
    flow.send("ratings", rating(USERS[1], 0), applied(USERS[1]))
    until("counted event", lambda: sum(account.pending for account in audit_json(flow).partitions) == 1)
    assert flow.workers[-1].stop() == 0
    row = pending_row(flow)
    write(row.topic, row.partition, row.key, None)
    assert_found(flow, f"Does not hold: partition {row.partition}: 1 event missing: ")
    write(row.topic, row.partition, row.key, row.value)
    assert audit(flow)[0] == 0


def test_a_record_that_was_committed_and_went_nowhere_is_found_in_its_source(flow: Flow, admin: KafkaAdminClient) -> None:
    sent = flow.producer.send(f"{flow.namespace}-ratings", value=rating("ada", 0), partition=1).get(10)
    source = TopicPartition(sent.topic, sent.partition)
    (committed,) = (admin.list_group_offsets({flow.namespace: [source]})[flow.namespace]).values()
    assert committed.offset == sent.offset
    admin.alter_group_offsets(flow.namespace, {source: OffsetAndMetadata(sent.offset + 1, "", -1)})
    assert_found(flow, f"{sent.topic}, partition 1: 1 record is committed and found nowhere: offset {sent.offset}")
    admin.alter_group_offsets(flow.namespace, {source: committed})
    assert audit(flow)[0] == 0


def test_what_was_cut_off_is_said_and_not_taken_for_a_loss(flow: Flow, admin: KafkaAdminClient) -> None:
    cut = next(account for account in audit_json(flow).partitions if account.num_on_topic > 10)
    admin.delete_records({TopicPartition(flow.names.events, cut.partition): 10})
    assert_found(flow, "Cannot be decided: .*what was made of them may have been removed", 2)
    assert {finding.kind for finding in audit_json(flow).findings} == {"undecided"}


def test_a_version_that_goes_back_is_found_in_its_partition(flow: Flow, write: Write) -> None:
    record = newest(flow, USERS[2])
    summary = json.loads(record.value)
    write(record.topic, record.partition, record.key, json.dumps(summary | {"version": summary["version"] - 1}).encode())
    assert_found(flow, f"Does not hold: partition {record.partition}: version {summary['version']} is followed by ")


def test_without_topics_or_broker_nothing_can_be_decided(flow: Flow) -> None:
    nobody = CliRunner().invoke(cli.app, ["audit", "--bootstrap-servers", "127.0.0.1:none"])
    nothing = CliRunner().invoke(cli.app, ["audit", "--bootstrap-servers", flow.bootstrap_servers, "--namespace", "no.such"])
    assert [(nobody.exit_code, "no Kafka broker answers" in nobody.output)] == [(2, True)]
    assert [(nothing.exit_code, "topic no.such.events does not exist" in nothing.output)] == [(2, True)]


def test_before_the_first_event_it_holds(start_flow: StartFlow) -> None:
    assert audit(start_flow({}))[0] == 0
