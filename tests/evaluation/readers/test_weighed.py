"""Weights: learnt from others, the same in both orders, and nothing where nothing speaks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from evaluation.readers.weighed import Weighed, probability
from evaluation.records import Asked, View
from prefstream.events import Item


class Length:
    """The longer text speaks for the first item by its length, by the other's against it: a column each."""

    def differences(self, asked: Sequence[Asked]) -> NDArray[np.float64]:
        return np.array([[len(one.first.title) - len(one.second.title), 0.0] for one in asked])


def about(first: int, second: int) -> Asked:
    return Asked(View(), Item("a", "x" * first), Item("b", "x" * second))


def fitted(pairs: Sequence[tuple[int, int]], longer_wins: bool = True) -> Weighed:
    reader = Weighed("length", (Length(),))
    reader.fit([about(*pair) for pair in pairs], np.array([(first > second) == longer_wins for first, second in pairs]))
    return reader


@pytest.mark.parametrize("longer_wins", [True, False])
def test_what_decided_for_others_decides(longer_wins: bool) -> None:
    reader = fitted([(3, 1), (1, 4), (9, 2), (1, 5)], longer_wins)
    assert ((reader.prefer([about(7, 2), about(2, 7)]) > 0.5) == [longer_wins, not longer_wins]).all()


def test_both_orders_are_one_question() -> None:
    one, both = fitted([(3, 1), (9, 2)]), fitted([(3, 1), (9, 2), (1, 3), (2, 9)])
    assert min(reader.prefer([about(2, 1)])[0] for reader in (one, both)) > 0.5
    first, second = one.prefer([about(5, 2), about(2, 5)])
    assert first + second == pytest.approx(1.0)


@pytest.mark.parametrize("reader", [Weighed("length", (Length(),)), fitted([])])
def test_without_questions_nothing_is_learnt(reader: Weighed) -> None:
    assert (reader.prefer([about(7, 2)]) == 0.5).all()
    assert reader.prefer([]).shape == (0,)


def test_what_is_said_is_trusted_less_than_what_is_known() -> None:
    questions = [about(3, 1), about(1, 4), about(9, 2), about(2, 3)]
    took = np.array([True, False, True, False])
    known, said = Weighed("known", (Length(),)), Weighed("said", (), (Length(),))
    known.fit(questions, took)
    said.fit(questions, took)
    assert 0.5 < said.prefer([about(3, 1)])[0] < known.prefer([about(3, 1)])[0]


@given(st.floats(-1e6, 1e6))
def test_probabilities(log_odds: float) -> None:
    forward, backward = probability(np.array([log_odds, -log_odds]))
    assert forward + backward == pytest.approx(1.0)
    assert forward == pytest.approx(1 / (1 + np.exp(-np.clip(log_odds, -500, 500))))
