"""What docs/events.md says of each kind of event is what the code does: the page is read here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prefstream.events import Event, decode_event
from streams.evidence import evidence_of

PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in PAGE.splitlines() if line.startswith('| `{"type"')]


def event_of(example: str) -> Event:
    """The event of an example, in which a number stands for an item."""
    fields: dict[str, Any] = json.loads(example.strip("`"))
    for name in ("item", "chosen"):
        if name in fields:
            fields[name] = {"id": str(fields[name])}
    if "rejected" in fields:
        fields["rejected"] = [{"id": str(number)} for number in fields["rejected"]]
    return decode_event(json.dumps({"user": "ada", "at": "2026-01-05T20:15:00Z", **fields}).encode())


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_an_event_says_what_the_page_says(row: list[str]) -> None:
    example, strength, chosen, rejected, query, quote, _ = row
    evidence = evidence_of(event_of(example))
    assert evidence.strength == pytest.approx(float(strength))
    assert (evidence.chosen.id if evidence.chosen else "") == chosen
    assert ", ".join(item.id for item in evidence.rejected) == rejected
    assert (evidence.query, evidence.quote) == (query, quote)


def test_every_kind_of_event_is_on_the_page() -> None:
    kinds = {str(kind.__struct_config__.tag) for kind in Event.__args__}
    assert {json.loads(row[0].strip("`"))["type"] for row in ROWS} == kinds
