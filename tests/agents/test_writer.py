"""The writer keeps the order, stores before it calls back, and after the first failure acknowledges nothing ever again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError

from agents.fence import Fenced
from agents.store import Shard
from agents.writer import OWNER_VALUE, Durable, Lane, NotDurable, PartitionWriter, Record, flush, start_producer
from prefstream.topics import OWNER_KEY
from tests.agents.scripted import KEPT_AN_HOUR, Batch, ScriptedProducer, Stopped, others_run, stops_recorded, until


def new_lane(producer: ScriptedProducer, durable: Durable | None = None) -> Lane:
    return Lane(producer, "t.pending", 3, durable)


def put_all(lane: Lane, keys: bytes) -> None:
    for key in keys:
        lane.put((bytes([key]), b"v"))


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.writer._LINGER_SECONDS", 0)


def keys_of(batch: Batch) -> bytes:
    return b"".join(key for key, _ in batch.rows)


async def test_what_piles_up_while_a_batch_is_on_its_way_makes_the_next() -> None:
    producer = ScriptedProducer(is_held=True)
    lane = new_lane(producer)
    lane.put((b"a", b"v"))
    first = await producer.sent.get()
    for key in b"bcdef":
        put_all(lane, bytes([key]))
        await others_run()
    assert producer.sent.empty()
    first.acknowledge(0)
    second = await producer.sent.get()
    assert (keys_of(first), keys_of(second)) == (b"a", b"bcdef")
    second.acknowledge(1)
    await lane.flushed()
    await lane.close()


async def test_a_full_batch_leaves_the_rest_in_order() -> None:
    producer = ScriptedProducer(max_records=3)
    lane = new_lane(producer)
    put_all(lane, b"abcdefgh")
    await lane.flushed()
    assert [keys_of(producer.sent.get_nowait()) for _ in range(3)] == [b"abc", b"def", b"gh"]
    assert producer.sent.empty()
    await lane.close()


async def test_a_lane_writes_to_its_own_topic_and_partition_values_and_tombstones() -> None:
    producer = ScriptedProducer()
    lane = new_lane(producer)
    lane.put((b"a", b"1"))
    lane.put((b"a", None))
    await lane.flushed()
    assert producer.log == {("t.pending", 3): [(b"a", b"1"), (b"a", None)]}
    await lane.close()


async def test_a_record_has_its_own_headers() -> None:
    producer = ScriptedProducer()
    lane = new_lane(producer)
    lane.put((b"a", b"v"), headers=(("traceparent", b"00"),))
    lane.put((b"b", b"v"))
    await lane.flushed()
    assert (await producer.sent.get()).headers == [[("traceparent", b"00")], []]
    await lane.close()


async def test_rows_are_stored_with_the_last_offset_and_only_then_called_back_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1_000, 2_000])  # the second instant is that of the acknowledgement, which proves nothing
    monkeypatch.setattr("agents.writer.wall_clock_ms", lambda: next(clock))
    producer, told = ScriptedProducer(is_held=True), list[object]()

    def durable(records: list[Record], last_offset: int, sending_at_ms: int) -> None:
        told.append((b"".join(record.row[0] for record in records), last_offset, sending_at_ms))

    lane = new_lane(producer, durable)
    lane.put((b"a", b"v"), partial(told.append, "a"))
    lane.put((b"b", b"v"))
    lane.put((b"c", b"v"), partial(told.append, "c"))
    batch = await producer.sent.get()
    await others_run()
    assert told == []
    batch.acknowledge(40)
    await lane.flushed()
    assert told == [(b"abc", 42, 1_000), "a", "c"]
    await lane.close()


async def test_a_callback_finds_its_row_in_the_store(tmp_path: Path) -> None:
    producer, shard = ScriptedProducer(is_held=True), Shard(tmp_path / "shard", KEPT_AN_HOUR)
    writer = PartitionWriter(producer, 3, {"t.pending": shard}, "t-3")
    found: list[tuple[bytes | None, list[tuple[bytes, bytes]], int | None]] = []
    writer.put("t.pending", b"a", b"1", lambda: found.append((shard.get(b"a"), list(shard.scan(b"a")), shard.offset)))
    batch = await producer.sent.get()
    assert (shard.get(b"a"), list(shard.scan(b"")), shard.offset) == (b"1", [], None)
    batch.acknowledge(7)
    await until(lambda: found)
    assert found == [(b"1", [(b"a", b"1")], 7)]
    writer.put("t.pending", b"a", None)
    assert shard.get(b"a") is None
    await writer.close()
    assert producer.is_stopped
    shard.close()


async def test_a_callback_may_put_more() -> None:
    producer = ScriptedProducer()
    lane = new_lane(producer)
    lane.put((b"a", b"v"), lambda: lane.put((b"b", b"v"), lambda: lane.put((b"c", b"v"))))
    await until(lambda: producer.log and len(producer.log["t.pending", 3]) == 3)
    await lane.flushed()
    await lane.close()


async def test_flushed_waits_for_what_was_put_before_it_and_no_more() -> None:
    producer = ScriptedProducer(is_held=True, max_records=1)
    lane = new_lane(producer)
    await lane.flushed()
    put_all(lane, b"ab")
    waiting = asyncio.create_task(lane.flushed())
    await others_run()
    put_all(lane, b"c")
    (await producer.sent.get()).acknowledge(0)
    second = await producer.sent.get()
    await others_run()
    assert not waiting.done()
    second.acknowledge(1)
    await asyncio.wait_for(waiting, 5)
    assert keys_of(await producer.sent.get()) == b"c"
    await lane.close()


async def test_flush_waits_for_every_lane() -> None:
    slow, quick = ScriptedProducer(is_held=True), ScriptedProducer()
    lanes = [new_lane(slow), new_lane(quick)]
    for lane in lanes:
        put_all(lane, b"a")
    waiting = asyncio.create_task(flush(lanes))
    await others_run()
    assert not waiting.done()
    (await slow.sent.get()).acknowledge(0)
    await asyncio.wait_for(waiting, 5)
    for lane in lanes:
        await lane.close()


async def test_a_lane_gathers_until_it_has_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.writer._LINGER_SECONDS", 3_600)
    monkeypatch.setattr("agents.writer._ENOUGH_RECORDS", 3)
    producer = ScriptedProducer()
    enough, too_few = new_lane(producer), new_lane(producer)
    put_all(enough, b"abc")
    put_all(too_few, b"de")
    await enough.flushed()
    await others_run()
    assert [keys_of(producer.sent.get_nowait()), producer.sent.empty()] == [b"abc", True]
    await enough.close()
    await too_few.close()


async def test_a_full_lane_has_room_again_when_less_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.writer._MAX_QUEUED", 3)
    producer = ScriptedProducer(is_held=True, max_records=2)
    lane, was_full = new_lane(producer), list[bool]()
    for keys in (b"ab", b"c", b"defg"):
        put_all(lane, keys)
        was_full.append(lane.is_full)
    assert was_full == [False, True, True]
    waiting = asyncio.create_task(lane.room())
    (await producer.sent.get()).acknowledge(0)
    second = await producer.sent.get()
    await others_run()
    assert (lane.is_full, waiting.done()) == (True, False)
    second.acknowledge(2)
    (await producer.sent.get()).acknowledge(4)
    await asyncio.wait_for(waiting, 5)
    assert not lane.is_full
    await lane.close()


async def test_a_partition_has_room_when_each_of_its_lanes_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("agents.writer._MAX_QUEUED", 1)
    producer = ScriptedProducer(is_held=True, max_records=1)
    shards = {name: Shard(tmp_path / name, KEPT_AN_HOUR) for name in ("one", "other")}
    writer = PartitionWriter(producer, 0, shards, "t-0")
    for key in (b"a", b"b"):
        writer.put("other", key, b"v")
    waiting = asyncio.create_task(writer.room())
    batch = await producer.sent.get()
    await others_run()
    assert not waiting.done()
    batch.acknowledge(0)
    await asyncio.wait_for(waiting, 5)
    await writer.close()
    for shard in shards.values():
        shard.close()


def store_is_broken(records: list[Record], last_offset: int, sending_at_ms: int) -> None:
    raise OSError("disk full")


@pytest.mark.parametrize(
    ("answer", "durable", "detail"),
    [
        (lambda batch: batch.fail(ConnectionError("broker gone")), None, "broker gone"),
        (lambda batch: batch.acknowledge(-1), None, "without saying where it is"),
        (lambda batch: batch.acknowledge(0), store_is_broken, "disk full"),
    ],
    ids=["refused", "no offset", "store"],
)
async def test_the_first_failure_stops_the_worker_and_nothing_after_it_is_acknowledged(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[Batch], None], durable: Durable | None, detail: str
) -> None:
    stops = stops_recorded(monkeypatch, "agents.writer")
    producer, told = ScriptedProducer(is_held=True, max_records=1), list[str]()
    lane = new_lane(producer, durable)
    lane.put((b"a", b"v"), partial(told.append, "a"))
    lane.put((b"b", b"v"), partial(told.append, "b"))
    waiting = asyncio.create_task(lane.flushed())
    answer(await producer.sent.get())
    await others_run()
    assert len(stops) == 1
    assert stops[0].startswith("a record for t.pending/3 could not be made durable: ")
    assert detail in stops[0]
    assert (told, waiting.done(), producer.sent.empty()) == ([], False, True)
    waiting.cancel()
    await lane.close()


async def test_a_batch_that_cannot_even_be_sent_stops_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    stops, producer = stops_recorded(monkeypatch, "agents.writer"), ScriptedProducer()

    async def send_batch(*args: object, **kwargs: object) -> None:
        raise RuntimeError("producer closed")

    monkeypatch.setattr(producer, "send_batch", send_batch)
    lane = new_lane(producer)
    put_all(lane, b"a")
    await until(lambda: stops)
    assert stops == ["a record for t.pending/3 could not be made durable: producer closed"]
    await lane.close()


async def test_a_callback_that_fails_stops_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def then() -> None:
        raise KeyError("index and table disagree")

    stops, lane = stops_recorded(monkeypatch, "agents.writer"), new_lane(ScriptedProducer())
    lane.put((b"a", b"v"), then)
    await until(lambda: stops)
    assert "index and table disagree" in stops[0]
    await lane.close()


async def test_closing_releases_who_waits_and_sends_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.writer._MAX_QUEUED", 1)
    producer, told = ScriptedProducer(is_held=True, max_records=1), list[str]()
    lane = new_lane(producer, lambda records, last_offset, sending_at_ms: told.append("stored"))
    for key in (b"a", b"b", b"c"):
        lane.put((key, b"v"), lambda: told.append("called"))
    waiting = [asyncio.create_task(lane.flushed()), asyncio.create_task(lane.room())]
    batch = await producer.sent.get()
    await lane.close()
    flushed, room = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
    assert (type(flushed), room) == (NotDurable, None)  # a commit must not follow
    if not batch.delivery.done():
        batch.acknowledge(0)
    await others_run()
    assert (told, producer.sent.empty()) == ([], True)


@pytest.mark.parametrize("fence", [None, "t-3"])
async def test_the_producer_is_idempotent_waits_for_every_replica_and_is_fenced(
    monkeypatch: pytest.MonkeyPatch, fence: str | None
) -> None:
    made: dict[str, Any] = {}

    class Producer:
        def __init__(self, **options: Any) -> None:
            made.update(options)
            self._txn_manager = SimpleNamespace(transactional_id=None)

        async def start(self) -> None:
            made["fence"] = self._txn_manager.transactional_id

    monkeypatch.setattr("aiokafka.AIOKafkaProducer", Producer)
    producer = await start_producer("broker:9092", fence)
    assert (made["bootstrap_servers"], made["enable_idempotence"], made["acks"]) == ("broker:9092", True, "all")
    assert made["request_timeout_ms"] >= 60_000
    # Its id is asked for as a transactional producer's, and what it sends is plain.
    assert (made["fence"], producer._txn_manager.transactional_id) == (fence, None)


@pytest.mark.parametrize("error", [KafkaConnectionError("nobody is there"), asyncio.CancelledError()])
async def test_a_producer_that_does_not_come_to_start_is_closed(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    async def bootstrap(client: AIOKafkaClient) -> None:
        raise error

    started: list[AIOKafkaProducer] = []

    async def start(producer: AIOKafkaProducer) -> None:
        started.append(producer)
        await begin(producer)

    begin = AIOKafkaProducer.start
    monkeypatch.setattr(AIOKafkaProducer, "start", start)
    monkeypatch.setattr(AIOKafkaClient, "bootstrap", bootstrap)
    with pytest.raises(type(error)):
        await start_producer("broker:9092")
    assert [producer._closed for producer in started] == [True]


class Renewing(NamedTuple):
    """A partition's writer about to renew its fence, and the instants at which it was asked to."""

    writer: PartitionWriter
    producer: ScriptedProducer
    shard: Shard
    asked: list[str]


@pytest.fixture
async def renewing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Renewing]:
    """The broker agrees, unless a test says otherwise."""
    asked: list[str] = []

    async def renew_epoch(producer: ScriptedProducer, fence: str) -> None:
        asked.append(fence)

    monkeypatch.setattr("agents.writer.renew_epoch", renew_epoch)
    producer, shard = ScriptedProducer(is_held=True), Shard(tmp_path / "shard", KEPT_AN_HOUR)
    renewing = Renewing(PartitionWriter(producer, 3, {"t.pending": shard}, "t-3"), producer, shard, asked)
    yield renewing
    await renewing.writer.close()
    shard.close()


async def test_a_fence_is_renewed_between_two_batches_and_shown_by_a_barrier(renewing: Renewing) -> None:
    renewing.writer.put("t.pending", b"a", b"1")
    batch = await renewing.producer.sent.get()
    renewal = asyncio.create_task(renewing.writer.renew_fence())
    await others_run()
    assert renewing.asked == []  # a batch of the old epoch is on its way: behind one of the new it would be refused
    batch.acknowledge(0)
    await renewal
    assert renewing.asked == ["t-3"]
    barrier = await asyncio.wait_for(renewing.producer.sent.get(), 5)
    assert barrier.rows == [(OWNER_KEY, OWNER_VALUE)]
    barrier.acknowledge(1)
    await flush(renewing.writer.lanes.values())
    assert [*renewing.shard.scan(b"a")] == [(b"a", b"1")]
    assert renewing.shard.get(OWNER_KEY) is None


async def test_nothing_is_sent_while_the_broker_is_asked_for_an_epoch(
    renewing: Renewing, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = asyncio.Event()

    async def slow(producer: ScriptedProducer, fence: str) -> None:
        await answer.wait()

    monkeypatch.setattr("agents.writer.renew_epoch", slow)
    renewal = asyncio.create_task(renewing.writer.renew_fence())
    await others_run()
    renewing.writer.put("t.pending", b"a", b"1")
    await asyncio.sleep(0.1)
    assert renewing.producer.sent.empty()
    answer.set()
    await renewal
    sent = await asyncio.wait_for(renewing.producer.sent.get(), 5)
    assert sent.rows == [(b"a", b"1"), (OWNER_KEY, OWNER_VALUE)]


async def refuse(producer: ScriptedProducer, fence: str) -> None:
    raise Fenced("another owner has begun")


async def test_an_owner_with_an_heir_ends(renewing: Renewing, monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = stops_recorded(monkeypatch, "agents.writer")
    monkeypatch.setattr("agents.writer.renew_epoch", refuse)
    with pytest.raises(Stopped):
        await renewing.writer.renew_fence()
    assert reasons == ["this worker slept through the loss of a partition: another owner has begun"]


async def test_an_heir_of_what_was_given_up_is_in_order(renewing: Renewing, monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = stops_recorded(monkeypatch, "agents.writer")
    monkeypatch.setattr("agents.writer.renew_epoch", refuse)
    await renewing.writer.close()
    await renewing.writer.renew_fence()
    assert (reasons, renewing.producer.sent.empty()) == ([], True)


async def test_a_broker_that_cannot_say_leaves_the_old_epoch(renewing: Renewing, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(producer: ScriptedProducer, fence: str) -> None:
        raise KafkaConnectionError("away")

    monkeypatch.setattr("agents.writer.renew_epoch", away)
    with pytest.raises(KafkaConnectionError):
        await renewing.writer.renew_fence()
    renewing.writer.put("t.pending", b"a", b"1")
    sent = await asyncio.wait_for(renewing.producer.sent.get(), 5)
    assert sent.rows == [(b"a", b"1")]
