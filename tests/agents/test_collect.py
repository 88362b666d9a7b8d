"""Collect stores what is new, counts what is not, and says an event is done only when its row is on its way to the log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import msgspec
import pytest
from faust.types import Message

from agents.clock import now_ms
from agents.collect import Collect
from agents.metrics import Metrics
from agents.obey import Obey
from agents.outbox import Outbox
from agents.progress import Progress
from agents.writer import Then
from prefstream.commands import Command, Never, OptIn, OptOut
from prefstream.dead_letters import DeadLetter, Origin
from prefstream.events import Click, Item
from prefstream.receipts import Receipt
from prefstream.tenants import key_of
from streams.controls import Controls, encode_controls
from streams.keys import controls_key, event_key
from streams.ledger import Ledger
from streams.records import Arrival, Filtered, encode_arrival, encode_event, encode_filtered, filtered_key
from tests.agents.scripted import (
    NAMES,
    POLICY,
    Opened,
    Stopped,
    arrival_of,
    counted,
    message,
    open_partition,
    stops_recorded,
    stream_of,
)

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
SOURCE = (NAMES.events, 0)
OUTCOMES = ("accepted", "redelivered", "duplicate")


class Letters(Outbox):
    """An outbox that keeps its letters."""

    def __init__(self) -> None:
        super().__init__("nowhere:1", NAMES, 1)
        self.kept: list[DeadLetter] = []
        self.receipts: list[Receipt] = []

    def hand_out(self, user: bytes, receipt: Receipt, then: Then) -> None:
        self.receipts.append(receipt)
        then()

    def partition_of(self, user: bytes) -> int:
        return 1 if user == b"astray" else 0

    def refuse(self, letter: DeadLetter, then: Then | None = None) -> None:
        self.kept.append(letter)


class Worker:
    """Collect on one open partition."""

    def __init__(self, opened: Opened) -> None:
        self.opened, self.letters, self.progress, self.metrics = opened, Letters(), Progress(), Metrics()
        obey = Obey(self.letters, self.metrics, 160)
        forget: Any = None  # nobody asks for it here
        self.collect = Collect(opened.partitions, self.letters, obey, forget, "EVENTS", self.progress, self.metrics)

    async def run(self, *messages: Message) -> None:
        """Have these messages collected; the first one follows the committed offset."""
        self.progress.start(SOURCE, messages[0].offset)
        self.progress.hand_over(SOURCE, [one.offset for one in messages])
        await self.collect.run(stream_of(messages))

    def counts(self) -> tuple[float, ...]:
        counts = counted(self.metrics)
        return tuple(counts.get(f"collected_events {outcome}", 0) for outcome in OUTCOMES)


@pytest.fixture
async def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Worker]:
    monkeypatch.setattr("agents.writer._LINGER_SECONDS", 0)
    opened = await open_partition(tmp_path, monkeypatch)
    yield Worker(opened)
    await opened.close()


def event(offset: int, user: str = "ada", *, place: int | None = None, event_id: str = "", partition: int = 0) -> Message:
    arrival = arrival_of(Click(user=user, at=AT, item=Item(id="1"), id=event_id), offset if place is None else place)
    return message(NAMES.events, offset, encode_arrival(arrival), user.encode(), partition)


async def test_the_same_id_in_two_tenants_is_two_people(worker: Worker) -> None:
    hers = event(3)
    arrival = arrival_of(Click(user="ada", tenant="shop", at=AT, item=Item(id="1")), 4)
    theirs = message(NAMES.events, 4, encode_arrival(arrival), b"shop\xffada")
    stray = message(NAMES.events, 5, encode_arrival(arrival), b"ada")
    opted_out = command_message(6, OptOut(user="ada", tenant="shop", at=AT), 6)
    await worker.run(hers, theirs, stray, opted_out, event(7))
    await worker.opened.partitions.flush()
    assert worker.opened.owned.index.num_users == 2
    assert [letter.key for letter in worker.letters.kept] == [b"ada"]
    assert [(receipt.user, receipt.tenant) for receipt in worker.letters.receipts] == [("ada", "shop")]
    assert [worker.opened.owned.controls(key).is_opted_out for key in (b"shop\xffada", b"ada")] == [True, False]
    assert worker.counts()[0] == 3


async def test_a_new_event_is_stored_noted_and_done(worker: Worker) -> None:
    first, second = event(3), event(4, "bob")
    await worker.run(first, second)
    owned = worker.opened.owned
    assert (owned.index.num_users, owned.index.num_events, worker.counts()) == (2, 2, (2, 0, 0))
    assert worker.opened.pending.get(event_key(b"ada", 3)) == first.value
    assert worker.progress.committable() == {SOURCE: 5}
    await worker.opened.partitions.flush()
    written = [(event_key(b"ada", 3), first.value), (event_key(b"bob", 4), second.value)]
    assert worker.opened.producer.log[NAMES.pending, 0][1:] == written


async def test_nobody_waits_for_the_clock_of_another_worker(worker: Worker) -> None:
    ahead = arrival_of(Click(user="ada", at=AT, item=Item(id="1")), 3, at_ms=now_ms() + 7_200_000)
    await worker.run(message(NAMES.events, 3, encode_arrival(ahead), b"ada"))
    due_at_ms = worker.opened.owned.index.next_due_at_ms()
    assert due_at_ms is not None
    assert due_at_ms <= now_ms() + int(POLICY.max_age_seconds * 1_000)


async def test_duplicates_are_counted_and_change_nothing(worker: Worker) -> None:
    await worker.run(
        event(0, place=5, event_id="x"),
        event(1, place=5),
        event(2, place=4),
        event(3, place=6, event_id="x"),
        event(4, "bob", place=5, event_id="x"),
    )
    assert (worker.counts(), worker.opened.owned.index.num_events) == ((2, 2, 1), 2)
    await worker.opened.partitions.flush()
    assert [key for key, _ in worker.opened.pending.scan(b"e")] == [event_key(b"ada", 0), event_key(b"bob", 4)]
    assert worker.progress.committable() == {SOURCE: 5}


async def test_what_is_read_again_is_taken_as_its_place_says(worker: Worker) -> None:
    """The decision about an opt-out is durable before the ledger has counted the events in front of it."""
    row = encode_controls(Controls(5, 5, is_opted_out=True, opt_positions=(5,)))
    worker.opened.pending.apply([(controls_key(b"ada"), row)], 0)
    await worker.run(event(3), event(6))
    assert worker.opened.owned.ledger == Ledger(7, accepted=1, filtered=1, began_at=3)


async def test_a_redelivered_message_is_not_even_looked_at(worker: Worker) -> None:
    await worker.run(event(3), event(4))
    await worker.collect.run(stream_of([event(3), event(4)]))
    assert (worker.counts(), worker.progress.committable()) == ((2, 0, 0), {SOURCE: 5})


async def test_what_the_ledger_has_counted_is_not_counted_again(worker: Worker) -> None:
    await worker.run(event(3, event_id="x"), event(4))
    await worker.run(event(3, event_id="x"), event(4), event(5, place=4))
    assert (worker.counts(), worker.opened.owned.index.num_events) == ((2, 1, 0), 2)
    assert worker.opened.owned.ledger == Ledger(6, accepted=2, redelivered=1, began_at=3)
    assert worker.progress.committable() == {SOURCE: 6}


def filtered(offset: int, place: int, topic_id: str = "T1") -> Message:
    one = Filtered(Origin(topic_id, 0, place), 1_000_000)
    return message(NAMES.events, offset, encode_filtered(one), filtered_key(one.origin))


async def test_a_filtered_record_is_counted_once_and_stored_nowhere(worker: Worker) -> None:
    await worker.run(filtered(3, place=7), filtered(4, place=9), filtered(5, place=7), filtered(6, place=7, topic_id="T2"))
    assert worker.opened.owned.ledger == Ledger(7, redelivered=1, filtered=3, filtered_to={"T1/0": 9, "T2/0": 7}, began_at=3)
    assert counted(worker.metrics) == {"collected_events filtered": 3, "collected_events redelivered": 1}
    assert (worker.opened.owned.index.num_users, worker.opened.producer.log[NAMES.pending, 0][1:]) == (0, [])
    assert worker.progress.committable() == {SOURCE: 7}


async def test_a_filtered_record_is_known_after_a_crash_as_long_as_it_was_counted(worker: Worker) -> None:
    await worker.run(filtered(3, place=7), filtered(4, place=9))
    worker.opened.owned.ledger = Ledger(4, filtered=1, filtered_to={"T1/0": 7})  # as it was written last
    await worker.run(filtered(3, place=7), filtered(4, place=9), filtered(5, place=7))
    assert worker.opened.owned.ledger == Ledger(6, redelivered=1, filtered=2, filtered_to={"T1/0": 9})


async def test_a_message_of_a_partition_that_is_not_owned_is_left_undone(worker: Worker) -> None:
    worker.progress.start((NAMES.events, 1), 0)
    worker.progress.hand_over((NAMES.events, 1), [0])
    await worker.collect.run(stream_of([event(0, partition=1), event(7, partition=2)]))
    assert (worker.progress.committable(), worker.counts()) == ({}, (0, 0, 0))


GOOD = event(8).value
OF_TOMORROW = msgspec.msgpack.encode({"type": "hologram", "user": "ada", "at": "2026-01-05T20:15:00Z"})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"ada", b""),
        (b"ada", b"hello"),
        (b"ada", None),
        (b"ada", msgspec.msgpack.encode({"type": "click"})),
        (b"ada", b'{"type":"click"}'),
        (b"ada", encode_arrival(Arrival(Origin("T1", 0, 8), 1, 1, "", msgspec.Raw(OF_TOMORROW)))),
        (b"bob", GOOD),
        (b"\xff", GOOD),
        (b"\xff", b"hello"),
        (b"\xff" + bytes(8), encode_filtered(Filtered(Origin("T1", 0, 7), 1))),
        (b"\xff" + bytes(8), encode_filtered(Filtered(Origin("T1", 0, -1), 1))),
        (b"ada", encode_filtered(Filtered(Origin("T1", 0, 7), 1))),
        (None, GOOD),
        (b"astray", event(8, "astray").value),
    ],
)
async def test_what_intake_did_not_write_is_a_dead_letter(worker: Worker, key: bytes | None, value: bytes | None) -> None:
    """Once stored, it would stop every worker that takes it up."""
    await worker.run(message(NAMES.events, 8, value, key), event(9))
    (letter,) = worker.letters.kept
    assert (letter.origin.topic, letter.origin.offset, letter.reason, letter.key) == ("EVENTS", 8, "undecodable", key)
    assert "publish events to a source topic instead" in letter.message
    assert counted(worker.metrics)["dead_letters undecodable"] == 1
    assert (worker.counts(), worker.progress.committable()) == ((1, 0, 0), {SOURCE: 10})


async def test_a_hole_stops_the_worker_and_nothing_after_it_is_done(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    stops = stops_recorded(monkeypatch, "agents.failstop")
    worker.progress.start(SOURCE, 3)
    worker.progress.hand_over(SOURCE, [3, 4, 5])
    with pytest.raises(Stopped):
        await worker.collect.run(stream_of([event(3), event(5)]))
    assert stops == [
        "collect met something unexpected: t.events/0: expected offset 4, got 5: what lies between was lost on the way"
    ]
    assert (worker.progress.committable(), worker.counts()) == ({SOURCE: 4}, (1, 0, 0))


async def test_a_store_that_fails_stops_the_worker_before_the_event_is_done(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops = stops_recorded(monkeypatch, "agents.failstop")
    monkeypatch.setattr(worker.opened.owned, "known", Mock(side_effect=OSError("disk gone")))
    with pytest.raises(Stopped):
        await worker.run(event(3))
    assert stops == ["collect met something unexpected: disk gone"]
    assert worker.progress.committable() == {}


async def test_a_full_lane_holds_back_the_next_event(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    room = AsyncMock()
    monkeypatch.setattr(worker.opened.owned.writer, "room", room)
    await worker.run(event(3), event(4))
    assert room.await_count == 2


def command_message(offset: int, command: Command, place: int) -> Message:
    """The command as intake passes it on, read at this offset of its source."""
    arrival = Arrival(Origin("T1", 0, place), 1_000_000, 0, command.id, msgspec.Raw(encode_event(command)))
    return message(NAMES.events, offset, encode_arrival(arrival), key_of(command.tenant, command.user))


async def test_a_command_is_obeyed_in_its_place_and_counted_once(worker: Worker) -> None:
    never = Never(user="ada", at=AT, id="c1", subject="war")
    messages = [command_message(4, never, 0), command_message(5, never, 0), command_message(6, never, 1)]
    await worker.run(*messages)
    await worker.opened.partitions.flush()
    assert worker.opened.owned.controls(b"ada") == Controls(4, 4, nevers=("war",))
    assert worker.opened.owned.ledger == Ledger(7, redelivered=1, duplicate=1, commands=1, began_at=4)
    assert [receipt.id for receipt in worker.letters.receipts] == ["c1"]


async def test_a_command_whose_count_was_lost_in_a_crash_is_counted_and_not_applied_again(worker: Worker) -> None:
    """Its place is known only as that of something uncounted, so it is no duplicate of itself."""
    await worker.run(command_message(4, OptOut(user="ada", at=AT, id="c1"), 0))
    await worker.opened.partitions.flush()
    worker.opened.owned.ledger = Ledger(4)
    await worker.run(command_message(4, OptOut(user="ada", at=AT, id="c1"), 0))
    assert worker.opened.owned.ledger == Ledger(5, commands=1)
    assert len(worker.letters.receipts) == 1


async def test_events_of_who_has_opted_out_are_filtered_and_known_when_they_come_again(worker: Worker) -> None:
    click = Click(user="ada", at=AT, item=Item(id="1"), id="x")

    def clicked(offset: int, place: int, event_id: str = "") -> Message:
        arrival = arrival_of(msgspec.structs.replace(click, id=event_id), place)
        return message(NAMES.events, offset, encode_arrival(arrival), b"ada")

    out, back = OptOut(user="ada", at=AT), OptIn(user="ada", at=AT)
    messages = [
        clicked(4, 0),
        command_message(5, out, 1),
        clicked(6, 2, "x"),
        clicked(7, 2, "x"),
        command_message(8, back, 3),
        clicked(9, 4, "x"),
        clicked(10, 5, "y"),
    ]
    await worker.run(*messages)
    assert worker.opened.owned.ledger == Ledger(11, accepted=2, redelivered=1, duplicate=1, filtered=1, commands=2, began_at=4)
    assert worker.opened.owned.index.num_events == 2
