"""The live quality: what a clear choice is, and what a summary would have chosen."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.events import Choice, Click, Event, Feedback, Item, Rating
from streams.evolution.prose import NOTHING_YET
from streams.quality import MAX_LEFT, Verdict, is_clear, verdict_on

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
TEXT = 'Loves drama. Dislikes musicals. Favourites: "Fargo (1996)". Did not enjoy: "Spawn (1997)".'
DRAMA, MUSICAL, WESTERN = (Item(genre, attributes={"genre": (genre,)}) for genre in ("drama", "musicals", "western"))
FARGO, SPAWN = Item("1", title="Fargo (1996)"), Item("2", title="Spawn (1997)")


def choice(chosen: Item, *rejected: Item, domain: str = "") -> Choice:
    return Choice(user="ada", at=AT, domain=domain, chosen=chosen, rejected=rejected)


@pytest.mark.parametrize(
    ("event", "clear"),
    [
        (choice(DRAMA, MUSICAL), True),
        (choice(DRAMA, DRAMA, MUSICAL), True),
        (choice(DRAMA), False),
        (choice(DRAMA, Item("drama", title="the same again")), False),
        (Rating(user="ada", at=AT, item=DRAMA, value=5), False),
        (Click(user="ada", at=AT, item=DRAMA), False),
        (Feedback(user="ada", at=AT, item=DRAMA, liked=False), False),
    ],
)
def test_what_a_clear_choice_is(event: Event, clear: bool) -> None:
    assert is_clear(event) is clear


@pytest.mark.parametrize(
    ("text", "event", "verdict"),
    [
        (TEXT, choice(DRAMA, MUSICAL), "right"),
        (TEXT, choice(MUSICAL, DRAMA), "wrong"),
        (TEXT, choice(DRAMA, WESTERN), "right"),
        (TEXT, choice(WESTERN, MUSICAL), "right"),
        (TEXT, choice(WESTERN, Item("noir")), "silent"),
        (TEXT, choice(FARGO, DRAMA), "right"),
        (TEXT, choice(SPAWN, MUSICAL), "wrong"),
        (TEXT, choice(WESTERN, DRAMA, MUSICAL), "silent"),
        (TEXT, choice(WESTERN, DRAMA, MUSICAL, SPAWN), "right"),
        (TEXT, choice(WESTERN, DRAMA, FARGO, SPAWN), "wrong"),
        (TEXT, choice(DRAMA, DRAMA, MUSICAL), "right"),
        ("", choice(DRAMA, MUSICAL), "silent"),
        (NOTHING_YET, choice(DRAMA, MUSICAL), "silent"),
        ("She would rather not say.", choice(DRAMA, MUSICAL), "silent"),
        (f"Films: {TEXT}\nBooks: Loves musicals.", choice(DRAMA, MUSICAL, domain="films"), "right"),
        (f"Films: {TEXT}\nBooks: Loves musicals.", choice(DRAMA, MUSICAL, domain="books"), "wrong"),
    ],
)
def test_how_a_summary_would_have_chosen(text: str, event: Choice, verdict: Verdict) -> None:
    assert verdict_on(text, event) == verdict


def test_of_a_long_list_only_the_beginning_is_compared() -> None:
    assert verdict_on(TEXT, choice(WESTERN, *[WESTERN] * MAX_LEFT, DRAMA)) == "wrong"
    nobodys = tuple(Item(f"item-{number}") for number in range(MAX_LEFT))
    assert verdict_on(TEXT, choice(WESTERN, *nobodys, DRAMA)) == "silent"


TURNED = {"right": "wrong", "wrong": "right", "silent": "silent"}
items = st.sampled_from([DRAMA, MUSICAL, WESTERN, FARGO, SPAWN])


@given(items, items)
def test_the_other_choice_turns_the_verdict(one: Item, other: Item) -> None:
    if one is not other:
        assert verdict_on(TEXT, choice(other, one)) == TURNED[verdict_on(TEXT, choice(one, other))]


@given(st.text(max_size=200), st.text(max_size=40), st.text(max_size=20))
def test_no_text_and_no_item_is_too_odd(text: str, title: str, genre: str) -> None:
    odd = Item("odd", title=title, attributes={"genre": (genre,)})
    assert verdict_on(text, choice(odd, DRAMA)) in TURNED
