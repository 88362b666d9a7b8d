"""The way of an event into the dead letters: each step durable before the next, whenever the worker dies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from agents.failed_calls import FailedCalls
from agents.metrics import Metrics
from agents.store import Row
from prefstream.events import Click, Item
from streams.availability import Availability
from streams.failures import Failure, Failures, encode_failures
from streams.keys import event_key, failures_key, recent_ids_key
from streams.ledger import Ledger
from streams.pending import Due, Known
from streams.records import Recent, encode_arrival, encode_recent
from tests.agents.scripted import POLICY, Lettered, Opened, arrival_of, counted, open_partition, others_run, until

ADA = b"ada"
AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
NOW_MS = 2_000_000
CONDEMNED = Failures(
    suspect_to=3, num_attempts=3, num_repeats=3, failed_at_ms=1_999_000, condemned=3, reason="refused: HTTP 400"
)
RECENT = encode_recent(Recent(("id3",), {"T1/0": (6, 0)}))
DEAD = Failures(1, 3, num_repeats=3, failed_at_ms=1_999_000)


class Ada:
    """Ada has events at offsets 3 to 5, the first of them condemned."""

    def __init__(self, opened: Opened) -> None:
        self.opened, self.owned, self.index = opened, opened.owned, opened.owned.index
        self.metrics, self.outbox, self.availability = Metrics(), Lettered(), Availability(POLICY)
        outbox: Any = self.outbox
        self.failed_calls = FailedCalls(POLICY, self.availability, outbox, {}, self.metrics)

    def store(self) -> None:
        for offset in (3, 4, 5):
            arrival = arrival_of(Click(user="ada", at=AT, item=Item(id=str(offset)), id=f"id{offset}"), 2 * offset)
            self.owned.append(ADA, offset, encode_arrival(arrival))
        self.owned.write_ledger(Ledger(6, accepted=3))

    def taken(self) -> Due:
        due = self.index.take_due(10**12)
        assert due is not None
        return due


@pytest.fixture
async def ada(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ada]:
    monkeypatch.setattr("agents.writer._LINGER_SECONDS", 0)
    monkeypatch.setattr("agents.failed_calls._now_ms", lambda: NOW_MS)
    ada = Ada(await open_partition(tmp_path, monkeypatch))
    ada.store()
    ada.owned._write_failures(ADA, CONDEMNED)
    await ada.opened.partitions.flush()
    ada.opened.partitions.restore()
    while not ada.opened.producer.sent.empty():
        ada.opened.producer.sent.get_nowait()
    yield ada
    await ada.opened.close()


async def test_a_condemned_event_is_known_after_a_restart(ada: Ada) -> None:
    assert ada.taken() == Due(ADA, (3,), "size", num_repeats=3, is_condemned=True)


async def test_nothing_is_written_before_the_dead_letter_is_durable(ada: Ada) -> None:
    ada.outbox.is_held = True
    ada.failed_calls.bury(ada.owned, ada.taken())
    await others_run()
    (letter,) = ada.outbox.letters
    assert (letter.origin.offset, letter.source, letter.message) == (6, "", "refused: HTTP 400")
    assert (ada.opened.producer.sent.empty(), ada.index.take_due(10**12), counted(ada.metrics)) == (True, None, {})
    ada.outbox.acknowledge()
    batch = await ada.opened.producer.sent.get()
    rows: list[Row] = [
        (recent_ids_key(ADA), RECENT),
        (failures_key(ADA), encode_failures(DEAD)),
        (event_key(ADA, 3), None),
    ]
    assert batch.rows == rows
    await until(lambda: counted(ada.metrics) == {"dead_letters poison": 1})
    assert (ada.index.num_events, ada.taken()) == (2, Due(ADA, (4, 5), "age", num_repeats=3))


async def test_an_owner_that_lost_the_partition_gives_nothing_up(ada: Ada) -> None:
    ada.outbox.is_held = True
    ada.failed_calls.bury(ada.owned, ada.taken())
    ada.owned.is_alive = False
    ada.outbox.acknowledge()
    await others_run()
    assert (ada.opened.producer.sent.empty(), counted(ada.metrics)) == (True, {})


async def test_a_failure_is_no_proof_where_others_go_unanswered(ada: Ada) -> None:
    before = Failures(suspect_to=4, failed_at_ms=NOW_MS - 9)
    ada.owned._write_failures(ADA, before)
    ada.availability.accepted(b"bob", NOW_MS - 5)
    for num_others, num_unanswered in ((0, 1), (5, 1)):
        for n in range(num_others):
            ada.availability._recent.append(b"user %d" % n)
        ada.failed_calls.note(ada.owned, Due(ADA, (4,), "age"), Failure("unanswered", "timeout"))
        assert ada.owned.failures(ADA).num_unanswered == num_unanswered
        ada.availability.accepted(b"bob", NOW_MS + 5)


async def test_an_event_is_given_up_sooner_where_the_model_fails_nobody_else(ada: Ada) -> None:
    """Users' attempts count, their own not, and an unanswered call is none."""
    judged = ada.availability._judged
    for num_failed, num_attempts in ((0, 3), (10, 7)):
        judged.clear()
        judged += [(b"bob", True)] * 10 + [(b"eve", False)] * num_failed
        ada.owned._write_failures(ADA, Failures(suspect_to=4, failed_at_ms=NOW_MS - 9))
        ada.availability.accepted_at_ms = NOW_MS - 5
        ada.failed_calls.note(ada.owned, Due(ADA, (4,), "age"), Failure("unanswered", "timeout"))
        assert len(judged) == 10 + num_failed
        while ada.owned.failures(ADA).condemned < 0:
            ada.availability.accepted_at_ms = NOW_MS + 5
            ada.failed_calls.note(ada.owned, Due(ADA, (4,), "age"), Failure("rejected", "empty"))
        assert ada.owned.failures(ADA).num_attempts == num_attempts
        assert judged.count((ADA, False)) == num_attempts


ROWS: list[Row] = [(recent_ids_key(ADA), RECENT), (failures_key(ADA), encode_failures(DEAD)), (event_key(ADA, 3), None)]


@pytest.mark.parametrize("num_written", range(4), ids=["no row", "the id", "the count", "the delete"])
async def test_a_crash_in_between_is_made_up_for(
    ada: Ada, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_written: int
) -> None:
    """Up to the count the event is still to be given up; from it on it is dead, once. It is never called for again."""
    ada.opened.pending.apply(ROWS[:num_written], 9)
    await ada.opened.close()
    ada.opened = await open_partition(tmp_path, monkeypatch)  # the fixture closes it
    after = Ada(ada.opened)
    after.opened.partitions.restore()
    if num_written < 2:
        due = after.taken()
        assert due == Due(ADA, (3,), "size", num_repeats=3, is_condemned=True)
        after.failed_calls.bury(after.owned, due)
        await until(lambda: counted(after.metrics))
    await after.opened.partitions.flush()
    assert after.owned.failures(ADA) == DEAD
    assert [key for key, _ in after.opened.pending.scan(b"e")] == [event_key(ADA, 4), event_key(ADA, 5)]
    assert after.index.num_events == 2
    assert after.owned.known(ADA) == Known(-1, {"T1/0": (6, 0)}, frozenset({"id3"}))
    again = arrival_of(Click(user="ada", at=AT, item=Item(id="3"), id="id3"), 6)
    assert after.index.admit(ADA, 6, again, None) == "redelivered"
    retry = arrival_of(Click(user="ada", at=AT, item=Item(id="3"), id="id3"), 20)
    assert after.index.admit(ADA, 7, retry, None) == "duplicate"
