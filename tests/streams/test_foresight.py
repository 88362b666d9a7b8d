"""A clear choice tests the summary before it trains it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from prefstream.events import Choice, Event, Item, Rating, View
from streams.evidence import evidence_of
from streams.foresight import verdicts

AT = datetime(2026, 1, 5, tzinfo=UTC)
TEXT = 'Loves war. Dislikes musical. Favourites: "Heat".'
HEAT, WAR, MUSICAL, STRANGE = (
    Item(id="1", title="Heat"),
    Item(id="2", title="Dunkirk", attributes={"genre": ("war",)}),
    Item(id="3", title="Grease", attributes={"genre": ("musical",)}),
    Item(id="4", title="Zorro"),
)


def choice(chosen: Item, *rejected: Item) -> Choice:
    return Choice(user="ada", at=AT, domain="films", chosen=chosen, rejected=rejected)


def rating(item: Item, value: float, domain: str = "films") -> Rating:
    return Rating(user="ada", at=AT, domain=domain, item=item, value=value)


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ([choice(WAR, MUSICAL)], {"told": 1}),
        ([choice(MUSICAL, WAR)], {"mistaken": 1}),
        ([choice(STRANGE, Item(id="5", title="Zelig"))], {"silent": 1}),
        ([choice(HEAT, WAR, MUSICAL)], {"told": 1}),
        ([rating(WAR, 5), rating(MUSICAL, 1)], {"told": 1}),
        ([rating(MUSICAL, 5), rating(WAR, 1)], {"mistaken": 1}),
        ([rating(WAR, 5), rating(HEAT, 5), rating(MUSICAL, 1)], {"told": 1}),
        ([rating(WAR, 5), rating(MUSICAL, 1, "music")], {}),
        ([rating(WAR, 3), rating(MUSICAL, 1)], {}),
        ([View(user="ada", at=AT, domain="films", item=WAR), rating(MUSICAL, 1)], {}),
        ([], {}),
    ],
    ids=["told", "mistaken", "silent", "of three", "ratings", "turned", "one pair", "domains", "not firm", "view", "nothing"],
)
def test_what_a_text_says_of_a_choice(events: list[Event], found: dict[str, int]) -> None:
    assert verdicts(TEXT, [evidence_of(event) for event in events]) == found


def test_without_a_text_nothing_is_tested() -> None:
    assert verdicts("", [evidence_of(choice(WAR, MUSICAL))]) == {}


def test_a_text_of_no_known_format_is_silent() -> None:
    assert verdicts("The user seems to be somebody who enjoys films.", [evidence_of(choice(WAR, MUSICAL))]) == {"silent": 1}
