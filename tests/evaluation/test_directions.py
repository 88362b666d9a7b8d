"""Vectors of a history come to what they say, however long it is; what cancels out or was never said is nobody's preference."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.directions import BridgePolicy, Counted, count, leanings, states_of
from evaluation.space import NUM_DIMENSIONS, load_space, words_of

EVEN = BridgePolicy(half_life=1e12)
MARKS = {"+": 1.0, "-": 0.0, ".": 0.5}


def vectors(marks: str, place: int = 62) -> list[list[float]]:
    """A vector for each mark, neutral but at ``place``."""
    return [[MARKS[mark] if at == place else 0.5 for at in range(NUM_DIMENSIONS)] for mark in marks]


def told(marks: str, policy: BridgePolicy = EVEN) -> int | None:
    states = states_of(count(Counted(), vectors(marks), policy), policy)
    assert all(state is None for place, state in enumerate(states) if place != 62)
    return states[62]


@pytest.mark.parametrize(
    ("marks", "state"),
    [
        ("+", 1),
        ("-", 0),
        ("", None),
        ("....", None),
        ("+-", None),
        ("++-", 1),
        ("+++--", None),
        ("+++++-", 1),
        ("+" + "." * 99, 1),
        ("+" * 60 + "-" * 40, None),
        ("+" * 61 + "-" * 39, 1),
    ],
)
def test_what_a_history_comes_to(marks: str, state: object) -> None:
    assert told(marks) == state


def test_hand_computed() -> None:
    leaning = leanings(count(Counted(), vectors("++-"), EVEN), EVEN)[62]
    assert leaning.direction == pytest.approx(1 / 4)
    assert leaning.confidence == pytest.approx(3 / 4)
    assert leaning.evidence == pytest.approx(3)


@pytest.mark.parametrize(("marks", "sign"), [("+.-", -1), ("-.+", 1)])
def test_what_is_older_counts_less_either_way(marks: str, sign: int) -> None:
    policy = BridgePolicy(half_life=2)
    leaning = leanings(count(Counted(), vectors(marks), policy), policy)[62]
    assert leaning.direction == pytest.approx(sign * (1 - 0.5) / 2.5)


def test_a_reversal_passes_through_nothing() -> None:
    seen = [told("++++--------"[:end], BridgePolicy(half_life=10)) for end in range(1, 13)]
    assert seen == [1] * 5 + [None] * seen.count(None) + [0] * (7 - seen.count(None))
    assert 1 <= seen.count(None) <= 3


def test_a_single_vector_is_told_for_one_half_life() -> None:
    policy = BridgePolicy(half_life=5)
    assert [told("+" + "." * after, policy) for after in (0, 4, 6)] == [1, 1, None]


@given(st.text("+-.", max_size=12))
def test_for_and_against_are_treated_alike(marks: str) -> None:
    """The published thresholds keep one positive vote of five and drop one negative."""
    before = told(marks)
    turned = None if before is None else 1 - before
    assert told(marks.translate(str.maketrans("+-", "-+"))) == turned


@given(st.text("+-.", max_size=9), st.text("+-.", max_size=9))
def test_histories_add_up(first: str, second: str) -> None:
    policy = BridgePolicy(half_life=7)
    apart = count(count(Counted(), vectors(first), policy), vectors(second), policy)
    assert apart == count(Counted(), vectors(first + second), policy)


@given(st.permutations("+++--.."))
def test_without_decay_the_order_says_nothing(marks: Sequence[str]) -> None:
    assert told("".join(marks)) is None


def test_a_history_that_cancels_out_is_not_ninety_dislikes() -> None:
    both = count(Counted(), [[1.0] * NUM_DIMENSIONS, [0.0] * NUM_DIMENSIONS])
    assert words_of(states_of(both), load_space(), with_sensitive=True) == ""
