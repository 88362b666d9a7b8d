"""The space says what it said when it was versioned, its words can be read back, and nothing known is nothing said."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.space import NUM_DIMENSIONS, State, load_space, states_in, words_of

SPACE = load_space()
NOTHING: tuple[State, ...] = (None,) * NUM_DIMENSIONS
all_states = st.tuples(*[st.sampled_from([0, 1, None])] * NUM_DIMENSIONS)


def at(**states: State) -> tuple[State, ...]:
    """Nothing known but what is named by id, as ``cars=1``."""
    places = {dimension.id.replace("-", "_"): place for place, dimension in enumerate(SPACE.dimensions)}
    known = {places[name]: state for name, state in states.items()}
    return tuple(known.get(place) for place in range(NUM_DIMENSIONS))


def test_its_meaning_is_that_of_its_version() -> None:
    """Whoever changes a dimension makes another version: vectors that were stored mean what they meant."""
    assert (SPACE.name, SPACE.version) == ("alignx-90", 1)
    assert SPACE.sha256 == "02ef24d65b9877b0fc7943a573c2746fbe36fa2e6c3b0b16163eec11474115e9"


def test_its_dimensions_are_told_apart() -> None:
    labels = [label for dimension in SPACE.dimensions for label in (dimension.one, dimension.zero)]
    assert len({dimension.id for dimension in SPACE.dimensions}) == NUM_DIMENSIONS
    assert len({label.casefold() for label in labels}) == 2 * NUM_DIMENSIONS
    assert not [label for label in labels if "," in label]
    assert Counter(dimension.zero_means for dimension in SPACE.dimensions) == {
        "dislike": 48,
        "indifference": 30,
        "opposite": 12,
    }


def test_the_places_that_others_lean_on() -> None:
    places = {place: SPACE.dimensions[place].id for place in (0, 1, 16, 42, 46, 47, 73, 89)}
    assert places == {
        0: "age",
        1: "gender",
        16: "communication",
        42: "honesty",
        46: "complexity",
        47: "science",
        73: "humor",
        89: "fashion",
    }


@given(all_states)
def test_what_is_written_is_read_back(states: tuple[State, ...]) -> None:
    assert states_in(words_of(states, SPACE, with_sensitive=True), SPACE) == states


@given(all_states)
def test_who_somebody_is_stays_unsaid_unless_asked_for(states: tuple[State, ...]) -> None:
    read = states_in(words_of(states, SPACE), SPACE)
    sensitive = [place for place, dimension in enumerate(SPACE.dimensions) if dimension.sensitive]
    assert sensitive == [0, 1, 2, 3, 4, 5, 6, 33, 34]
    assert read == tuple(None if place in sensitive else state for place, state in enumerate(states))


def test_nothing_known_is_nothing_said() -> None:
    assert words_of(NOTHING, SPACE, with_sensitive=True) == ""
    assert states_in("", SPACE) == NOTHING


@pytest.mark.parametrize(
    ("text", "states"),
    [
        ("She LIKES CARS and dislikes fine food.", at(cars=1, gourmet_food=0)),
        ("likes the news, dislikes the news", NOTHING),
        ("likes carsharing", NOTHING),
        ("wants to lead, has no wish to be different", at(dominance=1, contrariance=0)),
    ],
    ids=["free text", "both ways", "part of a word", "alike"],
)
def test_the_words_are_found_in_a_text(text: str, states: tuple[State, ...]) -> None:
    assert states_in(text, SPACE) == states
