"""A command takes effect at once, its receipt says only what is durable, and a crash in between changes neither."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from agents.metrics import Metrics
from agents.obey import Obey
from agents.owned import Owned
from prefstream.commands import Adopt, Command, Edit, GiveBack, OptOut, Pin, RollBack
from prefstream.receipts import Receipt
from prefstream.signing import signed
from prefstream.summaries import ModelUsed, Summary, decode_summary, encode_summary
from prefstream.topics import TopicNames
from streams.controls import Controls, Decided, encode_controls, encode_decided
from streams.keys import controls_key, decided_key, version_key
from tests.agents.scripted import NAMES, Opened, counted, open_partition, others_run, until

ADA = b"ada"
AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
BASE = Summary(user="ada", version=6, text="Loves war.", reason="age", updated_at=AT, position=2)
PIN = Pin(user="ada", at=AT, id="p1", statement="Vegetarian.")


class Receipts:
    """In place of the outbox: the receipts, durable when the test says so."""

    def __init__(self) -> None:
        self.handed_out: list[Receipt] = []
        self._thens: list[Callable[[], None]] = []

    def hand_out(self, user: bytes, receipt: Receipt, then: Callable[[], None]) -> None:
        self.handed_out.append(receipt)
        self._thens.append(then)

    def acknowledge(self) -> None:
        for then in self._thens:
            then()


class Asked:
    """One owned partition in which ada has a summary, and what commands make of it."""

    def __init__(self, opened: Opened) -> None:
        self.opened, self.owned, self.metrics, self.receipts = opened, opened.owned, Metrics(), Receipts()
        outbox: Any = self.receipts
        self.obey = Obey(outbox, self.metrics, 160)
        opened.summaries.apply([(ADA, encode_summary(BASE))], 0)

    def ask(self, command: Command, offset: int) -> None:
        self.obey.obey(self.owned, ADA, offset, command)

    def version(self) -> int:
        current = self.owned.summary(ADA)
        return current.version if current else 0

    def published(self) -> list[Summary]:
        rows = self.opened.producer.log.get((NAMES.summaries, 0), [])
        return [decode_summary(value) for key, value in rows if key == ADA and value]


@pytest.fixture
async def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Asked]:
    monkeypatch.setattr("agents.writer._LINGER_SECONDS", 0)
    opened = await open_partition(tmp_path, monkeypatch)
    opened.partitions.restore()
    yield Asked(opened)
    await opened.close()


async def test_it_takes_effect_at_once_and_its_receipt_comes_when_all_is_durable(asked: Asked) -> None:
    asked.opened.producer.is_held = True
    asked.ask(PIN, 40)
    assert (asked.version(), asked.owned.controls(ADA), asked.owned.is_deciding(ADA)) == (
        7,
        Controls(40, 40, ("Vegetarian.",)),
        True,
    )
    rows = await asked.opened.producer.sent.get()
    assert [key for key, _ in rows.rows] == [decided_key(ADA, 40), controls_key(ADA)]
    await others_run()
    assert asked.published() == []  # the version waits for its commit point
    rows.acknowledge(1)
    kept = await asked.opened.producer.sent.get()
    assert [key for key, _ in kept.rows] == [version_key(ADA, 7)]
    await others_run()
    assert asked.published() == []  # and for its row of the history
    kept.acknowledge(1)
    version = await asked.opened.producer.sent.get()
    assert (asked.owned.is_deciding(ADA), asked.receipts.handed_out) == (False, [])
    version.acknowledge(1)
    await until(lambda: asked.receipts.handed_out)
    (receipt,) = asked.receipts.handed_out
    assert (receipt.id, receipt.outcome, receipt.version, receipt.command_position) == ("p1", "applied", 7, 40)
    assert [(one.version, one.command_position, one.pins) for one in asked.published()] == [(7, 40, ("Vegetarian.",))]


async def test_a_roll_back_finds_the_version_that_the_command_before_it_made(asked: Asked) -> None:
    """Also where that is on its way: it can be read at once."""
    asked.opened.producer.is_held = True
    asked.ask(PIN, 40)
    asked.ask(Edit(user="ada", at=AT, text="Loves peace."), 41)
    asked.ask(RollBack(user="ada", at=AT, version=7), 42)
    current = asked.owned.summary(ADA)
    assert current is not None
    assert (current.version, current.text, current.own_words) == (9, "Vegetarian.\nLoves war.", ())


async def test_a_version_from_before_versions_were_kept_cannot_be_had(asked: Asked) -> None:
    asked.ask(RollBack(user="ada", at=AT, version=5), 40)
    await until(lambda: asked.receipts.handed_out)
    assert [(one.outcome, one.reason) for one in asked.receipts.handed_out] == [("refused", "not_kept")]


async def test_a_shadow_does_not_take_its_own_versions_for_those_that_the_person_means(asked: Asked) -> None:
    outbox: Any = asked.receipts
    asked.obey = Obey(outbox, asked.metrics, 160, names=NAMES.shadow("next"))
    asked.ask(PIN, 40)
    asked.ask(RollBack(user="ada", at=AT, version=7), 41)
    await until(lambda: len(asked.receipts.handed_out) == 2)
    assert {(one.command, one.outcome, one.reason) for one in asked.receipts.handed_out} == {
        ("pin", "applied", ""),
        ("roll_back", "refused", "not_kept"),
    }


KEY = "a secret of an installation"
ADOPT = Adopt(user="ada", at=AT, id="a1", text="Loves war and peace.", base=6, model=ModelUsed(name="other"))


@pytest.mark.parametrize(
    ("namespace", "key", "names", "workers_key", "reason"),
    [
        (NAMES.namespace, KEY, NAMES, KEY, ""),
        (NAMES.namespace, "a secret of another installation", NAMES, KEY, "not_signed"),
        (NAMES.namespace, KEY, NAMES, "", "not_signed"),
        (NAMES.namespace, KEY, NAMES.shadow("next"), KEY, "not_signed"),
        ("another", KEY, NAMES, KEY, "not_signed"),
    ],
)
async def test_only_what_the_installation_itself_signed_is_adopted(
    asked: Asked, namespace: str, key: str, names: TopicNames, workers_key: str, reason: str
) -> None:
    outbox: Any = asked.receipts
    asked.obey = Obey(outbox, asked.metrics, 160, names=names, rebuild_key=workers_key)
    asked.ask(signed(ADOPT, namespace, key), 40)
    await until(lambda: asked.receipts.handed_out)
    assert [one.reason for one in asked.receipts.handed_out] == [reason]
    current = asked.owned.summary(ADA)
    assert current is not None
    assert (current.text == ADOPT.text, current.version) == (not reason, 6 if reason else 7)
    assert asked.owned.controls(ADA) == Controls(40)


async def test_what_was_adopted_is_given_back(asked: Asked) -> None:
    outbox: Any = asked.receipts
    asked.obey = Obey(outbox, asked.metrics, 160, names=NAMES, rebuild_key=KEY)
    asked.ask(PIN, 40)
    asked.ask(signed(replace(ADOPT, text="Vegetarian. Loves war.", base=7), NAMES.namespace, KEY), 41)
    asked.ask(signed(GiveBack(user="ada", at=AT, version=7, base=8), NAMES.namespace, KEY), 42)
    await until(lambda: len(asked.receipts.handed_out) == 3)
    assert [(one.outcome, one.version) for one in asked.receipts.handed_out] == [("applied", 7), ("applied", 8), ("applied", 9)]
    assert [(one.version, one.text, one.command_position) for one in asked.published()] == [
        (7, "Vegetarian.\nLoves war.", 40),
        (8, "Vegetarian. Loves war.", 40),
        (9, "Vegetarian.\nLoves war.", 40),
    ]


async def test_a_decision_is_kept_until_its_receipt_is_durable(asked: Asked) -> None:
    asked.ask(PIN, 40)
    await until(lambda: asked.receipts.handed_out)
    assert asked.opened.pending.get(decided_key(ADA, 40)) is not None
    asked.receipts.acknowledge()
    await asked.opened.partitions.flush()
    assert asked.opened.pending.get(decided_key(ADA, 40)) is None
    assert counted(asked.metrics) == {"receipts applied": 1.0}


async def test_commands_one_after_the_other_are_versions_one_after_the_other(asked: Asked) -> None:
    for offset in (40, 41, 42):
        asked.ask(replace(PIN, statement=f"Statement {offset}."), offset)
    assert asked.version() == 9
    await until(lambda: len(asked.receipts.handed_out) == 3)
    assert [(one.version, one.command_position) for one in asked.published()] == [(7, 40), (8, 41), (9, 42)]
    assert [receipt.version for receipt in asked.receipts.handed_out] == [7, 8, 9]


async def test_a_command_that_was_decided_is_not_decided_again(asked: Asked) -> None:
    asked.ask(PIN, 40)
    await until(lambda: asked.receipts.handed_out)
    asked.ask(replace(PIN, statement="Other."), 40)
    await asked.opened.partitions.flush()
    assert (asked.version(), len(asked.receipts.handed_out)) == (7, 1)


async def test_what_makes_no_version_has_its_receipt_when_the_controls_are_durable(asked: Asked) -> None:
    asked.opened.producer.is_held = True
    asked.ask(replace(PIN, statement="<think>"), 40)
    rows = await asked.opened.producer.sent.get()
    await others_run()
    assert asked.receipts.handed_out == []
    rows.acknowledge(1)
    await until(lambda: asked.receipts.handed_out)
    assert [(one.outcome, one.reason) for one in asked.receipts.handed_out] == [("refused", "markup")]
    assert (asked.version(), asked.owned.controls(ADA)) == (6, Controls(40))


RECEIPT = Receipt(user="ada", command="pin", id="p1", outcome="applied", at=AT, command_position=40, version=7)
NEXT = replace(BASE, version=7, previous_version=6, command_position=40, text="Vegetarian.\nLoves war.")
OTHER = replace(RECEIPT, id="p2", command_position=41, version=8)


def crashed(asked: Asked, position: int, *decided: Decided) -> Owned:
    """What lies in the table behind a crash: these decisions, and the controls up to ``position``."""
    rows = [(decided_key(ADA, one.receipt.command_position), encode_decided(one)) for one in decided]
    asked.opened.pending.apply([*rows, (controls_key(ADA), encode_controls(Controls(position, position)))], 9)
    return asked.owned


async def test_a_restore_makes_up_for_a_version_and_a_receipt(asked: Asked) -> None:
    later = encode_summary(replace(NEXT, version=8, previous_version=7, command_position=41))
    asked.obey.finish(crashed(asked, 41, Decided(RECEIPT, encode_summary(NEXT)), Decided(OTHER, later)))
    await until(lambda: len(asked.receipts.handed_out) == 2)
    assert [one.version for one in asked.published()] == [7, 8]
    assert asked.receipts.handed_out == [RECEIPT, OTHER]
    assert [kept.command for number in (7, 8) if (kept := asked.owned.history.at(ADA, number, 8))] == ["pin", "pin"]


async def test_a_version_that_is_durable_is_not_published_again_and_its_receipt_is(asked: Asked) -> None:
    asked.opened.summaries.apply([(ADA, encode_summary(replace(NEXT, version=9, command_position=40)))], 5)
    asked.obey.finish(crashed(asked, 40, Decided(RECEIPT, encode_summary(NEXT))))
    await asked.opened.partitions.flush()
    assert (asked.published(), asked.receipts.handed_out) == ([], [RECEIPT])


async def test_a_decision_without_its_commit_point_is_none(asked: Asked) -> None:
    """It is read again, and may be decided otherwise."""
    asked.obey.finish(crashed(asked, 39, Decided(RECEIPT, encode_summary(NEXT))))
    await asked.opened.partitions.flush()
    assert (asked.published(), asked.receipts.handed_out, asked.version()) == ([], [], 6)
    asked.ask(OptOut(user="ada", at=AT, id="p1"), 40)
    await until(lambda: asked.receipts.handed_out)
    assert [(one.command, one.version) for one in asked.receipts.handed_out] == [("opt_out", 7)]


async def test_a_command_that_meets_a_defect_is_refused_and_quotes_nothing(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defective(*_: object) -> None:
        raise ZeroDivisionError("a secret of ada")

    monkeypatch.setattr("agents.obey.decide", defective)
    asked.ask(PIN, 40)
    await until(lambda: asked.receipts.handed_out)
    (receipt,) = asked.receipts.handed_out
    assert (receipt.outcome, receipt.reason, "secret" in receipt.message) == ("refused", "unprocessable", False)
    assert receipt.message.startswith("a defect of this version: ZeroDivisionError in defective")


async def test_a_local_fault_is_nobodys_refusal(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("agents.obey.decide", full)
    with pytest.raises(OSError, match="disk full"):
        asked.ask(PIN, 40)
    assert asked.receipts.handed_out == []


async def test_what_the_operator_allows_may_be_pinned(asked: Asked) -> None:
    asked.ask(Pin(user="ada", at=AT, statement="I am Muslim."), 40)
    outbox: Any = asked.receipts
    asked.obey = Obey(outbox, asked.metrics, 160, frozenset({"religion"}))
    asked.ask(Pin(user="ada", at=AT, statement="I am Muslim."), 41)
    await asked.opened.partitions.flush()
    assert [(one.outcome, one.reason) for one in asked.receipts.handed_out] == [("refused", "sensitive"), ("applied", "")]
