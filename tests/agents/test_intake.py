"""Intake sends every event to its user's partition or keeps the record as a dead letter, and is done with it only then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from unittest.mock import AsyncMock

import msgspec
import pytest
from faust.types import Message

from agents.intake import Intake, raw_record
from agents.metrics import Metrics
from agents.outbox import Outbox
from agents.progress import Progress
from prefstream.dead_letters import DeadLetter, Origin
from prefstream.events import Click, Event, Item, encode_event
from prefstream.replays import Replay, header_of
from prefstream.sources import Mark
from streams.adapters import Adapter, Decoded, RawRecord
from streams.adapters.native import native
from streams.adapters.replays import replays
from streams.keys import murmur2_partition
from streams.records import decode_arrival, decode_event, decode_filtered, filtered_key
from tests.agents.scripted import NAMES, ScriptedProducer, Stopped, counted, message, others_run, stops_recorded, stream_of

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
SOURCE = ("clicks", 0)
NUM_PARTITIONS = 3


async def no_ends() -> dict[str, int]:
    raise AssertionError("nobody asked to be forgotten")


class Worker:
    """Intake of the topic ``clicks``, writing to a scripted producer."""

    def __init__(self, outbox: Outbox, producer: ScriptedProducer) -> None:
        self.outbox, self.producer, self.progress, self.metrics = outbox, producer, Progress(), Metrics()

    async def run(self, *messages: Message, adapter: Adapter = native, tenants: dict[str, str] | None = None) -> None:
        """Have these messages taken in; the first one follows the committed offset."""
        self.progress.start(SOURCE, messages[0].offset, Mark(topic_id="CLICKS"))
        self.progress.hand_over(SOURCE, [one.offset for one in messages])
        await Intake({"clicks": adapter}, self.outbox, self.progress, self.metrics, no_ends, tenants).run(stream_of(messages))

    async def written(self) -> dict[tuple[str, int], list[tuple[bytes, Any]]]:
        await self.outbox.flush()
        return self.producer.log

    async def letters(self) -> list[DeadLetter]:
        """The dead letters, in the order of their partitions."""
        rows = [rows for (topic, _), rows in sorted((await self.written()).items()) if topic == NAMES.dead_letters]
        return [msgspec.json.decode(value, type=DeadLetter) for lane in rows for _, value in lane]


@pytest.fixture
async def worker(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Worker]:
    monkeypatch.setattr("agents.writer._LINGER_SECONDS", 0)
    producer = ScriptedProducer()

    async def start_producer(bootstrap_servers: str) -> ScriptedProducer:
        return producer

    monkeypatch.setattr("agents.outbox.start_producer", start_producer)
    outbox = Outbox("nowhere:1", NAMES, NUM_PARTITIONS)
    await outbox.open()
    yield Worker(outbox, producer)
    await outbox.close()
    assert producer.is_stopped


def click(user: str) -> Event:
    return Click(user=user, at=AT, item=Item(id="1"))


async def test_every_event_is_on_its_users_partition_in_order(worker: Worker) -> None:
    users = ["ada", "bob", "eve", "👩‍👩‍👧", "ada", "zoë", "ada"]
    await worker.run(*(message("clicks", 40 + n, encode_event(click(user))) for n, user in enumerate(users)))
    log = await worker.written()
    assert len(log) > 1
    for (topic, partition), rows in log.items():
        assert topic == NAMES.events
        assert {murmur2_partition(key, NUM_PARTITIONS) for key, _ in rows} == {partition}
        origins = [decode_arrival(value).origin for _, value in rows]
        assert origins == [Origin("CLICKS", 0, 40 + n) for n, user in enumerate(users) if user.encode() in dict(rows)]
        assert [decode_event(decode_arrival(value)).user.encode() for _, value in rows] == [key for key, _ in rows]
    assert counted(worker.metrics) == {"source_records clicks": 7}
    assert worker.progress.committable() == {SOURCE: 47}


async def test_an_unreadable_record_is_a_letter_and_the_next_one_goes_on(worker: Worker) -> None:
    good = encode_event(click("ada"))
    await worker.run(message("clicks", 40, b"not JSON", b"k"), message("clicks", 41, None), message("clicks", 42, good))
    first, second = sorted(await worker.letters(), key=lambda letter: letter.origin.offset)
    assert (first.origin, first.source, first.reason) == (Origin("CLICKS", 0, 40), "clicks", "undecodable")
    assert (first.key, first.value, first.headers) == (b"k", b"not JSON", (("h", b"1"), ("none", b"")))
    assert (second.origin, second.value) == (Origin("CLICKS", 0, 41), None)
    assert [len(rows) for (topic, _), rows in (await worker.written()).items() if topic == NAMES.events] == [1]
    assert counted(worker.metrics) == {"source_records clicks": 3, "dead_letters undecodable": 2}
    assert worker.progress.committable() == {SOURCE: 43}


async def test_letters_of_one_source_partition_stay_in_order_under_their_origin(worker: Worker) -> None:
    await worker.run(*(message("clicks", 40 + n, b"?") for n in range(3)))
    log = await worker.written()
    assert {place: [key for key, _ in rows] for place, rows in log.items()} == {
        (NAMES.dead_letters, 0): [b"CLICKS/0/40", b"CLICKS/0/41", b"CLICKS/0/42"]
    }


async def test_a_record_of_many_events_makes_all_of_them(worker: Worker) -> None:
    def twins(record: RawRecord) -> tuple[Event, ...]:
        return (click("ada"), click("ada"))

    await worker.run(message("clicks", 40, b"two"), adapter=twins)
    ((_, rows),) = (await worker.written()).items()
    assert [decode_arrival(value).origin for _, value in rows] == [Origin("CLICKS", 0, 40, 0), Origin("CLICKS", 0, 40, 1)]


async def test_a_record_that_says_nothing_is_filtered_and_counted(worker: Worker) -> None:
    def silent(record: RawRecord) -> tuple[Event, ...]:
        return ()

    await worker.run(message("clicks", 40, b"nothing"), message("clicks", 41, b"nothing"), adapter=silent)
    rows = [
        (key, place[1], decode_filtered(value).origin) for place, of in (await worker.written()).items() for key, value in of
    ]
    origins = [Origin("CLICKS", 0, offset) for offset in (40, 41)]
    assert sorted(rows) == [
        (filtered_key(origin), murmur2_partition(filtered_key(origin), NUM_PARTITIONS), origin) for origin in origins
    ]
    assert counted(worker.metrics) == {"source_records clicks": 2, "filtered_records clicks": 2}
    assert worker.progress.committable() == {SOURCE: 42}


async def test_what_was_done_and_what_is_not_ours_is_left_alone(worker: Worker) -> None:
    await worker.run(message("clicks", 40, b"?"), message("clicks", 40, b"?"), message("clicks", 41, b"?", partition=5))
    assert (counted(worker.metrics)["source_records clicks"], worker.progress.committable()) == (1, {SOURCE: 41})


async def test_a_hole_stops_the_worker_with_the_record_undone(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    stops = stops_recorded(monkeypatch, "agents.failstop")
    worker.progress.start(SOURCE, 40)
    worker.progress.hand_over(SOURCE, [40, 41, 42])
    intake = Intake({"clicks": native}, worker.outbox, worker.progress, worker.metrics, no_ends)
    with pytest.raises(Stopped):
        await intake.run(stream_of(message("clicks", offset, b"?") for offset in (40, 42)))
    assert len(stops) == 1
    assert stops[0].startswith("intake met something unexpected: clicks/0: expected offset 41, got 42")
    assert worker.progress.committable() == {SOURCE: 41}


async def test_a_record_that_meets_a_defect_is_a_letter_that_quotes_nothing_and_the_next_goes_on(worker: Worker) -> None:
    """It would stop every worker that reads it, one after the other."""

    def defective(record: RawRecord) -> tuple[Event, ...]:
        if record.offset == 40:
            raise ZeroDivisionError(f"a secret of {record.value!r}")
        return (click("ada"),)

    await worker.run(message("clicks", 40, b"ada"), message("clicks", 41, b"ada"), adapter=defective)
    (letter,) = await worker.letters()
    assert (letter.reason, letter.value, letter.origin.offset) == ("unprocessable", b"ada", 40)
    assert "ZeroDivisionError in defective, line " in letter.message
    assert "secret" not in letter.message
    assert worker.progress.committable() == {SOURCE: 42}


async def test_a_full_lane_holds_back_the_next_record(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    room = AsyncMock()
    monkeypatch.setattr(worker.outbox, "room", room)
    await worker.run(message("clicks", 40, b"?"), message("clicks", 41, b"?"))
    assert room.await_count == 2


async def test_the_outbox_is_flushed_when_all_of_it_is_durable(worker: Worker) -> None:
    worker.producer.is_held = True
    await worker.run(message("clicks", 40, encode_event(click("ada"))), message("clicks", 41, b"?"))
    batches = [await worker.producer.sent.get(), await worker.producer.sent.get()]
    task = asyncio.create_task(worker.outbox.flush())
    for offset, batch in enumerate(batches):
        await others_run()
        assert not task.done()
        batch.acknowledge(offset)
    await asyncio.wait_for(task, 5)


@pytest.mark.parametrize(("timestamp", "timestamp_ms"), [(1_700_000_000.25, 1_700_000_000_250), (None, 0), (0.0, 0)])
def test_a_message_as_the_pure_core_sees_it(timestamp: float | None, timestamp_ms: int) -> None:
    headers = [("a", b"1"), ("b", None), ("a", b"2")]
    kafka = Message("clicks", 3, 41, timestamp or 0.0, 0, headers, b"k", b"v", None)
    kafka.timestamp = timestamp
    record = RawRecord("clicks", 3, 41, b"k", b"v", (("a", b"1"), ("b", b""), ("a", b"2")), timestamp_ms)
    assert raw_record(kafka) == record


async def test_what_a_tenants_topic_has_is_the_tenants(worker: Worker) -> None:
    def half_defective(record: RawRecord) -> Decoded:
        return native(record) if record.value != b"defect" else (1 / 0,)  # type: ignore[return-value]

    messages = (
        message("clicks", 40, encode_event(click("ada"))),
        message("clicks", 41, b"?"),
        message("clicks", 42, b"defect"),
    )
    await worker.run(*messages, adapter=half_defective, tenants={"clicks": "shop"})
    keys = [key for (topic, _), rows in (await worker.written()).items() if topic == NAMES.events for key, _ in rows]
    assert keys == [b"shop\xffada"]
    assert [(letter.reason, letter.tenant) for letter in await worker.letters()] == [
        ("undecodable", "shop"),
        ("unprocessable", "shop"),
    ]


async def test_a_replay_is_whose_its_topic_is_now(worker: Worker) -> None:
    """It may have been a dead letter because nobody had said that yet."""
    old = Replay(source="clicks", origin=Origin("CLICKS", 0, 7), attempts=1, first_seen_at=AT, tenant="before")
    value = encode_event(click("ada"))
    replayed = message("replays", 40, value)
    replayed.headers = [header_of(old)]
    worker.progress.start(("replays", 0), 40, Mark(topic_id="R"))
    worker.progress.hand_over(("replays", 0), [40])
    adapters = {"clicks": native, "replays": replays}
    intake = Intake(adapters, worker.outbox, worker.progress, worker.metrics, no_ends, {"clicks": "shop"})
    await intake.run(stream_of([replayed]))
    ((key, _),) = [row for rows in (await worker.written()).values() for row in rows]
    assert key == b"shop\xffada"
