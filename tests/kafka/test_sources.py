"""Source topics that are not what they were: created again, cut at either end, while a worker is down and while it runs."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.structs import OffsetAndMetadata
from typer.testing import CliRunner

from agents.failstop import EXIT_CODE
from prefstream import cli
from prefstream.admin import create_topics, topic_ids
from prefstream.sources import Mark, decode_mark, encode_mark
from prefstream.topics import topic_specs
from tests.kafka.conftest import StartFlow
from tests.kafka.worker_process import NUM_PARTITIONS, PATIENCE_SECONDS, Engine, Flow, Worker, create_sources, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

USERS = [f"user-{number}" for number in range(10)]


@pytest.fixture
def flow(start_flow: StartFlow) -> Flow:
    return start_flow({"ratings": ("native", 1)})


@pytest.fixture
def admin(bootstrap_servers: str) -> Iterator[KafkaAdminClient]:
    with KafkaAdminClient(bootstrap_servers=bootstrap_servers) as client:
        yield client


def source(flow: Flow) -> str:
    return f"{flow.namespace}-ratings"


def publish(flow: Flow, num_rounds: int) -> None:
    """So many events of each of the ten users, all on the source by then; to a topic of this moment, so with a new producer."""
    with KafkaProducer(bootstrap_servers=flow.bootstrap_servers, acks="all") as producer:
        for number in range(num_rounds):
            for user in USERS:
                item = {"id": str(number), "title": f"Film {number}"}
                event = {"type": "click", "user": user, "at": "2026-01-05T20:15:00Z", "domain": "films", "item": item}
                producer.send(source(flow), json.dumps(event).encode())
        producer.flush()


def has_applied(flow: Flow, num_each: int) -> bool:
    assert any(worker.is_running for worker in flow.workers), flow.workers[-1].last_words()
    flow.summaries.poll()
    return flow.summaries.events_by_user == dict.fromkeys(USERS, num_each)


def await_applied(flow: Flow, num_each: int) -> None:
    until(f"{num_each} applied events of each user", lambda: has_applied(flow, num_each), explain=lambda: progress(flow))


def progress(flow: Flow) -> object:
    return flow.summaries.events_by_user, flow.workers[-1].last_words()


def assert_applied_once(flow: Flow, worker: Worker, num_each: int) -> None:
    """So many events of each user, and no more when the worker has nothing left to do."""
    await_applied(flow, num_each)
    assert worker.stop() == 0
    flow.summaries.read_to_end()
    assert flow.summaries.faults == []
    assert flow.summaries.events_by_user == dict.fromkeys(USERS, num_each)


def read_and_stopped(flow: Flow, engine: Engine, num_rounds: int) -> None:
    """A worker has applied so many events of each user, and is stopped."""
    worker = flow.start_worker(engine.url)
    publish(flow, num_rounds)
    await_applied(flow, num_rounds)
    assert worker.stop() == 0


def refused_start(flow: Flow, engine: Engine) -> str:
    """What a worker says that does not start."""
    worker = flow.start_worker(engine.url)
    assert worker.process.wait(PATIENCE_SECONDS) == 2
    return worker.last_words()


def last_words_of_one_that_stops_itself(worker: Worker) -> str:
    assert worker.process.wait(PATIENCE_SECONDS) == EXIT_CODE
    return worker.last_words()


def create_again(flow: Flow, admin: KafkaAdminClient, topic: str) -> None:
    admin.delete_topics([topic])
    until("end of the topic", lambda: topic not in admin.list_topics())
    if topic == source(flow):
        create_sources(flow.bootstrap_servers, {topic: 1})
    else:
        create_topics(flow.bootstrap_servers, topic_specs(flow.namespace, NUM_PARTITIONS))


def committed(flow: Flow, admin: KafkaAdminClient) -> OffsetAndMetadata | None:
    offsets = admin.list_group_offsets({flow.namespace: None})[flow.namespace]
    found: OffsetAndMetadata | None = offsets.get(TopicPartition(source(flow), 0))
    return found


def commit(flow: Flow, admin: KafkaAdminClient, offset: int, mark: Mark) -> None:
    """Commit as a worker would that ran a moment too long."""
    position = {TopicPartition(source(flow), 0): OffsetAndMetadata(offset, encode_mark(mark), None)}
    assert [error.errno for error in admin.alter_group_offsets(flow.namespace, position).values()] == [0]


def delete_records(flow: Flow, admin: KafkaAdminClient, before: int) -> None:
    admin.delete_records({TopicPartition(source(flow), 0): before})


def sources(flow: Flow, *arguments: str) -> tuple[int, str]:
    return prefstream(flow, "sources", *arguments)


def prefstream(flow: Flow, *arguments: str) -> tuple[int, str]:
    """The exit code of a command, and what it prints, or the error it ends with."""
    environment = {"PREFSTREAM_BOOTSTRAP_SERVERS": flow.bootstrap_servers, "PREFSTREAM_NAMESPACE": flow.namespace}
    result = CliRunner().invoke(cli.app, arguments, env=environment | {"COLUMNS": "160"})
    return result.exit_code, result.output or str(result.exception)


def verdicts(flow: Flow) -> tuple[int, set[str]]:
    """The exit code of ``prefstream sources list``, and its verdicts on the source."""
    exit_code, output = sources(flow, "list", "--json")
    lines = [json.loads(line) for line in output.splitlines()]
    return exit_code, {line["verdict"] for line in lines if line["topic"] == source(flow)}


def test_a_topic_created_again_while_the_worker_is_down(flow: Flow, engine: Engine, admin: KafkaAdminClient) -> None:
    read_and_stopped(flow, engine, 5)
    before = committed(flow, admin)
    assert before is not None
    mark = decode_mark(before.metadata)
    assert (before.offset, mark) == (50, Mark(topic_id=topic_ids(flow.bootstrap_servers, [source(flow)])[source(flow)]))
    create_again(flow, admin, source(flow))
    publish(flow, 8)
    # Kafka drops what is committed of a topic that is deleted; a worker that still ran would commit it again.
    until("dropped offset", lambda: committed(flow, admin) is None)
    assert verdicts(flow) == (0, set())
    commit(flow, admin, before.offset, mark)
    assert verdicts(flow) == (1, {"recreated"})
    new_id = topic_ids(flow.bootstrap_servers, [source(flow)])[source(flow)]
    assert refused_start(flow, engine) == (
        f"prefstream: {source(flow)}: partition 0 is committed up to 50 of the topic with the id {mark.topic_id}, and the "
        f"topic's id is {new_id} now. It was deleted and created again: going on at the old offset would pass over what it has "
        f"now. See `prefstream sources list`, then decide: `prefstream sources accept {source(flow)} [--from beginning|end]`."
    )
    assert sources(flow, "accept", source(flow)) == (0, f"{source(flow)}, partition 0: workers go on at offset 0.\n")
    assert sources(flow, "accept", source(flow)) == (0, f"{source(flow)}: nothing to decide.\n")
    assert verdicts(flow) == (0, {"ok"})
    assert_applied_once(flow, flow.start_worker(engine.url), 5 + 8)


def test_a_topic_created_again_whose_offsets_kafka_dropped_is_simply_read(
    flow: Flow, engine: Engine, admin: KafkaAdminClient
) -> None:
    read_and_stopped(flow, engine, 5)
    create_again(flow, admin, source(flow))
    publish(flow, 8)
    until("dropped offset", lambda: committed(flow, admin) is None)
    assert_applied_once(flow, flow.start_worker(engine.url), 5 + 8)


@pytest.mark.parametrize("num_new", [8, 3], ids=["longer than the old one", "shorter"])
def test_a_topic_created_again_while_the_worker_runs(flow: Flow, engine: Engine, admin: KafkaAdminClient, num_new: int) -> None:
    worker = flow.start_worker(engine.url)
    publish(flow, 5)
    await_applied(flow, 5)
    create_again(flow, admin, source(flow))
    publish(flow, num_new)
    words = last_words_of_one_that_stops_itself(worker)
    assert source(flow) in words
    assert "created again" in words or "is gone" in words
    flow.summaries.read_to_end()
    assert flow.summaries.events_by_user == dict.fromkeys(USERS, 5)
    until("end of its membership", lambda: sources(flow, "accept", source(flow))[0] == 0)
    assert_applied_once(flow, flow.start_worker(engine.url), 5 + num_new)


def test_a_decision_is_refused_while_a_worker_runs(flow: Flow, engine: Engine, admin: KafkaAdminClient) -> None:
    worker = flow.start_worker(engine.url)
    publish(flow, 1)
    await_applied(flow, 1)
    assert worker.stop() == 0
    commit(flow, admin, 10, Mark(topic_id="another"))
    other = KafkaConsumer(
        source(flow), bootstrap_servers=flow.bootstrap_servers, group_id=flow.namespace, enable_auto_commit=False
    )

    def has_joined() -> bool:
        other.poll(timeout_ms=100)
        return bool(admin.describe_groups([flow.namespace])[flow.namespace]["members"])

    until("member", has_joined)
    exit_code, output = sources(flow, "accept", source(flow))
    assert (exit_code, output.startswith(f"1 worker of {flow.namespace} would commit over this: stop all workers")) == (
        1,
        True,
    )
    exit_code, output = sources(flow, "accept", flow.names.inbox)
    assert (exit_code, "stop all workers first" in output) == (1, True), "there is nothing to decide in it, and a worker runs"
    other.close()
    assert sources(flow, "accept", source(flow), "--from", "end") == (
        0,
        f"{source(flow)}, partition 0: workers go on at offset 10.\n",
    )


def test_records_that_expired_while_the_worker_was_down(flow: Flow, engine: Engine, admin: KafkaAdminClient) -> None:
    read_and_stopped(flow, engine, 1)
    publish(flow, 6)
    delete_records(flow, admin, 40)
    assert verdicts(flow) == (0, {"expired"})
    worker = flow.start_worker(engine.url)
    await_applied(flow, 4)
    assert worker.metric("prefstream_expired_records_total", topic=source(flow)) == 30
    assert "records expired before they were read" in worker.log.read_text()
    assert_applied_once(flow, worker, 4)
    found = committed(flow, admin)
    assert found is not None
    assert (found.offset, decode_mark(found.metadata).num_expired) == (70, 30)
    assert verdicts(flow) == (0, {"ok"})
    exit_code, report = prefstream(flow, "audit")
    assert (exit_code, "30 expired before they were read" in report) == (0, True)


def test_records_that_expire_while_the_worker_stands_still(flow: Flow, engine: Engine, admin: KafkaAdminClient) -> None:
    worker = flow.start_worker(engine.url)
    publish(flow, 1)
    await_applied(flow, 1)
    worker.process.send_signal(signal.SIGSTOP)
    publish(flow, 6)
    delete_records(flow, admin, 40)
    worker.process.send_signal(signal.SIGCONT)
    publish(flow, 1)
    await_applied(flow, 1 + 3 + 1)
    assert worker.metric("prefstream_expired_records_total", topic=source(flow)) == 30
    assert_applied_once(flow, worker, 1 + 3 + 1)


def test_a_topic_that_lost_its_end(flow: Flow, engine: Engine, admin: KafkaAdminClient) -> None:
    read_and_stopped(flow, engine, 5)
    found = committed(flow, admin)
    assert found is not None
    commit(flow, admin, 70, decode_mark(found.metadata))
    assert verdicts(flow) == (1, {"beyond end"})
    assert "partition 0 is committed up to 70, and ends at 50. It lost its end" in refused_start(flow, engine)
    exit_code, output = sources(flow, "accept", source(flow), "--from", "beginning")
    assert (exit_code, "decide with --from end" in output) == (1, True)
    assert sources(flow, "accept", source(flow)) == (0, f"{source(flow)}, partition 0: workers go on at offset 50.\n")
    # Offsets 50 to 69 were read in a former life: what is written to them now is new all the same.
    publish(flow, 3)
    assert_applied_once(flow, flow.start_worker(engine.url), 5 + 3)
    exit_code, report = prefstream(flow, "audit")
    assert exit_code == 0, report


def test_the_keyed_topic_created_again_is_beyond_a_decision(flow: Flow, engine: Engine, admin: KafkaAdminClient) -> None:
    read_and_stopped(flow, engine, 2)
    create_again(flow, admin, flow.names.events)
    until("dropped offsets", lambda: all(tp.topic != flow.names.events for tp in offsets(flow, admin)))
    worker = flow.start_worker(engine.url)
    words = last_words_of_one_that_stops_itself(worker)
    assert "start a new namespace" in words


def offsets(flow: Flow, admin: KafkaAdminClient) -> set[TopicPartition]:
    return set(admin.list_group_offsets({flow.namespace: None})[flow.namespace])


def configure(admin: KafkaAdminClient, topic: str, **configs: str) -> None:
    named = {name.replace("_", "."): value for name, value in configs.items()}
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, named)])


def test_topics_that_are_not_configured_as_they_have_to_be(flow: Flow, engine: Engine, admin: KafkaAdminClient) -> None:
    configure(admin, flow.names.pending, cleanup_policy="delete")
    mend = f"prefstream topics create --namespace {flow.namespace} --partitions {NUM_PARTITIONS} --replication-factor 1"
    assert refused_start(flow, engine) == (
        f"prefstream: {flow.names.pending}: cleanup.policy delete, not compact: records would be lost, or never be removed: "
        f"run `{mend}`"
    )
    configure(admin, flow.names.pending, cleanup_policy="compact", segment_ms="700000", min_insync_replicas="2")
    assert f"{flow.names.pending}: replication 1, and min.insync.replicas 2" in refused_start(flow, engine)
    configure(admin, flow.names.pending, min_insync_replicas="1")
    worker = flow.start_worker(engine.url)
    worker.await_ready()
    warned = worker.log.read_text()
    assert f"{flow.names.pending}: segment.ms 700000, not 3600000" in warned
    assert mend in warned
