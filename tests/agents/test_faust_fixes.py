"""Each correction of agents/faust_fixes.py beside what stock Faust does in the same place.

The tests named ``stock`` hold as long as the defect is there: one that fails says that Faust has mended it, and that the
correction can go. Everything is the real Faust 0.15.3 but for the thread that talks to the broker.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import aiokafka
import faust
import pytest
from aiokafka.consumer.fetcher import Fetcher, FetchResult
from aiokafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.producer import ProducerBuffer
from faust.types import TP, ConsumerMessage
from msgspec.structs import replace
from structlog.testing import capture_logs

from agents.faust_fixes import (
    PINNED,
    FixedApp,
    OrderedRecovery,
    UnprovenVersion,
    WatermarkConsumer,
    assert_versions,
)
from agents.progress import CommitOutcome, HoleFound, Progress
from agents.store import STAMP_KEY, LoggedStore
from agents.writer import Lane
from prefstream.sources import UNMARKED, Mark, Standing, decode_mark
from tests.agents.scripted import KEPT_AN_HOUR, ScriptedProducer, Stopped, message, others_run, stops_recorded, until

SOURCE = TP("platform", 0)
CHANGELOG = TP("t.pending", 0)


class FakeThread:
    """Stands for the thread that talks to the broker: hands over the given batches, keeps what is committed."""

    def __init__(self, *batches: Sequence[int], committed: int | None = None) -> None:
        self.batches = deque(batches)
        self.committed = committed
        self.mark = UNMARKED
        self.beginning, self.end = 0, 100
        self.refuses: list[Exception] = []
        self.commits: list[dict[TP, int]] = []
        self.marks: list[Mark] = []
        self.accepts = True
        self.during_seek: Callable[[], None] = lambda: None
        self.seeks: list[tuple[TP, int]] = []

    def assignment(self) -> set[TP]:
        return {SOURCE}

    def highwater(self, tp: TP) -> int:
        return 100

    async def getmany(self, active: set[TP] | None, timeout: float) -> dict[TP, list[Any]]:
        await asyncio.sleep(0)
        if self.refuses:
            raise self.refuses.pop()
        return {SOURCE: [record(offset) for offset in self.batches.popleft()]} if self.batches else {}

    async def commit(self, offsets: dict[TP, int | OffsetAndMetadata]) -> bool:
        """Stock Faust commits bare offsets."""
        self.marks += [decode_mark(one.metadata) for one in offsets.values() if isinstance(one, OffsetAndMetadata)]
        self.commits.append({tp: one.offset if isinstance(one, OffsetAndMetadata) else one for tp, one in offsets.items()})
        return self.accepts

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        self.seeks += partitions.items()

    async def standings(self, sources: Iterable[TP], topic_ids: Mapping[str, str]) -> list[Standing]:
        self.during_seek()
        where: Any = {"committed": self.committed, "mark": self.mark, "beginning": self.beginning, "end": self.end}
        return [Standing(topic=tp.topic, topic_id=topic_ids[tp.topic], partition=tp.partition, **where) for tp in sources]

    async def seek_to_committed(self) -> dict[TP, int | None]:
        self.during_seek()
        return {SOURCE: self.committed}

    async def highwaters(self, *tps: TP) -> None:
        """The broker does not answer."""
        await asyncio.get_running_loop().create_future()


def record(offset: int) -> Any:
    """A record as aiokafka gives it."""
    return SimpleNamespace(
        topic=SOURCE.topic,
        partition=SOURCE.partition,
        offset=offset,
        timestamp=0,
        timestamp_type=0,
        headers=[],
        key=b"",
        value=b"",
        checksum=None,
        serialized_key_size=0,
        serialized_value_size=0,
    )


class OurApp(FixedApp):
    """A worker of which only what the corrections call back is there; ``calls`` keeps the order."""

    def __init__(self, name: str, **settings: Any) -> None:
        super().__init__(name, **settings)
        self.progress = Progress()
        self.calls: list[str] = []
        self.durable = asyncio.Event()
        self.durable.set()
        self.restoring: Exception | None = None
        self.topic_ids = {SOURCE.topic: "id-1"}
        self.spread: dict[str, int] = {}
        self.expired: list[int] = []
        self.outcomes: list[CommitOutcome] = []
        self.during_look: Callable[[], None] = lambda: None
        self.ledger_position: int | None = None
        self.ledger_mark = UNMARKED
        self.closed: set[str] = set()

    def closed_topics(self) -> set[str]:
        return self.closed

    async def open_partitions(self, changelogs: set[TP]) -> None:
        self.calls.append("open")

    def restore_partitions(self) -> None:
        self.calls.append("restore")
        if self.restoring:
            raise self.restoring

    async def confirm_topics(self) -> None:
        self.calls.append("look")
        self.during_look()

    def note_expired(self, source: TP, num_expired: int) -> None:
        self.expired.append(num_expired)

    def note_commit(self, outcome: CommitOutcome) -> None:
        self.outcomes.append(outcome)

    def by_ledger(self, standing: Standing) -> Standing | None:
        return (
            None if self.ledger_position is None else replace(standing, committed=self.ledger_position, mark=self.ledger_mark)
        )

    async def finish_calls(self) -> None:
        self.calls.append("finish")

    async def flush(self) -> None:
        await self.durable.wait()
        self.calls.append("flush")

    async def release_partitions(self) -> None:
        self.calls.append("release")


def prepared(app: Any, thread: FakeThread) -> Any:
    """The app with this thread below its consumer, as it is after an assignment."""
    app.consumer._thread.thread_loop.close()
    app.consumer._thread = thread
    app.consumer._set_active_tps({SOURCE})
    app.topics._acking_topics.add(SOURCE.topic)
    app.flow_control.resume()
    return app


def settings() -> dict[str, Any]:
    return {"broker": "kafka://127.0.0.1:1", "store": "memory://", "topic_disable_leader": True, "broker_request_timeout": 0.05}


def stock_app(*batches: Sequence[int], committed: int | None = None) -> Any:
    return prepared(faust.App("stock", **settings()), FakeThread(*batches, committed=committed))


def our_app(*batches: Sequence[int], committed: int | None = None) -> Any:
    return prepared(OurApp("ours", **settings()), FakeThread(*batches, committed=committed))


async def drain(app: Any) -> dict[int, ConsumerMessage]:
    """Seek, start, and have everything the thread has fetched and handed on. Returns the messages that arrived, by offset."""
    consumer, arrived, fetcher = app.consumer, {}, SimpleNamespace(_stopped=asyncio.Event())

    async def arrive(found: ConsumerMessage) -> None:
        arrived[found.offset] = found
        if not consumer._thread.batches:
            fetcher._stopped.set()

    consumer.callback = arrive
    await consumer.perform_seek()
    if isinstance(consumer, WatermarkConsumer):
        app.progress.start(SOURCE, consumer._committed_offset[SOURCE])
    await consumer._drain_messages(fetcher)
    return arrived


async def asked_for(app: Any, monkeypatch: pytest.MonkeyPatch) -> list[frozenset[TP]]:
    """The partitions of each fetch that the thread was asked for in one round."""
    asked: list[frozenset[TP]] = []

    async def getmany(active: frozenset[TP], timeout: float) -> dict[TP, list[Any]]:
        asked.append(active)
        return {}

    monkeypatch.setattr(app.consumer._thread, "getmany", getmany)
    assert await app.consumer._getmany({SOURCE, CHANGELOG}, 0.0) == {}
    return asked


async def test_a_topic_behind_a_closed_gate_is_left_out_of_the_fetch(monkeypatch: pytest.MonkeyPatch) -> None:
    app = our_app(committed=0)
    assert await asked_for(app, monkeypatch) == [{SOURCE, CHANGELOG}]
    app.closed = {SOURCE.topic}
    assert await asked_for(app, monkeypatch) == [{CHANGELOG}]


async def test_when_everything_is_closed_the_thread_is_not_asked_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take an empty set for all partitions, and what it fetched then would be lost."""
    app = our_app(committed=0)
    app.closed = {SOURCE.topic, CHANGELOG.topic}
    assert await asked_for(app, monkeypatch) == []


@pytest.mark.parametrize("is_stopping", [True, False])
async def test_a_fetcher_cancelled_while_the_worker_stops_just_ends(is_stopping: bool) -> None:
    """Stock takes it for a crash if a rebalance is going on, and the worker exits with 1."""
    app = our_app(committed=0)
    app.consumer.stop_flow()
    draining = asyncio.create_task(app.consumer._drain_messages(SimpleNamespace(_stopped=asyncio.Event())))
    await others_run()
    if is_stopping:
        app._stopped.set()
    draining.cancel()
    await asyncio.wait([draining])
    assert draining.cancelled() is not is_stopping


class InFlight(NamedTuple):
    """What is committed and fetched, which of it is done, and the offset each consumer commits then."""

    committed: int | None
    fetched: Sequence[int]
    done: Sequence[int]
    stock: int
    ours: int | None


IN_FLIGHT = {
    "the first after the commit": InFlight(31, range(31, 35), [32, 33, 34], stock=35, ours=None),
    "nothing was committed yet": InFlight(None, range(7), [5, 6], stock=7, ours=0),
    "the first behind a gap": InFlight(10, [10, 14, 15], [10, 15], stock=16, ours=14),
}


@pytest.mark.parametrize("case", IN_FLIGHT.values(), ids=IN_FLIGHT)
async def test_a_commit_stays_below_what_is_in_flight(case: InFlight) -> None:
    app = our_app(case.fetched, committed=case.committed)
    await drain(app)
    for offset in case.done:
        app.progress.done(SOURCE, offset)
    await app.consumer.commit()
    assert app.consumer._thread.commits == ([] if case.ours is None else [{SOURCE: case.ours}])


@pytest.mark.parametrize("case", IN_FLIGHT.values(), ids=IN_FLIGHT)
async def test_stock_commits_past_what_is_in_flight(case: InFlight) -> None:
    app = stock_app(case.fetched, committed=case.committed)
    arrived = await drain(app)
    for offset in case.done:
        app.consumer.ack(arrived[offset])
    await app.consumer.commit()
    assert app.consumer._thread.commits == [{SOURCE: case.stock}]


def lose_one(app: Any) -> None:
    """Let go of what was fetched and not handed on, when offset 10 has been: a rebalance does that, or a full buffer."""
    hand_on, consumer = app.consumer._to_message, app.consumer

    def to_message(tp: TP, found: Any) -> ConsumerMessage:
        if found.offset == 10:
            consumer.app.consumer_generation_id += 1
        return hand_on(tp, found)

    consumer._to_message = to_message


async def test_a_message_lost_on_the_way_is_no_gap() -> None:
    app = our_app([10, 11], [12], committed=10)
    lose_one(app)
    arrived = await drain(app)
    assert set(arrived) == {10, 12}
    app.progress.done(SOURCE, 10)
    await app.consumer.commit()
    assert app.consumer._thread.commits == [{SOURCE: 11}]
    with pytest.raises(HoleFound, match="expected offset 11, got 12"):
        app.progress.accept(SOURCE, 12)


async def test_stock_takes_a_message_lost_on_the_way_for_a_gap() -> None:
    app = stock_app([10, 11], [12], committed=10)
    lose_one(app)
    for found in (await drain(app)).values():
        app.consumer.ack(found)
    await app.consumer.commit()
    assert app.consumer._thread.commits == [{SOURCE: 13}]


async def test_a_commit_waits_for_the_flush() -> None:
    app = our_app([0], committed=0)
    await drain(app)
    app.progress.done(SOURCE, 0)
    app.durable.clear()
    committing = asyncio.create_task(app.consumer.commit())
    await others_run()
    assert app.consumer._thread.commits == []
    app.durable.set()
    assert await committing
    assert app.consumer._thread.commits == [{SOURCE: 1}]


async def test_a_failed_send_ends_the_worker_before_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.writer._LINGER_SECONDS", 0)
    stops = stops_recorded(monkeypatch, "agents.writer")
    producer = ScriptedProducer(is_held=True)
    lane = Lane(producer, "t.events", 0)
    app = our_app([0], committed=0)
    app.flush = lane.flushed
    await drain(app)
    lane.put((b"ada", b"event"))
    app.progress.done(SOURCE, 0)
    committing = asyncio.create_task(app.consumer.commit())
    (await producer.sent.get()).fail(OSError("no route"))
    await until(lambda: stops or app.consumer._thread.commits)
    await others_run()
    assert app.consumer._thread.commits == []
    assert stops == ["a record for t.events/0 could not be made durable: no route"]
    committing.cancel()


class Stuck(ProducerBuffer):
    """A producer buffer whose first message is on its way for as long as the test lasts."""

    async def _send_pending(self, fut: Any) -> None:
        await asyncio.get_running_loop().create_future()


async def test_stock_flushes_without_flushing() -> None:
    app = stock_app([0], committed=0)
    app.consumer.ack((await drain(app))[0])
    buffer = Stuck()
    buffer.app = app
    await buffer.start()
    for number in range(3):
        buffer.pending.put_nowait(number)
    app._producer = SimpleNamespace(flush=buffer.flush)
    assert await app.consumer.commit()
    assert app.consumer._thread.commits == [{SOURCE: 1}]
    assert buffer.size == 2
    buffer.pending = asyncio.Queue()  # or it would not stop
    await buffer.stop()


async def test_stock_commits_after_a_failed_send() -> None:
    app = stock_app([0], committed=0)
    app.consumer.ack((await drain(app))[0])
    topic = app.topic("t.events")
    on_its_way, outcome = topic.as_future_message(key=b"ada", value=b"event"), asyncio.get_running_loop().create_future()
    outcome.set_exception(OSError("no route"))
    topic._on_published(outcome, on_its_way, None, None)
    assert isinstance(on_its_way.exception(), OSError)
    app._producer = SimpleNamespace(flush=others_run)
    assert await app.consumer.commit()
    assert app.consumer._thread.commits == [{SOURCE: 1}]


async def test_a_refused_commit_is_due_again() -> None:
    app = our_app([0, 1], committed=0)
    await drain(app)
    app.progress.done(SOURCE, 0)
    app.consumer._thread.accepts = False
    assert not await app.consumer.commit()
    app.consumer._thread.accepts = True
    assert await app.consumer.commit()
    assert app.consumer._thread.commits == [{SOURCE: 1}] * 2
    assert app.outcomes == ["refused", "done"]


async def test_stock_counts_a_refused_commit_as_done() -> None:
    app = stock_app([0, 1], committed=0)
    app.consumer.ack((await drain(app))[0])
    app._producer = SimpleNamespace(flush=others_run)
    app.consumer._thread.accepts = False
    assert not await app.consumer.commit()
    assert app.consumer._committed_offset[SOURCE] == 1
    app.consumer._thread.accepts = True
    assert not await app.consumer.commit()


async def test_a_revoke_commits_before_it_lets_go() -> None:
    app = our_app([0, 1, 2], committed=0)
    await drain(app)
    for offset in range(3):
        app.progress.done(SOURCE, offset)
    thread = app.consumer._thread
    thread.commit = commit_into(app.calls, thread.commit)
    app.consumer._on_partitions_revoked = said(app.calls, "revoked")
    await app.consumer.on_partitions_revoked({SOURCE})
    assert thread.commits == [{SOURCE: 3}]
    assert [call for call in app.calls if call != "look"] == ["finish", "flush", "commit", "release", "revoked"]
    assert not app.consumer.flow_active
    assert app.progress.position(SOURCE) is None


async def test_stock_forgets_what_is_acknowledged_before_a_revoke_can_commit_it() -> None:
    app = stock_app([0, 1, 2], committed=0)
    for found in (await drain(app)).values():
        app.consumer.ack(found)

    async def commit(revoked: set[TP]) -> None:
        await app.consumer.commit()

    app.consumer._on_partitions_revoked = commit
    await app.consumer.on_partitions_revoked({SOURCE})
    assert app.consumer._thread.commits == []


def said(calls: list[str], name: str) -> Callable[..., Any]:
    """A coroutine function that notes that it was called."""

    async def say(*arguments: object) -> None:
        calls.append(name)

    return say


def commit_into(calls: list[str], commit: Callable[..., Any]) -> Callable[..., Any]:
    """``commit``, noted."""

    async def noted(offsets: dict[TP, int]) -> Any:
        calls.append("commit")
        return await commit(offsets)

    return noted


async def test_a_second_commit_commits_what_is_new() -> None:
    app = our_app([0, 1], committed=0)
    await drain(app)
    app.progress.done(SOURCE, 0)
    app.durable.clear()
    first = asyncio.create_task(app.consumer.commit())
    await others_run()
    app.progress.done(SOURCE, 1)
    second = asyncio.create_task(app.consumer.commit())
    await others_run()
    app.durable.set()
    assert (await first, await second) == (True, True)
    assert app.consumer._thread.commits == [{SOURCE: 1}, {SOURCE: 2}]


async def test_stock_lets_a_second_commit_return_without_one() -> None:
    app = stock_app([0, 1], committed=0)
    arrived = await drain(app)
    app.consumer.ack(arrived[0])
    flushed = asyncio.Event()
    app._producer = SimpleNamespace(flush=flushed.wait)
    first = asyncio.create_task(app.consumer.commit())
    await others_run()
    app.consumer.ack(arrived[1])
    second = asyncio.create_task(app.consumer.commit())
    await others_run()
    flushed.set()
    assert (await first, await second) == (True, False)
    assert app.consumer._thread.commits == [{SOURCE: 1}]


async def kafka_consumer(app: Any) -> Any:
    """The aiokafka consumer that this app would start, closed again."""
    app.conf.broker_request_timeout = 120.0
    thread = app.consumer._new_consumer_thread()
    consumer = thread._create_worker_consumer(app.transport)
    assert isinstance(consumer, aiokafka.AIOKafkaConsumer)
    await consumer.stop()
    thread.thread_loop.close()
    return consumer


async def test_only_committed_records_are_read_and_an_idle_fetch_is_short() -> None:
    consumer = await kafka_consumer(our_app())
    assert consumer._isolation_level == "read_committed"
    assert consumer._fetch_max_wait_ms <= 250
    assert consumer._auto_offset_reset == "none"


async def test_stock_reads_aborted_records_and_lets_an_idle_fetch_hold_the_connection() -> None:
    consumer = await kafka_consumer(stock_app())
    assert consumer._isolation_level == "read_uncommitted"
    assert consumer._fetch_max_wait_ms == 1_500
    assert consumer._auto_offset_reset in ("earliest", "latest")  # a position out of range jumps, and nobody learns of it


def alarms_for_a_changelog(app: Any, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the check of every second logs of a changelog partition of which nothing was fetched for an hour."""
    thread = app.consumer._new_consumer_thread()
    asked = SimpleNamespace(active=True, state_value=lambda tp: None)
    thread._consumer = SimpleNamespace(_fetcher=SimpleNamespace(_subscriptions=SimpleNamespace(subscription=asked)))
    asked.assignment = asked
    thread.time_started = 0.0
    thread.verify_event_path(3_600.0, CHANGELOG)
    thread.thread_loop.close()
    return [logged.levelname for logged in caplog.records]


async def test_a_changelog_that_nobody_streams_is_no_alarm(caplog: pytest.LogCaptureFixture) -> None:
    assert alarms_for_a_changelog(our_app(), caplog) == []


async def test_stock_takes_a_changelog_that_nobody_streams_for_a_hanging_agent(caplog: pytest.LogCaptureFixture) -> None:
    assert alarms_for_a_changelog(stock_app(), caplog) == ["ERROR"]


class Joining:
    """A consumer that is stopped while the group it joins waits for somebody: the group answers it when it leaves."""

    def __init__(self, is_named: bool = False, is_member: bool = False) -> None:
        self.has_answer, self.left = asyncio.Event(), list[str]()
        self._coordinator = self._client = self
        self._closing = asyncio.get_running_loop().create_future()
        self._heartbeat_task = object() if is_member else None
        self._group_instance_id = "worker-0" if is_named else None
        self.group_id, self.member_id, self.coordinator_id = "group", "member", 1

    async def stop(self) -> None:
        self._closing.set_result(None)
        await self.has_answer.wait()

    async def send(self, node_id: int, leave: Any) -> None:
        assert self._closing.done(), "it would only join again"
        self.left.append(leave._member_id)
        self.has_answer.set()


async def stopped(app: Any, joining: Joining) -> bool:
    """Whether the thread of the consumer is stopped soon."""
    thread = app.consumer._new_consumer_thread()
    thread._consumer = joining
    try:
        await asyncio.wait_for(thread.on_thread_stop(), 0.2)
    except TimeoutError:
        return False
    finally:
        thread.thread_loop.close()
    return True


async def test_a_worker_that_is_stopped_while_it_joins_leaves() -> None:
    joining = Joining()
    assert await stopped(our_app(), joining)
    assert joining.left == ["member"]


async def test_stock_waits_for_the_group_that_it_joins() -> None:
    assert not await stopped(stock_app(), Joining())


@pytest.mark.parametrize("joining", [{"is_named": True}, {"is_member": True}], ids=["with a name", "joined already"])
async def test_who_has_a_name_or_has_joined_leaves_as_ever(joining: dict[str, bool]) -> None:
    is_waited_for = Joining(**joining)
    assert not await stopped(our_app(), is_waited_for)
    assert is_waited_for.left == []


def ready_to_resume(app: Any) -> tuple[Any, list[str]]:
    """Recovery at its end, while the thread goes on fetching: an agent's queue, and what it was handed during the seek."""
    queue = app.FlowControlQueue(maxsize=10, clear_on_resume=True)
    handed: list[str] = []

    def fetch() -> None:
        if SOURCE in app.consumer._active_partitions:
            handed.append("message")
            queue.put_nowait("message")

    app.consumer._thread.during_seek = fetch
    app.consumer.pause_partitions({SOURCE})
    app._fetcher = SimpleNamespace(maybe_start=others_run)
    return queue, handed


async def test_partitions_resume_when_the_queues_are_cleared() -> None:
    app = our_app(committed=5)
    queue, handed = ready_to_resume(app)
    await app.tables.recovery.on_recovery_completed(app.consumer_generation_id)
    assert (handed, queue.qsize()) == ([], 0)
    assert SOURCE in app.consumer._active_partitions
    assert app.consumer.flow_active
    assert app.calls == ["restore"]
    assert app.progress.position(SOURCE) == 5
    assert app.tables.actives_ready


@pytest.mark.parametrize(("ledger_position", "start"), [(5, 5), (8, 5), (3, 3)])
async def test_reading_begins_at_the_smaller_of_ledger_and_committed_offset(ledger_position: int, start: int) -> None:
    app = our_app(committed=5)
    ready_to_resume(app)
    app.ledger_position = ledger_position
    await app.tables.recovery.on_recovery_completed(app.consumer_generation_id)
    assert (app.progress.position(SOURCE), app.consumer._thread.seeks) == (start, [(SOURCE, start)])


@pytest.mark.parametrize(("position", "mark"), [(9, Mark(topic_id="id-0")), (101, UNMARKED)])
async def test_a_ledger_of_another_topic_ends_the_worker(monkeypatch: pytest.MonkeyPatch, position: int, mark: Mark) -> None:
    """Kafka has dropped what was committed, and only the ledger knows."""
    stops = stops_recorded(monkeypatch, "agents.faust_fixes")
    app = our_app(committed=None)
    app.ledger_position, app.ledger_mark = position, mark
    with pytest.raises(Stopped):
        await begun(app)
    assert [f"committed up to {position}" in stop for stop in stops] == [True]


async def begun(app: Any, beginning: int = 0, end: int = 100, mark: Mark = UNMARKED) -> Any:
    """The app, reading a partition that is so on the broker."""
    thread = app.consumer._thread
    thread.beginning, thread.end, thread.mark = beginning, end, mark
    ready_to_resume(app)
    await app.tables.recovery.on_recovery_completed(app.consumer_generation_id)
    return app


async def test_a_partition_that_was_never_read_is_sought_at_its_beginning() -> None:
    app = await begun(our_app(committed=None), beginning=7)
    assert (app.consumer._thread.seeks, app.expired, app.progress.committable()) == ([(SOURCE, 7)], [], {})


async def test_what_expired_before_the_start_is_counted_passed_and_committed() -> None:
    app = await begun(our_app(committed=5), beginning=9, mark=Mark(topic_id="id-1", num_expired=2))
    assert (app.consumer._thread.seeks, app.expired) == ([(SOURCE, 9)], [4])
    assert await app.consumer.commit()
    assert app.consumer._thread.commits == [{SOURCE: 9}]
    assert app.consumer._thread.marks == [Mark(topic_id="id-1", num_expired=6)]


async def test_a_commit_names_the_topic() -> None:
    app = await begun(our_app([5], committed=5))
    app.progress.hand_over(SOURCE, [5])
    app.progress.done(SOURCE, 5)
    await app.consumer.commit()
    assert (app.consumer._thread.commits, app.consumer._thread.marks) == ([{SOURCE: 6}], [Mark(topic_id="id-1")])


@pytest.mark.parametrize(
    ("end", "mark", "said"), [(100, Mark(topic_id="id-0"), "was deleted and created again"), (4, UNMARKED, "lost its end")]
)
async def test_a_topic_that_is_another_ends_the_worker_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch, end: int, mark: Mark, said: str
) -> None:
    stops = stops_recorded(monkeypatch, "agents.faust_fixes")
    app = our_app(committed=5)
    with pytest.raises(Stopped):
        await begun(app, end=end, mark=mark)
    assert [said in stop for stop in stops] == [True]
    assert app.consumer._thread.seeks == []
    assert SOURCE not in app.consumer._active_partitions


def out_of_range(offset: int) -> Exception:
    error: Exception = OffsetOutOfRangeError({SOURCE: offset})
    return error


async def test_records_that_expire_while_the_worker_lags_are_counted_and_passed_in_order() -> None:
    app = await begun(our_app([5, 6], committed=5))
    thread = app.consumer._thread
    await drain_batch(app)
    thread.beginning, thread.refuses = 20, [out_of_range(7)]
    assert await drain_batch(app) == []
    assert (thread.seeks[-1], app.expired) == ((SOURCE, 20), [13])
    for offset in (5, 6):
        await app.consumer.commit()
        assert thread.marks[-1:] in ([], [Mark(topic_id="id-1")])  # not before the position has passed them
        assert app.progress.accept(SOURCE, offset)
        app.progress.done(SOURCE, offset)
    await app.consumer.commit()
    assert (thread.commits[-1], thread.marks[-1]) == ({SOURCE: 20}, Mark(topic_id="id-1", num_expired=13))
    thread.batches.append([20])
    await drain_batch(app)
    assert app.progress.accept(SOURCE, 20)


async def drain_batch(app: Any) -> list[int]:
    """The offsets of one hand-over."""
    return [record.offset async for _, record in app.consumer.getmany(timeout=1.0)]


async def test_a_partition_that_lost_its_end_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    stops = stops_recorded(monkeypatch, "agents.faust_fixes")
    app = await begun(our_app(committed=50))
    app.consumer._thread.end, app.consumer._thread.refuses = 30, [out_of_range(50)]
    with pytest.raises(Stopped):
        await drain_batch(app)
    assert len(stops) == 1
    assert "partition 0 is committed up to 50, and ends at 30" in stops[0]


async def test_a_changelog_out_of_range_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    stops = stops_recorded(monkeypatch, "agents.faust_fixes")
    app = our_app()
    app.consumer._thread.refuses = [OffsetOutOfRangeError({CHANGELOG: 9})]
    with pytest.raises(Stopped):
        await drain_batch(app)
    assert stops == ["t.pending/0 has nothing at offset 9, where recovery wants to read: None"]


async def test_a_partition_that_is_not_sought_yet_is_waited_for() -> None:
    app = our_app()
    app.consumer._thread.refuses = [NoOffsetForPartitionError(SOURCE)]
    assert await drain_batch(app) == []
    assert app.calls == []


async def test_nothing_is_handed_over_before_a_look_at_the_topics() -> None:
    app = await begun(our_app([5, 6], committed=5))
    app.during_look = lambda: app.calls.append(f"position {app.progress._watermarks[SOURCE].fetched}")
    assert await drain_batch(app) == [5, 6]
    assert app.calls == ["restore", "look", "position 5"]


async def test_what_was_fetched_for_a_former_assignment_is_forgotten() -> None:
    """Handed over, it would pass for what the broker skipped in the new one, and be lost."""
    app = await begun(our_app([50, 51], committed=50))

    def rebalance() -> None:
        app.consumer_generation_id += 1
        app.progress.start(SOURCE, 40)

    app.during_look = rebalance
    assert await drain_batch(app) == []
    app.progress.hand_over(SOURCE, [40])
    assert app.progress.accept(SOURCE, 40)
    assert app.progress.committable() == {}


async def test_stock_clears_what_was_fetched_during_the_seek() -> None:
    app = stock_app(committed=5)
    queue, handed = ready_to_resume(app)
    await app.tables.recovery.on_recovery_completed(app.consumer_generation_id)
    assert (handed, queue.qsize()) == (["message"], 0)


async def test_nothing_resumes_when_the_next_rebalance_has_begun() -> None:
    app = our_app(committed=5)
    ready_to_resume(app)
    await app.tables.recovery.on_recovery_completed(app.consumer_generation_id - 1)
    assert app.calls == []
    assert SOURCE not in app.consumer._active_partitions
    assert not app.tables.actives_ready


async def begin_of_recovery(app: Any, trusted: int | None) -> int | None:
    """Where a recovery begins to read when the one before had come to 5,000, and the store now says this."""
    recovery, asked = app.tables.recovery, []

    def trusted_offset(tp: TP, end: int) -> int | None:
        asked.append((tp, end))
        return trusted

    async def earliest_offsets(*tps: TP) -> dict[TP, int]:
        return dict.fromkeys(tps, 0)

    recovery.tp_to_table[CHANGELOG] = SimpleNamespace(data=SimpleNamespace(trusted_offset=trusted_offset))
    recovery.active_highwaters[CHANGELOG] = 6_000
    recovery.active_offsets[CHANGELOG] = 5_000
    consumer = SimpleNamespace(earliest_offsets=earliest_offsets)
    await recovery._build_offsets(consumer, {CHANGELOG}, recovery.active_offsets, "active")
    assert asked in ([], [(CHANGELOG, 6_000)])
    offset: int | None = recovery.active_offsets[CHANGELOG]
    return offset


@pytest.mark.parametrize(("trusted", "begin"), [(None, -1), (4_000, 4_000)])
async def test_a_recovery_begins_where_the_store_can_be_trusted(trusted: int | None, begin: int) -> None:
    assert await begin_of_recovery(our_app(), trusted) == begin


async def test_stock_goes_on_where_the_last_recovery_ended_whatever_the_store_holds() -> None:
    assert await begin_of_recovery(stock_app(), None) == 5_000


async def recover(app: Any) -> None:
    """One recovery of a table whose end offsets the broker does not tell."""
    app.Table("pending")
    recovery = app.tables.recovery
    recovery.signal_recovery_start.set()
    await type(recovery)._restart_recovery.fun(recovery)


async def test_a_recovery_whose_step_takes_too_long_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    stops = stops_recorded(monkeypatch, "agents.faust_fixes")
    app = our_app()
    with pytest.raises(Stopped):
        await recover(app)
    assert stops == ["a step of recovery took longer than 0.05 seconds: None"]
    assert app.calls == ["open"]


async def test_stock_gives_up_recovery_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    app = stock_app()
    await asyncio.wait_for(recover(app), 10)
    assert not app.tables.recovery.should_stop
    assert not app.tables.actives_ready
    assert [logged for logged in caplog.records if logged.levelname in ("WARNING", "ERROR", "CRITICAL")] == []


async def test_tables_that_cannot_be_restored_end_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    stops = stops_recorded(monkeypatch, "agents.faust_fixes")
    app = our_app(committed=5)
    ready_to_resume(app)
    app.restoring = LookupError("a row is not there")
    with pytest.raises(Stopped):
        await app.tables.recovery.on_recovery_completed(app.consumer_generation_id)
    assert stops == ["the tables could not be restored: a row is not there"]
    assert SOURCE not in app.consumer._active_partitions


async def test_stock_swallows_what_restoring_raises() -> None:
    app = stock_app(committed=5)
    ready_to_resume(app)
    table = app.Table("pending")
    raised: list[Exception] = []

    @table.on_recover
    async def restore() -> None:
        raised.append(LookupError("a row is not there"))
        raise raised[0]

    await app.tables.recovery.on_recovery_completed(app.consumer_generation_id)
    assert len(raised) == 1
    assert app.tables.actives_ready


def fetched(partitions: Sequence[TP]) -> Fetcher:
    """A fetcher of aiokafka, with one record of each of these partitions fetched and not asked for."""
    fetcher = Fetcher.__new__(Fetcher)
    fetcher._subscriptions = SimpleNamespace(reassignment_in_progress=False, is_assigned=lambda tp: True)
    fetcher._records = {tp: one_result(tp) for tp in partitions}
    fetcher._wait_consume_future = None
    return fetcher


def one_result(tp: TP) -> FetchResult:
    state = SimpleNamespace(paused=False, position=0, consumed_to=lambda offset: None)
    assignment = SimpleNamespace(active=True, state_value=lambda tp: state)
    records = FakeRecords([record(0)])
    return FetchResult(tp, assignment=assignment, partition_records=records, backoff=0)


class FakeRecords(Iterator[Any]):
    """The records of one partition as the fetcher unpacks them."""

    next_fetch_offset = 0

    def __init__(self, records: list[Any]) -> None:
        self._records = deque(records)

    def __next__(self) -> Any:
        if not self._records:
            raise StopIteration
        return self._records.popleft()


def buffers_fill_while_fetching(app: Any) -> list[Mapping[TP, list[Any]]]:
    """Have the thread fetch with aiokafka's own fetcher, and the buffer of the only active partition fill before it looks."""
    taken: list[Mapping[TP, list[Any]]] = []

    async def getmany(active: Any, timeout: float) -> Mapping[TP, list[Any]]:
        app.consumer.on_buffer_full(SOURCE)
        taken.append(await fetched([SOURCE, OTHER]).fetched_records(active))
        return taken[-1]

    app.consumer._thread.getmany = getmany
    return taken


OTHER = TP("platform", 1)


async def test_the_active_partitions_are_those_when_the_fetch_began() -> None:
    app = our_app()
    taken = buffers_fill_while_fetching(app)
    arrived = [tp async for tp, _ in app.consumer.getmany(timeout=1.0)]
    assert arrived == [SOURCE]
    assert [set(records) for records in taken] == [{SOURCE}]


async def test_stock_fetches_and_drops_records_of_every_partition() -> None:
    app = stock_app()
    taken = buffers_fill_while_fetching(app)
    arrived = [tp async for tp, _ in app.consumer.getmany(timeout=1.0)]
    assert arrived == [SOURCE]
    assert [set(records) for records in taken] == [{SOURCE, OTHER}]  # the other partition's is gone for good


async def hand_over(app: Any, num_messages: int) -> int:
    """Have so many messages handed on. Returns how many tasks that took."""
    app.consumer._thread.batches.append(range(num_messages))
    loop, created = asyncio.get_running_loop(), 0

    def count(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        nonlocal created
        created += 1
        return asyncio.Task(coroutine, loop=loop, **options)

    loop.set_task_factory(count)
    await drain(app)
    loop.set_task_factory(None)
    return created


async def test_a_message_is_handed_over_without_a_task() -> None:
    assert await hand_over(our_app(), 50) < 5


async def test_stock_makes_four_tasks_for_a_message() -> None:
    assert await hand_over(stock_app(), 50) >= 4 * 50


class Channel(NamedTuple):
    """What reads a topic, as the conductor knows it."""

    queue: Any


async def test_a_full_queue_is_given_up_when_the_flow_stops() -> None:
    app = our_app()
    queue = app.FlowControlQueue(maxsize=1)
    queue.put_nowait("message")
    app.topics._topic_name_index[SOURCE.topic].add(Channel(queue))
    app.consumer.callback = queue.put
    handing_on = asyncio.create_task(app.consumer._hand_on(message(SOURCE.topic, 0, b"")))
    await others_run()
    assert not handing_on.done()
    app.consumer.stop_flow()
    await asyncio.wait_for(handing_on, 10)
    assert queue.qsize() == 1


UNFOLLOWED = TP("t.formerly", 0)


def changelog_records() -> list[Any]:
    """A record of the table's own changelog, then one of a topic that no table follows any more."""
    return [
        SimpleNamespace(message=message(CHANGELOG.topic, 0, b"mine", b"a")),
        SimpleNamespace(message=message(UNFOLLOWED.topic, 0, b"a stranger's", b"b")),
    ]


class Recovering(NamedTuple):
    """An app whose recovery has begun at offset 10 of its changelog, which ends with offset 14."""

    app: Any
    recovery: OrderedRecovery
    store: LoggedStore

    def rows(self) -> dict[bytes, bytes]:
        return {key: value for key, value in self.store.shard(0).scan(b"") if key != STAMP_KEY}

    async def fetch(self, *offsets: int, tp: TP = CHANGELOG) -> list[TP]:
        """Let the thread bring records of this partition, and one of a source. Returns the partitions handed on."""

        async def getmany(active: set[TP] | None, timeout: float) -> dict[TP, list[Any]]:
            return {tp: [changelog_record(offset) for offset in offsets], SOURCE: [record(7)]}

        self.app.consumer._thread.getmany = getmany
        return list(await self.app.consumer._getmany({CHANGELOG, SOURCE}, 0.0))


def changelog_record(offset: int) -> Any:
    return SimpleNamespace(offset=offset, key=b"%d" % offset, value=None if offset == 12 else b"v")


@pytest.fixture
async def recovering(tmp_path: Path) -> AsyncIterator[Recovering]:
    app = our_app()
    table = SimpleNamespace(name="pending", changelog_topic=SimpleNamespace(get_topic_name=lambda: CHANGELOG.topic))
    stands_for = SimpleNamespace(conf=SimpleNamespace(tabledir=tmp_path))
    store = LoggedStore("logged://", stands_for, table, options={"changelog": KEPT_AN_HOUR})
    app.tables._changelogs[CHANGELOG.topic] = table
    recovery = app.tables.recovery
    recovery.tp_to_table[CHANGELOG] = SimpleNamespace(data=store)
    recovery.active_tps.add(CHANGELOG)
    recovery.active_offsets[CHANGELOG], recovery.active_highwaters[CHANGELOG] = 10, 14
    recovery.in_recovery = True
    recovery.signal_recovery_end.set()  # as the recovery before has left it
    app.consumer._thread.seek_wait = others_run_whatever
    yield Recovering(app, recovery, store)
    await store.on_stop()


async def others_run_whatever(offsets: Mapping[TP, int]) -> None:
    await others_run()


async def seek(one: Recovering) -> None:
    await one.recovery._seek_offsets(one.app.consumer, {CHANGELOG}, one.recovery.active_offsets, "active")


async def test_changelog_records_are_stored_where_they_are_fetched_up_to_the_end(recovering: Recovering) -> None:
    await seek(recovering)
    assert (recovering.recovery.num_left, recovering.recovery.signal_recovery_end.is_set()) == (4, False)
    assert await recovering.fetch(9, 10, 11, 12) == [SOURCE]  # 10 is held already
    assert (recovering.rows(), recovering.store.persisted_offset(CHANGELOG)) == ({b"11": b"v"}, 12)
    assert (recovering.recovery.num_left, recovering.recovery.signal_recovery_end.is_set()) == (2, False)
    await recovering.fetch(14)  # 13 is compacted
    assert (recovering.rows(), recovering.store.persisted_offset(CHANGELOG)) == ({b"11": b"v", b"14": b"v"}, 14)
    assert (recovering.recovery.num_left, recovering.recovery.signal_recovery_end.is_set()) == (0, True)
    assert not recovering.recovery.in_recovery


@pytest.mark.parametrize("when", ["before the seek", "after a rebalance", "after the end", "of a topic nobody follows"])
async def test_changelog_records_that_do_not_follow_what_is_held_are_dropped(recovering: Recovering, when: str) -> None:
    tp = CHANGELOG
    match when:
        case "after a rebalance":
            await seek(recovering)
            await recovering.recovery.on_rebalance(set(), set(), set(), recovering.app.consumer_generation_id - 1)
        case "after the end":
            await seek(recovering)
            await recovering.fetch(14)
            recovering.recovery.active_highwaters[CHANGELOG] = 20
        case "of a topic nobody follows":
            await seek(recovering)
            tp = TP(CHANGELOG.topic, 3)
    held = recovering.rows()
    assert await recovering.fetch(15, 16, tp=tp) == [SOURCE]
    assert recovering.rows() == held


async def test_the_seek_of_a_recovery_waits_for_the_fetch_on_its_way(recovering: Recovering) -> None:
    answer = asyncio.get_running_loop().create_future()

    async def getmany(active: set[TP] | None, timeout: float) -> Any:
        return await answer

    recovering.app.consumer._thread.getmany = getmany
    fetching = asyncio.create_task(recovering.app.consumer._getmany({CHANGELOG}, 0.0))
    await others_run()
    seeking = asyncio.create_task(seek(recovering))
    await others_run()
    assert not seeking.done()
    answer.set_result({CHANGELOG: [changelog_record(5_000)]})  # where another recovery had come to
    await asyncio.gather(fetching, seeking)
    assert (recovering.rows(), recovering.recovery.active_offsets[CHANGELOG]) == ({}, 10)


async def test_a_recovery_says_how_far_it_is(recovering: Recovering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.faust_fixes._PROGRESS_SECONDS", 0.01)
    with capture_logs() as lines:
        saying = asyncio.create_task(type(recovering.recovery)._publish_stats.fun(recovering.recovery))
        await asyncio.sleep(0.05)
        assert lines == []
        await seek(recovering)
        await recovering.fetch(11)
        await until(lambda: lines)
        saying.cancel()
    assert (lines[0]["event"], lines[0]["records_stored"], lines[0]["records_left"]) == ("recovering", 1, 3)
    assert lines[0]["per_second"] > 0


class Table:
    """A table as recovery knows it."""

    recovery_buffer_size = 10

    async def on_changelog_event(self, event: object) -> None: ...


async def test_stock_takes_changelog_records_from_a_queue_and_hands_strangers_to_another_table() -> None:
    app = stock_app()
    recovery = app.tables.recovery
    table = Table()
    recovery.active_tps.add(CHANGELOG)
    recovery.tp_to_table[CHANGELOG] = table
    for event in changelog_records():
        app.tables.changelog_queue.put_nowait(event)
    slurping = asyncio.create_task(type(recovery)._slurp_changelogs.fun(recovery))
    await until(lambda: len(recovery.buffers[table]) == 2)
    slurping.cancel()
    assert [event.message.value for event in recovery.buffers[table]] == [b"mine", b"a stranger's"]


def test_every_correction_is_in_place() -> None:
    app = FixedApp("ours", **settings())
    app.consumer._thread.thread_loop.close()
    assert type(app.consumer) is WatermarkConsumer
    assert type(app.tables.recovery) is OrderedRecovery


@pytest.mark.parametrize("name", PINNED)
def test_another_version_of_a_library_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_versions()
    monkeypatch.setattr("agents.faust_fixes.version", lambda found: "9.9" if found == name else PINNED[found])
    with pytest.raises(UnprovenVersion, match=f"{name} is 9.9, but prefstream is proven with {PINNED[name]}"):
        assert_versions()
