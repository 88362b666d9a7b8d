"""The lexical reader: what each claim is worth, and that it does not matter which item comes first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.events import Item
from prefstream.summaries import Tally
from streams.evidence import Evidence
from streams.evolution.plain import parse_prompt, write_prompt
from streams.evolution.prose import NOTHING_YET, Claims, Section, parse, render
from streams.lexical import lean
from streams.tally import fold

TEXT = (
    "Loves drama and war. Likes crime. Mixed on thriller. Dislikes musicals. Often chooses comedy. "
    'Favourites: "Fargo (1996)". Did not enjoy: "Spawn (1997)".'
)
NOTHING = Item("nothing")


def film(*genres: str, title: str = "") -> Item:
    return Item(id=title or "?", title=title, attributes={"genre": genres})


@pytest.mark.parametrize(
    ("item", "worth"),
    [
        (film("drama"), 1 / 2),
        (film("crime"), 0.5 / 2),
        (film("comedy"), 0.5 / 2),
        (film("thriller"), -0.25 / 2),
        (film("musicals"), -1 / 2),
        (film("western"), 0.0),
        (film("drama", "war"), 2 / 3),
        (film("drama", "western"), 1 / 3),
        (film("drama", "drama"), 1 / 2),
        (film("DRAMA"), 1 / 2),
        (film(title="Fargo (1996)"), 2.0),
        (film(title="fargo  (1996)"), 2.0),
        (film("musicals", title="Fargo (1996)"), 1.5),
        (film(title="Spawn (1997)"), -2.0),
        (film(title="drama"), 0.0),
        (film("Fargo (1996)"), 0.0),
    ],
)
def test_what_an_item_is_worth(item: Item, worth: float) -> None:
    claims = parse(TEXT)
    assert lean(claims, item, NOTHING) == pytest.approx(worth)
    assert lean(claims, NOTHING, item) == pytest.approx(-worth)


@pytest.mark.parametrize("text", ["", NOTHING_YET, "I am vegan.", "Loves opera."])
def test_nothing_speaks_for_either(text: str) -> None:
    assert lean(parse(text), film("drama", title="Fargo (1996)"), film("war")) == 0.0


def test_what_is_said_both_ways_says_nothing() -> None:
    claims = parse("Loves drama. Dislikes drama.")
    assert lean(claims, film("drama"), NOTHING) == 0.0


def test_a_domain_is_not_spoken_for_by_another() -> None:
    claims = parse("Films: Loves drama.\nBooks: Dislikes drama.")
    assert lean(claims, film("drama"), NOTHING) == 0.0
    assert lean(claims, film("drama"), NOTHING, "films") == 0.5
    assert lean(claims, film("drama"), NOTHING, "Books") == -0.5
    assert lean(parse("Loves drama."), film("drama"), NOTHING, "films") == 0.5


words = st.sampled_from(["drama", "war", "crime", "size M", "Fargo (1996)", "Æon", 'a "quoted" one'])
lists = st.lists(words, max_size=3).map(tuple)
sections = st.builds(
    Section, loves=lists, likes=lists, mixed=lists, dislikes=lists, often=lists, favourites=lists, did_not_enjoy=lists
)
items = st.builds(lambda title, genres: film(*genres, title=title), words, lists)


@given(sections, items, items)
def test_exchanging_the_items_turns_the_sign_exactly(section: Section, first: Item, second: Item) -> None:
    claims = Claims((section,))
    assert lean(claims, first, second) == -lean(claims, second, first)
    assert lean(claims, first, first) == 0.0


@pytest.mark.parametrize("item", [film("size M"), Item("1", attributes={"size": ("M",)}), film('say "x"'), film("<b>war")])
def test_an_item_is_known_again_by_what_the_tally_says_of_it(item: Item) -> None:
    liked = Evidence(
        kind="rating", at_seconds=0.0, domain="", strength=1.0, query="", chosen=item, rejected=(), quote="", recommended=False
    )
    shown = parse_prompt(write_prompt("", fold(Tally(), [liked] * 5), ()))
    assert shown is not None
    assert lean(parse(render(shown.claims, 160)), item, NOTHING) > 0
