"""Where the events say nothing new, the next version is published without a call, exactly as one with a call would be."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import agents.spare
from agents.failed_calls import FailedCalls
from agents.metrics import Metrics
from agents.obey import Obey
from agents.spare import Spare
from agents.write_back import WriteBack
from model_server.tokenizer import estimated
from prefstream.commands import Pin
from prefstream.events import Click, Event, Item, Skip
from prefstream.receipts import Receipt
from prefstream.summaries import DomainTally, ModelUsed, Summary, Tally, decode_summary, encode_summary
from streams.availability import Availability
from streams.evolution.guards import GuardLimits
from streams.evolution.plain import Plain
from streams.failures import Failure, Failures, after_failure, encode_failures
from streams.keys import failures_key
from streams.pending import Due
from streams.records import encode_arrival
from streams.redaction import DEFAULT_REDACTION
from streams.sparing import SparePolicy
from tests.agents.scripted import (
    NAMES,
    POLICY,
    Lettered,
    Opened,
    arrival_of,
    counted,
    every_flush,
    open_partition,
    others_run,
    until,
)

ADA = b"ada"
AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
NOW_MS = 2_000_000
MODEL = ModelUsed(name="counting", dialect="plain", prompt_sha256="abc")
BASE = Summary(
    user="ada",
    version=6,
    text="Loves war.",
    reason="age",
    updated_at=AT,
    num_events=40,
    position=2,
    tokens=3,
    model=MODEL,
    tally=Tally(40, {"": DomainTally(num_events=40)}),
)


def skip(number: int) -> Skip:
    return Skip(user="ada", at=AT, item=Item(id=f"i{number}", title=f"Film {number}"))


class Spared:
    """Ada, with a summary, and the events at offsets 3 to 5 that are due."""

    def __init__(self, opened: Opened, base: Summary | None = BASE, max_events: int = 100) -> None:
        self.opened, self.owned, self.index, self.metrics = opened, opened.owned, opened.owned.index, Metrics()
        if base:
            opened.summaries.apply([(ADA, encode_summary(base))], 0)
        self.lettered, self.availability = Lettered(), Availability(POLICY)
        outbox: Any = self.lettered
        failed_calls = FailedCalls(POLICY, self.availability, outbox, {}, self.metrics)
        limits = GuardLimits(max_tokens=160)
        write_back = WriteBack(Plain(), estimated(), limits, MODEL, self.availability, failed_calls, self.metrics)
        policy = SparePolicy(max_events=max_events)
        about: Any = {"max_summary_tokens": 160, "redaction": DEFAULT_REDACTION, "policy": policy}
        self.agent = Spare(MODEL, write_back, failed_calls, self.metrics, **about)

    def store(self, *events: Event) -> None:
        for offset, event in enumerate(events, 3):
            arrival = arrival_of(event, offset, 1_999_000)
            self.index.admit(ADA, offset, arrival, self.owned.known(ADA))
            self.owned.append(ADA, offset, encode_arrival(arrival))

    def due(self) -> Due:
        due = self.index.take_due(10**12)
        assert due is not None
        return due

    def spares(self, *events: Event) -> bool:
        self.store(*events)
        return self.spares_due(self.due())

    def spares_due(self, due: Due) -> bool:
        return self.agent.spare(self.owned, due, every_flush().begin(self.owned, due))

    def summary(self) -> Summary:
        summary = self.owned.summary(ADA)
        assert summary is not None
        return summary


@pytest.fixture
async def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Opened]:
    monkeypatch.setattr("agents.writer._LINGER_SECONDS", 0)
    for module in ("write_back", "failed_calls"):
        monkeypatch.setattr(f"agents.{module}._now_ms", lambda: NOW_MS)
    opened = await open_partition(tmp_path, monkeypatch)
    yield opened
    await opened.close()


async def test_impressions_are_covered_without_a_call(opened: Opened) -> None:
    ada = Spared(opened)
    assert ada.spares(skip(3), skip(4), skip(5))
    await until(lambda: ADA not in ada.index)
    await opened.partitions.flush()
    summary = ada.summary()
    assert (summary.version, summary.text, summary.model) == (7, BASE.text, MODEL)
    assert (summary.num_events, summary.num_new_events, summary.num_spared_events) == (43, 3, 3)
    assert (summary.position, summary.origins, summary.tally.num_events) == (5, {"T1/0": (5, 0)}, 43)
    assert list(opened.pending.scan(b"e")) == []
    assert counted(ada.metrics) == {
        "spared_calls size": 1,
        "spared_events": 3,
        "summaries": 1,
        "tenant_summaries default": 1,
        "applied_events": 3,
        "applied_impressions": 3,
    }
    # No model answered, so nothing is proven of it.
    assert ada.availability.accepted_at_ms == 0


async def test_the_user_waits_until_the_version_is_durable(opened: Opened) -> None:
    ada = Spared(opened)
    ada.store(skip(3), skip(4), skip(5))
    await opened.partitions.flush()
    while not opened.producer.sent.empty():
        opened.producer.sent.get_nowait()
    opened.producer.is_held = True
    assert ada.spares_due(ada.due())
    (await opened.producer.sent.get()).acknowledge(9)  # its row of the history
    batch = await opened.producer.sent.get()
    await others_run()
    assert (ADA in ada.index, ada.index.take_due(10**12), "applied_events" in counted(ada.metrics)) == (True, None, False)
    batch.acknowledge(9)
    await until(lambda: ADA not in ada.index)


@pytest.mark.parametrize(
    ("base", "event", "max_events"),
    [
        (None, skip(5), 100),
        (BASE, Click(user="ada", at=AT, item=Item(id="i9", title="New")), 100),
        (replace(BASE, reason="control"), skip(5), 100),
        (BASE, skip(5), 2),
        (replace(BASE, tokens=161), skip(5), 100),
        (BASE, skip(5), 0),
    ],
    ids=["first", "a click", "after a command", "too many", "too long", "off"],
)
async def test_otherwise_the_model_is_asked(opened: Opened, base: Summary | None, event: Event, max_events: int) -> None:
    ada = Spared(opened, base, max_events)
    assert not ada.spares(skip(3), skip(4), event)
    await others_run()
    assert (counted(ada.metrics), ada.index.num_events, ada.index.take_due(10**12)) == ({}, 3, None)
    assert ada.owned.failures(ADA) == Failures()


async def test_a_version_of_a_command_on_its_way_is_not_passed_by(opened: Opened) -> None:
    """It can be read before it is sent; a version published now would stand before it on the public topic."""
    ada = Spared(opened)
    ada.store(skip(3), skip(4), skip(5))
    await opened.partitions.flush()
    receipts = Receipts()
    outbox: Any = receipts
    opened.producer.is_held = True
    Obey(outbox, ada.metrics, 160).obey(ada.owned, ADA, 6, Pin(user="ada", at=AT, statement="Vegetarian."))
    assert (ada.owned.is_deciding(ADA), ada.summary().version) == (True, 7)
    assert not ada.spares_due(ada.due())
    while not receipts.given:
        batch = await opened.producer.sent.get()
        if not batch.delivery.done():
            batch.acknowledge(9)
        await others_run()
    versions = [decode_summary(value).version for key, value in opened.producer.log[NAMES.summaries, 0] if key == ADA and value]
    assert versions == [7]


class Receipts:
    """In place of the outbox: the receipts handed out."""

    def __init__(self) -> None:
        self.given: list[Receipt] = []

    def hand_out(self, user: bytes, receipt: Receipt, then: Callable[[], None]) -> None:
        self.given.append(receipt)
        then()


async def test_what_is_left_of_a_suspect_share_may_be_covered_without_a_call(opened: Opened) -> None:
    """It needs no model, so nothing that fails with one keeps it back; what is behind it stays suspect, and is not forgiven."""
    ada = Spared(opened)
    failures = after_failure(Failures(), (3, 4, 5), Failure("rejected", "empty"), 1, 0.0, POLICY, 1_999_000)
    ada.store(skip(3), skip(4), Click(user="ada", at=AT, item=Item(id="i5", title="New")))
    opened.pending.apply([(failures_key(ADA), encode_failures(failures))], 0)
    ada.index.failed(ADA, failures)
    due = ada.due()
    assert (due.offsets, ada.spares_due(due)) == ((3,), True)
    await until(lambda: ada.index.num_events == 2)
    assert (ada.summary().num_events, ada.owned.failures(ADA).suspect_to) == (41, 5)
    due = ada.due()
    assert (due.offsets, ada.spares_due(due)) == ((4,), True)
    await until(lambda: ada.index.num_events == 1)
    due = ada.due()
    assert (due.offsets, ada.spares_due(due)) == ((5,), False)


async def test_a_defect_is_the_users_failure(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    def defective(*args: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(agents.spare, "step_to_spare", defective)
    ada = Spared(opened)
    assert ada.spares(skip(3), skip(4), skip(5))
    await until(lambda: ada.owned.failures(ADA) != Failures())
    assert (ada.summary().version, ada.index.num_events, counted(ada.metrics)) == (6, 3, {"failed_calls unprocessable": 1})


async def test_a_row_that_is_not_there_stops_the_worker_as_in_any_call(opened: Opened) -> None:
    ada = Spared(opened)
    with pytest.raises(LookupError, match="offset 99 is not in its table"):
        ada.spares_due(Due(ADA, (99,), "age"))
