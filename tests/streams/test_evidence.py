"""Each type of event has one documented strength, one place for its item, and a bounded quote."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.events import (
    Choice,
    Click,
    Comment,
    Event,
    Feedback,
    Item,
    Message,
    Post,
    Purchase,
    Rating,
    Search,
    Skip,
    View,
)
from streams.evidence import MAX_QUOTE_CHARS, evidence_of, is_impression

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
BASE: dict[str, Any] = {"user": "ada", "at": AT}
STAR = Item(id="50", title="Star Wars (1977)", attributes={"genre": ("sci-fi",)})
HEAT = Item(id="51", title="Heat (1995)")
BARE = Item(id="52")

STRENGTHS: list[tuple[Event, str, float]] = [
    (View(item=STAR, **BASE), "view", 0.1),
    (View(item=STAR, completion=0.5, **BASE), "view", 0.3),
    (View(item=STAR, completion=1.0, **BASE), "view", 0.5),
    (View(item=STAR, seconds=3.0, **BASE), "view", 0.1),
    (View(item=STAR, seconds=62.5, **BASE), "view", 0.2),
    (View(item=STAR, seconds=7_200.0, **BASE), "view", 0.3),
    (View(item=STAR, seconds=7_200.0, completion=0.0, **BASE), "view", 0.1),
    (Click(item=STAR, **BASE), "click", 0.3),
    (Skip(item=STAR, **BASE), "skip", -0.2),
    (Purchase(item=STAR, **BASE), "purchase", 0.8),
    (Purchase(item=STAR, returned=True, **BASE), "purchase", -0.4),
    (Rating(item=STAR, value=1, **BASE), "rating", -1.0),
    (Rating(item=STAR, value=3, **BASE), "rating", 0.0),
    (Rating(item=STAR, value=4, **BASE), "rating", 0.5),
    (Rating(item=STAR, value=5, **BASE), "rating", 1.0),
    (Rating(item=STAR, value=0.5, scale=(0, 1), **BASE), "rating", 0.0),
    (Rating(item=STAR, value=-1, scale=(-1, 1), **BASE), "rating", -1.0),
    (Rating(item=STAR, value=0, scale=(0, 5e-324), **BASE), "rating", 0.0),  # half of it is nothing
    (Choice(chosen=STAR, **BASE), "choice", 0.9),
    (Feedback(item=STAR, liked=True, **BASE), "feedback", 0.8),
    (Feedback(item=STAR, liked=False, **BASE), "feedback", -0.8),
    (Post(text="hello", **BASE), "post", 0.2),
    (Comment(text="hello", **BASE), "comment", 0.2),
    (Search(query="hello", **BASE), "search", 0.3),
    (Message(text="hello", **BASE), "message", 0.2),
    (Message(text="hello", role="assistant", **BASE), "message", 0.0),
]


@pytest.mark.parametrize(("event", "kind", "strength"), STRENGTHS)
def test_the_strength_is_the_tables(event: Event, kind: str, strength: float) -> None:
    evidence = evidence_of(event)
    assert evidence.kind == kind
    assert evidence.strength == pytest.approx(strength)
    assert evidence.at_seconds == AT.timestamp()


def test_every_type_of_event_is_in_the_table() -> None:
    assert {type(event) for event, _, _ in STRENGTHS} == set(Event.__args__)


@pytest.mark.parametrize(("event", "kind", "strength"), STRENGTHS)
def test_what_was_recommended_counts_half(event: Event, kind: str, strength: float) -> None:
    fields = {name: getattr(event, name) for name in event.__struct_fields__}
    echoed = evidence_of(type(event)(**fields | {"recommended": True}))
    assert echoed.recommended
    assert echoed.strength == pytest.approx(strength / 2)
    assert evidence_of(event).recommended is False


@pytest.mark.parametrize(
    ("event", "chosen", "rejected"),
    [
        (Click(item=STAR, **BASE), STAR, ()),
        (Rating(item=STAR, value=3, **BASE), STAR, ()),
        (Rating(item=STAR, value=2, **BASE), None, (STAR,)),
        (Skip(item=STAR, **BASE), None, (STAR,)),
        (Purchase(item=STAR, returned=True, **BASE), None, (STAR,)),
        (Feedback(item=STAR, liked=False, **BASE), None, (STAR,)),
        (Choice(chosen=STAR, rejected=(HEAT, BARE), **BASE), STAR, (HEAT, BARE)),
        (Comment(text="fine", item=HEAT, **BASE), HEAT, ()),
        (Search(query="heist", **BASE), None, ()),
    ],
)
def test_the_item_is_where_its_sign_says(event: Event, chosen: Item | None, rejected: tuple[Item, ...]) -> None:
    evidence = evidence_of(event)
    assert (evidence.chosen, evidence.rejected) == (chosen, rejected)


@pytest.mark.parametrize("length", [MAX_QUOTE_CHARS - 1, MAX_QUOTE_CHARS, MAX_QUOTE_CHARS + 1, 20_000])
def test_quote_and_query_are_bounded(length: int) -> None:
    text = "é" * length
    evidence = evidence_of(Comment(text=text, in_reply_to=text, **BASE))
    for kept in (evidence.quote, evidence.query):
        assert len(kept) == min(length, MAX_QUOTE_CHARS)
        assert (kept == text) == (length <= MAX_QUOTE_CHARS)
        assert kept.endswith("…") == (length > MAX_QUOTE_CHARS)


@pytest.mark.parametrize(
    ("event", "is_one"),
    [
        (Skip(item=STAR, **BASE), True),
        (View(item=STAR, seconds=3.0, **BASE), True),
        (View(item=STAR, completion=0.3, **BASE), True),
        (View(item=STAR, seconds=120.0, **BASE), False),
        (View(item=STAR, seconds=120.0, recommended=True, **BASE), True),
        (View(item=STAR, completion=1.0, recommended=True, **BASE), False),
        (Click(item=STAR, **BASE), False),
        (Click(item=STAR, recommended=True, **BASE), True),
        (Message(text="Have you seen Heat?", role="assistant", **BASE), True),
        (Message(text="I have.", **BASE), False),
        (Rating(item=STAR, value=3, **BASE), False),
        (Purchase(item=STAR, returned=True, recommended=True, **BASE), False),
        (Post(text="Hm.", **BASE), False),
        (Comment(text="Hm.", **BASE), False),
        (Search(query="heat", recommended=True, **BASE), False),
        (Choice(chosen=STAR, rejected=(HEAT,), **BASE), False),
        (Feedback(item=STAR, liked=False, **BASE), False),
    ],
)
def test_an_impression_is_what_was_shown_and_met_with_nothing(event: Event, is_one: bool) -> None:
    assert is_impression(evidence_of(event)) is is_one


def test_the_assistants_words_are_no_evidence() -> None:
    assert evidence_of(Message(text="You will love Heat", role="assistant", **BASE)).quote == ""


FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.lists(FLOATS, min_size=3, max_size=3, unique=True).map(sorted))
def test_a_rating_never_leaves_its_range(numbers: list[float]) -> None:
    lowest, value, highest = numbers
    strengths = [evidence_of(rating(v, lowest, highest)).strength for v in (lowest, value, highest)]
    assert strengths[0] == -1.0
    assert strengths[2] == 1.0
    assert -1.0 <= strengths[1] <= 1.0
    assert all(map(math.isfinite, strengths))


def rating(value: float, lowest: float, highest: float) -> Rating:
    return Rating(item=STAR, value=value, scale=(lowest, highest), **BASE)
