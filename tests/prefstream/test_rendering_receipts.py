"""A receipt is a sentence or two, which say nothing twice and nothing in the program's own words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import pytest
from msgspec.structs import replace

from prefstream.receipts import Receipt, RefusalReason
from prefstream.rendering.receipts import REFUSALS, receipt_line

DONE = Receipt(user="ada", command="pin", outcome="applied", at=datetime(2026, 1, 5, tzinfo=UTC), command_position=3)


def refused(reason: RefusalReason, message: str = "") -> str:
    return receipt_line(replace(DONE, outcome="refused", reason=reason, message=message))


@pytest.mark.parametrize(
    ("reason", "message", "why"),
    [
        ("empty", "there are no words in it", "there are no words in it"),
        ("sensitive", "it speaks of religion: `allow` that first", "it speaks of religion: `allow` that first"),
        ("not_pinned", "none of the pins has these words", "none of the pins has these words"),
        ("too_long", "about 900 tokens", "it is too long (about 900 tokens)"),
        ("no_such_version", "the newest is 6", "there is no such version (the newest is 6)"),
        ("not_pinned", "", "there is no such pin"),
        ("of_tomorrow", "", "of_tomorrow"),
        ("markup", "\x1b[2J", "\ufffd[2J"),
    ],
)
def test_a_refusal_says_why_once(reason: RefusalReason, message: str, why: str) -> None:
    assert refused(reason, message) == f"pin: refused, because {why}."


def test_a_question_is_no_statement_too() -> None:
    assert refused("unknown_user", "is the id right?") == "pin: refused, because is the id right?"


def test_every_reason_is_a_clause() -> None:
    assert set(REFUSALS) == set(get_args(RefusalReason)) - {""}


@pytest.mark.parametrize(
    ("version", "message", "line"),
    [
        (6, "", "roll-back: applied; version 6 says so."),
        (0, "", "roll-back: applied; there is no summary yet to show it."),
        (6, "religion may now be learnt", "roll-back: applied; version 6 says so. Religion may now be learnt."),
    ],
)
def test_what_is_done_is_said(version: int, message: str, line: str) -> None:
    assert receipt_line(replace(DONE, command="roll_back", version=version, message=message)) == line
