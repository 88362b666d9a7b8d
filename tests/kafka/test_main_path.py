"""The main path with everything real: platform topics in three formats, a worker, an engine, the summaries topic."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, NamedTuple

import pytest
from rocksdict import AccessType, Options, Rdict

from prefstream.events import Item, Rating
from prefstream.publisher import Publisher
from prefstream.reader import SummaryReader
from prefstream.summaries import Summary, decode_summary
from tests.kafka.conftest import StartFlow
from tests.kafka.worker_process import (
    NUM_PARTITIONS,
    REPOSITORY,
    Engine,
    Flow,
    Worker,
    applied,
    is_barrier,
    read_all,
    refused,
    until,
)

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

AT = "2026-01-05T20:15:00Z"
ODD_USERS = ["ada", "a|b", "a\0b", "\0first", "🦊", "ÿowner", " ", "\n", '"', "../..", "e\0\3ada", "x" * 512, "١٢٣", "ada|"]
USERS = ODD_USERS + [f"user-{number}" for number in range(60)]
MAPPING = """
type = "rating"
user = "who"
at = { field = "ts", unit = "seconds" }
id = "event"
domain = { constant = "films" }
item = { id = "movie.id", title = "movie.title" }
fields = { value = "stars" }
"""


def native(user: str, number: int, **more: object) -> dict[str, object]:
    """A rating in our own format."""
    item = {"id": str(number), "title": f"Film {number % 50}", "attributes": {"genre": ["drama", "war"]}}
    return {"type": "rating", "user": user, "at": AT, "domain": "films", "item": item, "value": 1 + number % 5} | more


def mapped(user: str, number: int) -> dict[str, object]:
    """A rating in a platform's own format, as ``MAPPING`` reads it."""
    return {"who": user, "ts": 1_700_000_000 + number, "movie": {"id": number, "title": f"Film {number % 50}"}, "stars": 3}


def send_native(flow: Flow, user: str, number: int, **more: object) -> None:
    value = json.dumps(native(user, number, **more)).encode()
    flow.send("native", value, applied(user), key=str(number).encode())


def send_duplicate(flow: Flow, user: str, number: int, event_id: str) -> None:
    flow.send("native", json.dumps(native(user, number, id=event_id)).encode(), applied(), key=str(number).encode())


def send_mapped(flow: Flow, user: str, number: int) -> None:
    flow.send("mapped", json.dumps(mapped(user, number)).encode(), applied(user))


def send_cloudevent(flow: Flow, user: str, number: int) -> None:
    headers = {"ce_specversion": "1.0", "ce_type": "com.shop.rating", "ce_source": "/shop", "ce_id": str(number)}
    value = json.dumps(native(user, number)).encode()
    flow.send("cloud", value, applied(user), headers=[(name, text.encode()) for name, text in headers.items()])


SENDERS = (send_native, send_mapped, send_cloudevent)


def send_load(flow: Flow, rounds: range) -> None:
    """Every user once a round, in turn from all three sources, with duplicates, lists and records that cannot be read."""
    for round_ in rounds:
        for index, user in enumerate(USERS):
            number = round_ * len(USERS) + index
            SENDERS[(round_ + index) % 3](flow, user, number)
        send_native(flow, "twice", round_, id=f"retry-{round_}")
        send_duplicate(flow, "twice", round_, f"retry-{round_}")
        flow.send("native", json.dumps([native("listed", n) for n in range(3)]).encode(), applied(*["listed"] * 3))
        flow.send("native", b"\xff\xfe", refused("undecodable"))
        flow.send("mapped", b'{"who": "ada"}', refused("invalid"))
        flow.send("cloud", b"{}", refused("undecodable"), headers=[("ce_type", b"com.shop.rating")])


class Loaded(NamedTuple):
    """A flow with a worker on it that has applied a load, and the statuses of ``/readyz`` while it started."""

    flow: Flow
    worker: Worker
    statuses: list[int]


@pytest.fixture(scope="module")
def loaded(start_flow: StartFlow, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """Three sources of 3, 5 and 2 partitions, whose load is applied; two records of each format before the worker starts."""
    mapping = tmp_path_factory.mktemp("mapping") / "films.toml"
    mapping.write_text(MAPPING)
    flow = start_flow({"native": ("native", 3), "mapped": (f"mapping:{mapping}", 5), "cloud": ("cloudevents", 2)})
    send_load(flow, range(2))
    flow.producer.flush()
    worker = flow.start_worker(engine.url)
    statuses = worker.await_ready()
    flow.await_applied()
    send_load(flow, range(2, 8))
    flow.await_applied()
    until("worker at rest", lambda: worker.metric("prefstream_pending_events") == 0)
    return Loaded(flow, worker, statuses)


def test_every_record_is_applied_once_or_is_a_dead_letter(loaded: Loaded) -> None:
    loaded.flow.assert_accounted()
    assert set(ODD_USERS) <= set(loaded.flow.ledger.events_by_user)


def test_versions_rise_by_one_on_the_topic(loaded: Loaded) -> None:
    loaded.flow.summaries.read_to_end()
    assert loaded.flow.summaries.faults == []
    assert min(summary["version"] for summary in loaded.flow.summaries.current.values()) > 1


def test_a_summary_says_what_it_is_based_on(loaded: Loaded) -> None:
    """The origins are the last places of the user's records on the sources, read from the sources themselves."""
    flow = loaded.flow
    last: dict[tuple[str, int, str], int] = {}
    for (topic, partition, offset), fate in flow.ledger.fates.items():
        for user in fate.users:
            where = (user, partition, topic)
            last[where] = max(offset, last.get(where, -1))
    for user, summary in flow.summaries.current.items():
        expected = Counter((partition, offset) for (name, partition, _), offset in last.items() if name == user)
        found = Counter((int(source.rpartition("/")[2]), place[0]) for source, place in summary["origins"].items())
        assert found == expected, user
        assert summary["tally"]["num_events"] == summary["num_events"]


def test_the_events_topic_holds_each_event_on_its_users_partition(loaded: Loaded) -> None:
    records = read_all(loaded.flow.bootstrap_servers, loaded.flow.names.events)
    partitions = {(record.key, record.partition) for record in records}
    assert len(partitions) == len(dict(partitions))
    arrived = Counter(record.key.decode() for record in records)
    num_duplicates = arrived["twice"] // 2
    assert arrived - loaded.flow.ledger.events_by_user == Counter({"twice": num_duplicates})


def test_the_counters_add_up(loaded: Loaded) -> None:
    flow, worker = loaded.flow, loaded.worker
    num_on_events = len(read_all(flow.bootstrap_servers, flow.names.events))
    num_letters = len(flow.ledger.reasons)
    accepted = flow.ledger.events_by_user.total()
    assert worker.metric("prefstream_source_records_total") == len(flow.ledger.fates)
    assert worker.metric("prefstream_dead_letters_total") == num_letters
    assert worker.metric("prefstream_collected_events_total") == num_on_events
    assert worker.metric("prefstream_collected_events_total", outcome="accepted") == accepted
    assert worker.metric("prefstream_collected_events_total", outcome="duplicate") == num_on_events - accepted
    assert worker.metric("prefstream_applied_events_total") + worker.metric("prefstream_pending_events") == accepted
    assert worker.metric("prefstream_summaries_total") == sum(summary["version"] for summary in flow.summaries.current.values())


def test_a_worker_is_ready_only_after_recovery(loaded: Loaded) -> None:
    assert 503 in loaded.statuses
    assert loaded.statuses[-1] == 200


def test_the_log_names_nobody_and_quotes_nothing(loaded: Loaded) -> None:
    printed = loaded.worker.log.read_text()
    assert "worker started" in printed
    assert not [words for words in ("user-1", "🦊", "twice", "Film 1", "drama", "retry-1") if words in printed]


def test_what_is_applied_waits_no_more(loaded: Loaded) -> None:
    flow = loaded.flow
    until("empty pending table", lambda: not flow.pending_rows())
    assert not flow.pending_by_user()


def read_store(disk: Path, table: str) -> dict[bytes, bytes]:
    """What a stopped worker left in the shards of a table."""
    rows: dict[bytes, bytes] = {}
    for partition in range(NUM_PARTITIONS):
        (shard,) = disk.rglob(f"{table}-{partition}")
        database = Rdict(str(shard), Options(raw_mode=True), access_type=AccessType.read_only())
        rows |= {key: value for key, value in database.items() if not key.startswith(b"\xff")}
        database.close()
    return rows


def test_a_fresh_worker_recovers_what_is_public_and_goes_on_from_it(loaded: Loaded, engine: Engine) -> None:
    flow = loaded.flow
    assert loaded.worker.stop() == 0
    public = {
        record.key: record.value for record in read_all(flow.bootstrap_servers, flow.names.summaries) if not is_barrier(record)
    }
    flow.start_worker(engine.url, "fresh").await_ready()
    assert flow.workers[-1].stop() == 0
    assert read_store(flow.directory / "fresh", "summaries") == public

    versions = {user: summary["version"] for user, summary in flow.summaries.current.items()}
    flow.start_worker(engine.url, "fresh").await_ready()
    for number, user in enumerate(ODD_USERS):
        send_native(flow, user, number)
    send_duplicate(flow, "twice", 0, "retry-0")
    flow.await_applied()
    assert {user: flow.summaries.current[user]["version"] for user in ODD_USERS} == {
        user: versions[user] + 1 for user in ODD_USERS
    }
    assert flow.workers[-1].stop() == 0
    flow.assert_accounted()


@pytest.fixture(scope="module")
def live(start_flow: StartFlow, engine: Engine) -> Flow:
    """A worker that reads the inbox only."""
    flow = start_flow({})
    flow.start_worker(engine.url).await_ready()
    return flow


def publish(flow: Flow, user: str, num_events: int) -> None:
    """Publish ratings of this user into the inbox."""
    with Publisher(flow.bootstrap_servers, flow.names.inbox) as publisher:
        for number in range(num_events):
            item = Item(id=str(number), title=f"Film {number}")
            publisher.publish(Rating(user=user, at=datetime.now(UTC), domain="films", item=item, value=5))


def start_cli(flow: Flow, *arguments: str) -> subprocess.Popen[str]:
    """``prefstream ARGUMENTS``."""
    environment = os.environ | {"PREFSTREAM_BOOTSTRAP_SERVERS": flow.bootstrap_servers, "PREFSTREAM_NAMESPACE": flow.namespace}
    command = [sys.executable, "-u", "-c", "from prefstream.cli import main; main()", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=pipe, stderr=pipe, text=True)


@pytest.fixture
def watching(live: Flow) -> Iterator[IO[str]]:
    """What ``prefstream watch --user ada --json`` prints, from now on."""
    with start_cli(live, "watch", "--user", "ada", "--json") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "watching" in process.stderr.readline()
        yield process.stdout
        process.kill()


def test_what_is_published_is_seen_by_readers_and_on_the_command_line(live: Flow, watching: IO[str]) -> None:
    with SummaryReader(live.bootstrap_servers, live.names.summaries, start="now") as reader:
        publish(live, "ada", 3)
        followed = next(record for record in reader.follow() if record.user == "ada")
        assert decode_summary(watching.readline().encode()) == followed
        until("all three events", lambda: (now := reader.current("ada")) and now.num_events == 3)
        current = reader.current("ada")
    assert current is not None
    assert "Film" in current.text
    assert current.model.name == "counting"
    shown, complaints = start_cli(live, "summary", "ada", "--json").communicate(timeout=60)
    assert (decode_summary(shown.encode()), complaints) == (current, "")


def test_readers_take_no_notice_of_workers_that_come_and_go(live: Flow) -> None:
    publish(live, "bob", 1)
    # Before any summary of a partition lies the record with which a worker took it over.
    with SummaryReader(live.bootstrap_servers, live.names.summaries) as reader:
        seen = next(record for record in reader.follow() if record.user == "bob")
    assert isinstance(seen, Summary)
    assert (seen.version, seen.num_events) == (1, 1)


@pytest.fixture
def slow_engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine that takes two seconds for an answer."""
    with Engine(tmp_path, delay_seconds=2.0) as engine:
        yield engine


SOURCES = {"native": ("native", 3)}
PEOPLE = [f"person-{number}" for number in range(40)]


def send_round(flow: Flow, number: int, users: Sequence[str] = PEOPLE) -> None:
    for user in users:
        send_native(flow, user, number)


def stop_when(worker: Worker, metric: str, at_least: int) -> tuple[int, float]:
    """Ask a worker to stop when a metric has come so far. Returns its exit status and how long it took (seconds)."""
    until(metric, lambda: worker.metric(metric) >= at_least)
    started = time.monotonic()
    return worker.stop(), time.monotonic() - started


def test_a_worker_told_to_stop_finishes_the_calls_in_flight(start_flow: StartFlow, engine: Engine, slow_engine: Engine) -> None:
    flow = start_flow(SOURCES)
    worker = flow.start_worker(slow_engine.url, drain_seconds=15, model_capacity=64)
    worker.await_ready()
    send_round(flow, 0)
    status, seconds = stop_when(worker, "prefstream_flushes_total", len(PEOPLE))
    assert (status, seconds < 15) == (0, True), worker.last_words()
    flow.summaries.read_to_end()
    assert flow.summaries.events_by_user.keys() == set(PEOPLE)

    flow.start_worker(engine.url).await_ready()
    send_round(flow, 1)
    flow.await_applied()
    assert flow.workers[-1].stop() == 0
    flow.assert_accounted()


def test_calls_longer_than_the_drain_are_given_up_and_made_again(
    start_flow: StartFlow, engine: Engine, slow_engine: Engine
) -> None:
    flow = start_flow(SOURCES)
    worker = flow.start_worker(slow_engine.url, drain_seconds=0.2, model_capacity=64)
    worker.await_ready()
    send_round(flow, 0)
    status, _ = stop_when(worker, "prefstream_users_in_flight", 30)
    assert status == 0, worker.last_words()
    flow.summaries.read_to_end()
    assert not flow.summaries.current
    flow.start_worker(engine.url).await_ready()
    flow.await_applied()
    assert {summary["version"] for summary in flow.summaries.current.values()} == {1}
    flow.assert_accounted()


def test_workers_that_join_and_leave_lose_nothing_and_double_nothing(start_flow: StartFlow, engine: Engine) -> None:
    flow = start_flow(SOURCES)
    first = flow.start_worker(engine.url, "disk-1")
    first.await_ready()
    second = flow.start_worker(engine.url, "disk-2")
    for number in range(10):
        send_round(flow, number)
        until("progress", flow.summaries.poll)
    second.await_ready()
    until("first worker, ready again", lambda: first.ready_status() == 200)
    for number in range(10, 20):
        send_round(flow, number)
    flow.await_applied()
    assert first.metric("prefstream_applied_events_total") > 0
    assert second.metric("prefstream_applied_events_total") > 0

    send_round(flow, 20)
    assert first.stop() == 0
    send_round(flow, 21)
    flow.await_applied()
    assert second.stop() == 0
    flow.assert_accounted()
