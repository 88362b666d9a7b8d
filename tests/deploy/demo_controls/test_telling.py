"""What a person types is shown as they would type it, and a broken promise cannot be overlooked."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from deploy.demo_controls.promises import Broken
from deploy.demo_controls.script import FIRST_EVENTS, LATER_EVENTS, SCRIPT
from deploy.demo_controls.stage import EVENTS_EACH
from deploy.demo_controls.telling import Telling, typed
from prefstream.commands import Command, Edit, Never, OptOut, Pin, RollBack

MINE: dict[str, Any] = {"user": "ada", "at": datetime(2026, 1, 5, 20, 15, tzinfo=UTC)}


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (Edit(text="Loves drama.", **MINE), "prefstream edit ada 'Loves drama.'"),
        (Pin(statement="Vegan.", **MINE), "prefstream pin ada Vegan."),
        (Never(subject="my family", **MINE), "prefstream never ada 'my family'"),
        (RollBack(version=4, **MINE), "prefstream roll-back ada 4"),
        (OptOut(**MINE), "prefstream opt-out ada"),
    ],
)
def test_a_command_is_shown_as_it_is_typed(command: Command, line: str) -> None:
    assert typed(command) == line


def test_what_is_told() -> None:
    output = StringIO()
    telling = Telling(Console(file=output, width=100))
    telling.events(FIRST_EVENTS)
    telling.kept(["the receipt is true", "every pin is said"])
    telling.broken(Broken("every pin is said", "version 3 does not"))
    telling.end(8, 6.2)
    said = output.getvalue()
    assert "★★★★★  The Long Trench  (war, drama)" in said
    assert "searched “slow films about the sea”" in said
    assert "✓ the receipt is true · every pin is said" in said
    assert "✗ every pin is said: version 3 does not" in said
    assert "2 promises checked in 8 steps and 6 seconds: all are kept." in said


def test_the_events_of_a_step_are_as_many_as_make_a_user_due() -> None:
    assert {len(step.events) for step in SCRIPT} == {0, EVENTS_EACH} == {0, len(FIRST_EVENTS), len(LATER_EVENTS)}
    assert len({step.name for step in SCRIPT}) == len(SCRIPT)
