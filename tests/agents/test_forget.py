"""A forget takes effect at once, leaves nothing of its person, and a crash at any step of it changes neither."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from faust.types import Message
from kafka.errors import KafkaError

from agents.collect import Collect
from agents.erase import Erase
from agents.forget import Forget
from agents.metrics import Metrics
from agents.obey import Obey
from agents.outbox import Outbox
from agents.progress import Progress
from agents.store import Row
from agents.tracing import Tracing
from agents.writer import Then
from prefstream.commands import Command, Edit, Pin, RollBack
from prefstream.commands import Forget as ForgetCommand
from prefstream.dead_letters import DeadLetter, Origin
from prefstream.errors import BrokerUnreachable
from prefstream.events import Click, Event, Item
from prefstream.history import encode_version, version_of
from prefstream.receipts import Receipt
from prefstream.summaries import Summary, Tally, decode_summary, encode_summary
from streams.controls import Controls, Decided, encode_controls, encode_decided
from streams.failures import Failures, encode_failures
from streams.forgetting import ALL_GONE, ROWS_GONE, hiding
from streams.keys import USER_KINDS, controls_key, decided_key, event_key, failures_key, recent_ids_key, version_key
from streams.ledger import Ledger
from streams.records import Detailed, Recent, encode_arrival, encode_event, encode_recent
from tests.agents.scripted import (
    HIDING,
    NAMES,
    Opened,
    Stopped,
    arrival_of,
    counted,
    message,
    open_partition,
    others_run,
    stops_recorded,
    stream_of,
    until,
)

ADA = b"ada-lovelace"
AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
LATER = AT + timedelta(minutes=5)
SOURCE = (NAMES.events, 0)
TEXT = "Loves the canary Tweety."
SUMMARY = Summary(
    user=ADA.decode(), version=6, text=TEXT, reason="age", updated_at=AT, num_events=20, position=2, origins={"T1/0": (30, 0)}
)
FORGET = ForgetCommand(user=ADA.decode(), at=AT, id="f1")
UNTIL = {NAMES.inbox: LATER, NAMES.summaries: None}


class Sent(Outbox):
    """An outbox that keeps what it is given; receipts are durable when the test says so."""

    def __init__(self) -> None:
        super().__init__("nowhere:1", NAMES, 1)
        self.receipts: list[Receipt] = []
        self.letters: list[DeadLetter] = []
        self.is_held = False
        self._thens: list[Then] = []

    def partition_of(self, user: bytes) -> int:
        return 0

    def hand_out(self, user: bytes, receipt: Receipt, then: Then) -> None:
        self.receipts.append(receipt)
        self._thens.append(then)
        if not self.is_held:
            self.acknowledge()

    def acknowledge(self) -> None:
        thens, self._thens = self._thens, []
        for then in thens:
            then()

    def refuse(self, letter: DeadLetter, then: Then | None = None) -> None:
        self.letters.append(letter)

    async def flush(self) -> None:
        pass


class Told(Tracing):
    """Whose traces are to be forgotten."""

    def __init__(self) -> None:
        self.users: list[bytes] = []

    def forgets(self, message: Message) -> None:
        self.users.append(message.key)


class Running:
    """Collect on one partition, and all that forgetting needs."""

    def __init__(self, opened: Opened) -> None:
        self.opened, self.owned, self.sent, self.metrics, self.progress = opened, opened.owned, Sent(), Metrics(), Progress()
        self.erase = Erase("nowhere:1", NAMES, ["ratings"], self.sent, self.metrics)
        self.forget = Forget(self.erase, self.settle, self.metrics)
        obey = Obey(self.sent, self.metrics, 160)
        self.obey = obey
        self.told = Told()
        self.collect = Collect(
            opened.partitions, self.sent, obey, self.forget, "EVENTS", self.progress, self.metrics, self.told
        )
        opened.partitions.restore()

    async def settle(self) -> None:
        """As the worker does before a commit."""
        for owned, ledger in self.opened.partitions.ledgers():
            owned.write_ledger(ledger)
        await self.opened.partitions.flush()

    async def run(self, *messages: Message) -> None:
        self.progress.start(SOURCE, messages[0].offset)
        self.progress.hand_over(SOURCE, [one.offset for one in messages])
        await self.collect.run(stream_of(messages))

    def finish(self) -> None:
        """What the worker does after a restore."""
        self.forget.finish(self.owned)
        self.obey.finish(self.owned)

    async def work(self) -> None:
        """Let the service run until everybody's receipt is durable, and nothing is left on the disk."""
        task = asyncio.create_task(self.erase.run())
        await until(lambda: (fence := self.owned.fences.of(ADA)) is not None and fence.stage == ALL_GONE)
        task.cancel()
        await asyncio.wait([task])
        await self.opened.partitions.flush()

    def outcomes(self) -> dict[str, float]:
        found = counted(self.metrics)
        return {name.removeprefix("collected_events "): count for name, count in found.items() if name.startswith("collected")}

    def rows_of(self, user: bytes) -> list[bytes]:
        """What the stores have of the user."""
        kept = [key for kind in USER_KINDS for key, _ in self.opened.pending.scan(kind) if user in key]
        versions = [key for key, _ in self.opened.history.scan(b"v") if user in key]
        return kept + versions + [key for key, _ in self.opened.summaries.scan(user)]


def life_of(opened: Opened) -> None:
    """Ada has a summary of 20 events, three events that wait, two that were given up, controls, ids, and a receipt to come."""
    opened.summaries.apply([(ADA, encode_summary(SUMMARY))], 0)
    versions = [version_of(msgspec.structs.replace(SUMMARY, version=number)) for number in (4, 5, 6, 7)]  # 7 by a crash
    opened.history.apply([(version_key(ADA, one.version), encode_version(one)) for one in versions], 0)
    pinned = Receipt(user=ADA.decode(), command="pin", outcome="applied", at=AT, command_position=9, version=6)
    rows: list[Row] = [(event_key(ADA, offset), encode_arrival(arrival_of(click(AT), offset + 30))) for offset in (3, 4, 5)]
    rows += [
        (failures_key(ADA), encode_failures(Failures(num_dead=2, last_dead=1))),
        (controls_key(ADA), encode_controls(Controls(9, 9, pins=("Tweety stays.",), is_opted_out=True))),
        (recent_ids_key(ADA), encode_recent(Recent(("Tweety-1",)))),
        (decided_key(ADA, 9), encode_decided(Decided(pinned, encode_summary(SUMMARY)))),
        (event_key(b"bob", 6), encode_arrival(arrival_of(click(AT, "bob"), 36))),
    ]
    ledger = opened.owned.ledger
    for offset in range(10):
        ledger = ledger.counted(offset, "accepted")
    opened.owned.write_ledger(ledger)
    opened.pending.apply(rows, 0)


@pytest.fixture
async def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    monkeypatch.setattr("agents.writer._LINGER_SECONDS", 0)
    monkeypatch.setattr("agents.erase.emptied_letters_about", lambda *_: [])
    monkeypatch.setattr(Erase, "_kept_until", lambda _: UNTIL)
    opened = await open_partition(tmp_path, monkeypatch)
    yield opened
    await opened.close()


@pytest.fixture
async def running(opened: Opened) -> Running:
    life_of(opened)
    await opened.partitions.flush()
    return Running(opened)


def click(at: datetime, user: str = ADA.decode()) -> Event:
    return Click(user=user, at=at, item=Item(id="1", title="Tweety"))


def record(offset: int, said: Event | Command, place: int, ends: dict[str, int] | None = None) -> Message:
    """What intake made of a record at this place of its source."""
    at_ms = int(LATER.timestamp() * 1_000)
    arrival = Detailed(Origin("T1", 0, place), at_ms, 0, said.id, msgspec.Raw(encode_event(said)), ends=ends or {})
    return message(NAMES.events, offset, encode_arrival(arrival), said.user.encode())


def asked(offset: int = 10, place: int = 50) -> Message:
    return record(offset, FORGET, place, {"T1/0": place + 1})


async def test_everything_of_a_person_goes_and_the_receipt_comes_last(running: Running, opened: Opened) -> None:
    await running.run(asked())
    owned = running.owned
    assert (owned.summary(ADA), ADA in owned.index) == (None, False)
    assert owned.controls(ADA) == Controls(is_opted_out=True)
    assert (owned.known(ADA).origins, owned.known(ADA).event_ids, owned.failures(ADA)) == ({}, frozenset(), Failures())
    assert running.sent.receipts == []
    await running.work()
    assert running.rows_of(ADA) == [decided_key(ADA, 9)]  # its receipt is under way
    (receipt,) = running.sent.receipts
    assert (receipt.command, receipt.id, receipt.outcome, receipt.command_position) == ("forget", "f1", "applied", 10)
    assert receipt.erasure is not None
    assert (receipt.erasure.num_applied, receipt.erasure.num_pending, receipt.erasure.num_given_up) == (20, 3, 2)
    assert (receipt.erasure.kept_until, receipt.erasure.not_reached) == (UNTIL, ("ratings",))
    fence = owned.fences.of(ADA)
    assert fence is not None
    assert (fence.num_erased, fence.last_version, fence.life.last_version) == (25, 6, 6)
    assert owned.index.num_events == 1  # bob's


async def test_the_receipts_of_earlier_commands_still_come_without_their_texts(running: Running, opened: Opened) -> None:
    await running.run(asked())
    decided = running.owned.ending.decided(ADA, 9)
    assert decided is not None
    assert (decided.summary, decided.receipt.command) == (b"", "pin")


async def test_no_byte_of_a_person_is_left_in_the_files(running: Running, tmp_path: Path) -> None:
    """Neither id nor text, in tables, journals or logs; the only receipt that is under way is finished first."""
    running.owned.receipted(ADA, 9)
    await running.run(asked())
    await running.work()
    texts = (ADA, ADA.hex().encode(), ADA.hex().upper().encode())
    found = [path.name for path in tmp_path.rglob("*") if path.is_file() and any(text in path.read_bytes() for text in texts)]
    assert found == []


async def test_letters_are_emptied_before_the_receipt(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    letter = DeadLetter(
        origin=Origin("T1", 0, 3), source="ratings", reason="invalid", message="", first_seen_at=AT, last_seen_at=AT
    )
    seen: list[object] = []

    def letters(_: str, __: object, users: set[bytes]) -> list[DeadLetter]:
        seen.append((users, list(running.sent.receipts)))
        return [letter]

    monkeypatch.setattr("agents.erase.emptied_letters_about", letters)
    await running.run(asked())
    await running.work()
    assert (seen, running.sent.letters) == ([({ADA}, [])], [letter])


async def test_a_broker_that_does_not_answer_is_asked_again(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else's worker ends for it, and the receipt waits."""
    answers: list[Exception] = [BrokerUnreachable("nowhere:1"), KafkaError("not the leader")]

    def letters(*_: object) -> list[DeadLetter]:
        if answers:
            raise answers.pop()
        return []

    monkeypatch.setattr("agents.erase.emptied_letters_about", letters)
    monkeypatch.setattr("agents.erase._ASK_AGAIN_SECONDS", 0)
    await running.run(asked())
    await running.work()
    assert (answers, [one.command for one in running.sent.receipts]) == ([], ["forget"])


async def test_late_events_of_the_past_are_counted_and_not_stored(running: Running) -> None:
    pin = Pin(user=ADA.decode(), at=LATER, statement="Tweety")
    await running.run(asked(), record(11, click(LATER), 49), record(12, click(AT), 60), record(13, pin, 20))
    assert running.outcomes() == {"command": 1.0, "erased": 3.0}
    assert (running.owned.ledger.erased, running.owned.ledger.position, ADA in running.owned.index) == (3, 14, False)
    await running.work()
    assert (running.owned.ending.decided(ADA, 13), running.owned.known(ADA).origins) == (None, {})


async def test_a_new_life_begins_behind_the_last_version(running: Running, opened: Opened) -> None:
    opened.pending.apply([(controls_key(ADA), encode_controls(Controls(9, 9)))], 1)
    await running.run(asked(), record(11, click(LATER), 60), record(12, click(LATER), 61))
    assert (running.outcomes(), running.owned.index.num_events) == ({"command": 1.0, "accepted": 2.0}, 3)
    await running.work()
    assert [key for key, _ in opened.pending.scan(b"e") if ADA in key] == [event_key(ADA, 11), event_key(ADA, 12)]
    assert (running.owned.life(ADA).began_at, running.owned.life(ADA).last_version) == (10, 6)
    edit = Edit(user=ADA.decode(), at=LATER, text="Loves slow films.")
    assert running.obey._person(running.owned, ADA, edit).life.last_version == 6


async def test_who_has_opted_out_stays_so_and_can_come_back(running: Running) -> None:
    await running.run(asked(), record(11, click(LATER), 60))
    assert running.outcomes() == {"command": 1.0, "filtered": 1.0}
    again = record(12, ForgetCommand(user=ADA.decode(), at=LATER, id="f2"), 61, {"T1/0": 62})
    await running.run(again)
    assert running.owned.controls(ADA).is_opted_out


async def test_a_forget_that_comes_again_does_nothing_to_the_new_life(running: Running, opened: Opened) -> None:
    opened.pending.apply([(controls_key(ADA), encode_controls(Controls(9, 9)))], 1)
    sent_on_twice, published_twice = asked(12), record(13, FORGET, 70, {"T1/0": 71})
    await running.run(asked(), record(11, click(LATER), 60), sent_on_twice, published_twice)
    assert running.outcomes() == {"command": 1.0, "accepted": 1.0, "redelivered": 1.0, "duplicate": 1.0}
    assert (running.owned.life(ADA).began_at, ADA in running.owned.index) == (10, True)


async def test_a_forget_that_was_decided_is_not_decided_again(running: Running) -> None:
    await running.run(asked())
    before, counted_before = running.owned.fences.of(ADA), running.owned.ledger
    running.owned.ledger = Ledger(10, 10)  # the ledger that counts it was not durable yet
    await running.run(asked())
    assert running.owned.fences.of(ADA) == before
    assert (running.outcomes(), running.owned.ledger.commands) == ({"command": 2.0}, counted_before.commands)


async def test_what_lies_before_it_is_counted_for_good_before_the_fence(running: Running, opened: Opened) -> None:
    """Else an event would be read again behind a fence that has counted it."""
    opened.producer.log.clear()
    opened.pending.apply([(controls_key(ADA), encode_controls(Controls(9, 9)))], 1)
    await running.run(record(10, click(AT), 40), asked(11))
    await opened.partitions.flush()
    keys = [key for key, _ in opened.producer.log[NAMES.pending, 0]]
    assert keys[0] == event_key(ADA, 10)
    assert keys.index(b"l") < next(at for at, key in enumerate(keys) if key.startswith(b"x"))
    fence = running.owned.fences.of(ADA)
    assert fence is not None
    assert fence.num_erased == 26


async def test_a_partition_that_is_lost_meanwhile_leaves_it_to_its_heir(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost() -> None:
        running.owned.is_alive = False

    monkeypatch.setattr(running.forget, "_settle", lost)
    await running.run(asked())
    assert (running.owned.fences.of(ADA), running.outcomes(), running.progress.committable()) == (None, {}, {})


async def test_traces_are_told_to_forget_too(running: Running) -> None:
    await running.run(record(10, click(AT), 40), asked(11))
    assert running.told.users == [ADA]


async def test_an_unknown_person_is_fenced_too(running: Running) -> None:
    """Their events may be on the way."""
    forget = ForgetCommand(user="eve", at=AT, id="f9")
    await running.run(record(10, forget, 50, {"T1/0": 51, "T2/1": 7}))
    fence = running.owned.fences.of(b"eve")
    assert fence is not None
    assert (fence.num_erased, fence.last_version, fence.ends) == (0, 0, {"T1/0": 51, "T2/1": 7})


async def rows_of_a_forget(running: Running, opened: Opened) -> list[Row]:
    """What a forget writes to the pending topic in its turn, from its decision to the end of the deletes."""
    log = opened.producer.log[NAMES.pending, 0]
    start = len(log)
    await running.run(asked())
    await opened.partitions.flush()
    rows = log[start:]
    first = next(at for at, (key, _) in enumerate(rows) if key == decided_key(ADA, 10))
    last = max(at for at, (key, _) in enumerate(rows) if key.startswith(b"x"))
    return rows[first : last + 1]


async def test_a_crash_after_any_row_is_finished_by_the_next_owner(
    running: Running, opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = await rows_of_a_forget(running, opened)
    assert len(rows) >= 10
    for number in range(1, len(rows) + 1):
        heir = await open_partition(tmp_path / f"heir-{number}", monkeypatch)
        life_of(heir)
        await heir.partitions.flush()
        heir.pending.apply(rows[:number], 99)
        again = Running(heir)
        again.finish()
        if number == 1:  # without its fence it is none yet
            assert (again.owned.fences.of(ADA), again.owned.index.num_events) == (None, 4)
            await again.run(asked())
        await again.work()
        assert again.rows_of(ADA) in ([], [decided_key(ADA, 9)])
        assert [one.command for one in again.sent.receipts][-1] == "forget"
        fence = again.owned.fences.of(ADA)
        assert fence is not None
        assert (fence.num_erased, fence.last_version, again.owned.index.num_events) == (25, 6, 1)
        await heir.close()


async def test_a_crash_between_the_receipt_and_the_disk_is_made_up_for(
    running: Running, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    await running.run(asked())
    await running.work()
    fence = running.owned.fences.of(ADA)
    assert fence is not None
    running.owned.fences.write(ADA, msgspec.structs.replace(fence, stage=ROWS_GONE))
    await opened.partitions.flush()
    swept: list[list[bytes]] = []

    def sweep(prefixes: Iterable[bytes]) -> None:
        swept.append(list(prefixes))

    monkeypatch.setattr(opened.pending, "sweep", sweep)
    running.owned.fences.load()
    running.finish()
    await running.work()
    assert swept == [[b"r"]]


async def test_a_worker_that_stops_while_the_disk_is_swept_leaves_the_rest_to_its_heir(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked to stop, and its tables are closed: reading them would end it with an error."""
    num_sweeps = 0

    async def sweep(users: Iterable[bytes]) -> None:
        nonlocal num_sweeps
        num_sweeps += 1
        running.owned.is_alive = num_sweeps == 1

    monkeypatch.setattr(running.owned.ending, "sweep", sweep)
    await running.run(asked())
    task = asyncio.create_task(running.erase.run())
    await until(lambda: num_sweeps == 2)
    await others_run()
    task.cancel()
    fence = running.owned.fences.of(ADA)
    assert fence is not None
    assert fence.stage == ROWS_GONE


async def test_a_receipt_that_was_cut_short_says_the_same_when_it_comes_again(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.sent.is_held = True
    await running.run(asked())
    task = asyncio.create_task(running.erase.run())
    await until(lambda: running.sent.receipts)
    await running.opened.partitions.flush()
    monkeypatch.setattr(Erase, "_kept_until", lambda _: {})
    running.finish()
    await until(lambda: len([one for one in running.sent.receipts if one.command == "forget"]) == 2)
    task.cancel()
    told = [one for one in running.sent.receipts if one.command == "forget"]
    assert told[0] == told[1]
    assert told[0].erasure is not None
    assert told[0].erasure.kept_until == UNTIL


async def test_how_long_a_forget_has_been_under_way_is_known_until_its_receipt_is_durable(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1_000]
    monkeypatch.setattr("agents.erase.now_ms", lambda: clock[0])
    assert running.erase.oldest_age_seconds == 0
    running.sent.is_held = True
    await running.run(asked())
    task = asyncio.create_task(running.erase.run())
    await until(lambda: running.sent.receipts)
    clock[0] = 9_500
    assert running.erase.oldest_age_seconds == 8.5
    running.sent.acknowledge()
    assert running.erase.oldest_age_seconds == 0
    task.cancel()


async def test_of_a_partition_that_went_elsewhere_no_forget_is_under_way(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.erase.now_ms", lambda: 1_000)
    await running.run(asked())
    await running.opened.partitions.flush()
    monkeypatch.setattr("agents.erase.now_ms", lambda: 9_000)
    assert running.erase.oldest_age_seconds == 8
    running.owned.is_alive = False
    assert running.erase.oldest_age_seconds == 0


async def test_another_key_is_noticed(running: Running, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    await running.run(asked())
    await opened.partitions.flush()
    reasons = stops_recorded(monkeypatch, "agents.fences")
    running.owned.fences._hiding = hiding("another secret of sixteen")
    with pytest.raises(Stopped):
        running.owned.fences.load()
    assert reasons[0].startswith("PREFSTREAM_FORGET_KEY is not the one")


async def test_where_nobody_was_forgotten_nothing_is_hashed(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def hashed(*_: object) -> bytes:
        raise AssertionError("hashed")

    monkeypatch.setattr(type(HIDING), "digest", hashed)
    await running.run(record(10, click(LATER, "bob"), 60))
    assert running.outcomes() == {"accepted": 1.0}


def came_back(opened: Opened) -> tuple[Message, ...]:
    """All of it is read in one go: the `forget`, an event of the new life, and a text that its person writes for it."""
    opened.pending.apply([(controls_key(ADA), encode_controls(Controls(9, 9)))], 1)
    edit = Edit(user=ADA.decode(), at=LATER, text="Loves slow films.")
    return asked(), record(11, click(LATER), 60), record(12, edit, 61)


async def test_a_version_of_an_ended_life_is_not_to_be_had_again(running: Running, opened: Opened) -> None:
    """Also while its deletion is on its way."""
    back = RollBack(user=ADA.decode(), at=LATER, version=6)
    await running.run(*came_back(opened), record(13, back, 62))
    summary = running.owned.summary(ADA)
    assert summary is not None
    assert (summary.version, summary.text, summary.tally) == (7, "Loves slow films.", Tally())
    await running.work()
    told = {one.command: (one.outcome, one.reason) for one in running.sent.receipts}
    assert told["roll_back"] == ("refused", "not_kept")
    assert [key for key, _ in opened.history.scan(b"v") if ADA in key] == [version_key(ADA, 7)]


async def test_a_crash_behind_the_first_version_of_the_new_life_keeps_none_of_the_old(
    running: Running, opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it is on the pending topic, and nothing on the two others yet: the old versions go before the new one is there."""
    log = opened.producer.log[NAMES.pending, 0]
    start = len(log)
    await running.run(*came_back(opened))
    await opened.partitions.flush()
    committed = max(at for at, (key, _) in enumerate(log) if key == controls_key(ADA))
    heir = await open_partition(tmp_path / "heir", monkeypatch)
    life_of(heir)
    await heir.partitions.flush()
    heir.pending.apply(log[start : committed + 1], 99)
    again = Running(heir)
    again.finish()
    await again.work()
    await heir.partitions.flush()
    assert [key for key, _ in heir.history.scan(b"v") if ADA in key] == [version_key(ADA, 7)]
    texts = [value and decode_summary(value).text for key, value in heir.producer.log[NAMES.summaries, 0] if key == ADA]
    assert texts == [None, "Loves slow films."]
    await heir.close()
