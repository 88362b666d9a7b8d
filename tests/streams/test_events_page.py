"""What docs/events.md says of each kind of event is what the code does: the page is read here."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from prefstream.events import Event, Item, decode_event
from prefstream.rendering import counted
from prefstream.summaries import Tally
from streams.evidence import Evidence, evidence_of
from streams.evolution.prose import Section
from streams.tally import fold, levels

PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text()


def rows_of(pattern: str) -> list[list[str]]:
    """The rows of the page's tables in which the pattern is found."""
    lines = [line for line in PAGE.splitlines() if line.startswith("|") and re.search(pattern, line)]
    return [[cell.strip() for cell in line.strip("|\n").split("|")] for line in lines]


ROWS, STARS, LATE = rows_of(r'^\| `\{"type"'), rows_of(r"^\| \d stars? \|"), rows_of(" × ")


def event_of(example: str) -> Event:
    """The event of an example, in which a number stands for an item."""
    fields: dict[str, Any] = json.loads(example.strip("`"))
    for name in ("item", "chosen"):
        if isinstance(fields.get(name), int):
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


def films(events: str, genre: str, days_before: float) -> list[Evidence]:
    """The events of a cell: their number and strength."""
    number, _, strength = events.partition(" × ")
    items = [Item(f"{genre}{days_before}/{n}", attributes={"genre": (genre,)}) for n in range(int(number))]
    return [evidence(item, float(strength), days_before) for item in items]


def evidence(item: Item, strength: float, days_before: float) -> Evidence:
    chosen, rejected = (item, ()) if strength >= 0 else (None, (item,))
    at_seconds = (20_479 - days_before) * 86_400
    common = {"kind": "rating", "domain": "films", "query": "", "quote": "", "recommended": False}
    return Evidence(at_seconds=at_seconds, strength=strength, chosen=chosen, rejected=rejected, **common)  # type: ignore[arg-type]


@pytest.mark.parametrize("row", LATE, ids=[" ".join(row[:3]) for row in LATE])
def test_what_comes_late_says_what_the_page_says(row: list[str]) -> None:
    newer, then, days_before, said, _ = row
    events = [*films(newer, "drama", 0), *films("1 × 0.0", "war", 0), *films(then, "drama", float(days_before))]
    section = (*levels(fold(Tally(), events)).sections, Section())[0]
    assert [kind for kind in ("loves", "likes", "dislikes") if getattr(section, kind) == ("drama",)] == said.split()


def test_both_sides_of_late_are_on_the_page() -> None:
    assert {"7", "8"} < {row[2] for row in LATE}


def test_every_number_of_stars_is_on_the_page() -> None:
    assert [row[0] for row in STARS] == [counted(stars, "star") for stars in range(5, 0, -1)]


def rated(genre: str, stars: int, number: int) -> Evidence:
    item = {"id": f"{genre} {number}", "title": f"{genre} {number}", "attributes": {"genre": [genre]}}
    return evidence_of(event_of(json.dumps({"type": "rating", "domain": "films", "value": stars, "item": item})))


@pytest.mark.parametrize(("others", "stars"), [(others, stars) for others in range(1, 6) for stars in range(1, 6)])
def test_a_rating_is_read_against_the_users_own_average(others: int, stars: int) -> None:
    row = next(row for row in STARS if row[0].split()[0] == str(others))
    rest = iter([rated("other", others, number) for number in range(20)])
    events = [one for number in range(10) for one in (next(rest), next(rest), rated("drama", stars, number))]
    section = (*levels(fold(Tally(), events)).sections, Section())[0]
    assert [kind for kind in ("loves", "likes", "dislikes") if "drama" in getattr(section, kind)] == row[6 - stars].split()


@pytest.mark.parametrize(("others", "stars", "kind"), [(4, 5, "favourites"), (2, 1, "did_not_enjoy")])
def test_titles_are_those_that_stand_out_for_a_generous_and_a_severe_user(others: int, stars: int, kind: str) -> None:
    """Though most of what they rate would do, they come first."""
    events = [rated("drama", stars, 1), *(rated("other", others, number) for number in range(20))]
    (section,) = levels(fold(Tally(), events)).sections
    assert getattr(section, kind)[0] == "drama 1"
