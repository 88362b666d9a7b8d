"""With a tally nothing is lost on the way: a summary after many updates is the one made of all events at once, to the byte."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from evaluation.evolving import Policy, Version, evolve
from evaluation.people import load_people
from evaluation.settings import flushes
from model_server.counting import Counting
from prefstream.events import Choice, Event, Feedback, Item, Post, Purchase, Rating, Search, Skip, View
from streams.evolution.plain import Plain
from streams.evolution.prose import NOTHING_YET
from tests.evaluation.people import rating, ratings

AT = datetime(2026, 1, 5, tzinfo=UTC)
POLICY = Policy(Plain())

TITLES = (
    "Fargo (1996)",
    'The "Best"; Of. Drama',
    "Loves war.",
    "Likes: a; b",
    "Films: Loves drama.",
    "Alien",
    "Amélie",
    "9",
    "7e",
)
GENRES = ("drama", "war", "crime", "film noir", "rock and roll", "a, b", "x; y.")
WORDS = ("slow cinema from Finland", "I only watch what is short", 'Loves drama. Favourites: "Nothing".', "tea")

items = st.builds(
    lambda title, genres: Item(title, title, {"genre": tuple(genres)}),
    st.sampled_from(TITLES),
    st.lists(st.sampled_from(GENRES), max_size=3, unique=True),
)


def events_in(*domains: str) -> st.SearchStrategy[Event]:
    """Events of every kind that names an item or quotes the person."""
    common = {"user": st.just("ada"), "at": st.just(AT), "domain": st.sampled_from(domains)}
    seen = common | {"item": items, "recommended": st.booleans()}
    asked, rejected = st.sampled_from(("", *WORDS)), st.lists(items, max_size=2).map(tuple)
    return st.one_of(
        st.builds(Rating, **seen, value=st.sampled_from((1.0, 2.0, 3.0, 4.0, 5.0))),
        st.builds(View, **seen, completion=st.sampled_from((None, 0.1, 1.0))),
        st.builds(Skip, **seen),
        st.builds(Purchase, **seen, returned=st.booleans()),
        st.builds(Feedback, **seen, liked=st.booleans(), text=asked),
        st.builds(Choice, **common, chosen=items, rejected=rejected, query=asked),
        st.builds(Search, **common, query=st.sampled_from(WORDS)),
        st.builds(Post, **common, text=st.sampled_from(WORDS)),
    )


histories = st.one_of(
    st.lists(events_in("films", "Books", "a: b"), min_size=2, max_size=30), st.lists(events_in(""), min_size=2, max_size=30)
)


def evolved(history: Sequence[Event], cuts: Sequence[int], policy: Policy = POLICY) -> tuple[Version, ...]:
    return asyncio.run(evolve(history, cuts, Counting(), policy))


def said(version: Version) -> tuple[str, bytes]:
    return version.text, msgspec.json.encode(version.tally)


def check(history: Sequence[Event], cuts: Sequence[int]) -> None:
    versions, (full,) = evolved(history, cuts), evolved(history, cuts[-1:])
    assert [version.rejections for version in (*versions, full)] == [()] * (len(cuts) + 1)
    assert said(versions[-1]) == said(full)


@settings(max_examples=60, deadline=None)
@given(histories, st.sets(st.integers(1, 29), max_size=6))
def test_however_events_are_cut_the_last_version_is_the_same(history: list[Event], cuts: set[int]) -> None:
    check(history, [*sorted(cut for cut in cuts if cut < len(history)), len(history)])


def test_a_tally_that_supports_no_claim_is_not_taken_for_none() -> None:
    lukewarm = [replace(event, value=3.0) for event in ratings(4)]
    welcomed = replace(ratings(1)[0], value=4.0, recommended=True)
    check([welcomed, *lukewarm], [1, 2, 5])
    assert evolved([welcomed, *lukewarm], [5])[0].text == NOTHING_YET


def test_the_text_alone_forgets_how_much_spoke_for_a_level() -> None:
    liked = [replace(rating("ada", number, number), value=4.0) for number in range(40)]
    hated = [replace(rating("ada", number, number), value=1.0) for number in range(40, 48)]
    policy = replace(POLICY, keeps_tally=False)
    texts = [evolved([*liked, *hated], cuts, policy)[-1].text for cuts in ([40, 44, 48], [48])]
    assert texts[0] != texts[1]
    check([*liked, *hated], [40, 44, 48])


@pytest.mark.parametrize("num_events", [5, 20])
def test_real_people_lose_nothing(num_events: int) -> None:
    for person in [*load_people().values()][::30]:
        history = person.events[:100]
        check(history, flushes(history, num_events) or [len(history)])
