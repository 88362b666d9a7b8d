"""The reward and the returns, by hand: the paper's 0.45 among them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.rewards import (
    MeasuredFutures,
    RewardWeights,
    Rewrite,
    chance_futures,
    discounted,
    futures,
    returns_by_pick,
    reward,
)


@pytest.mark.parametrize(
    ("rewrite", "worth"),
    [
        (Rewrite(0.6, 1.0, 100, 160), 1.1),
        (Rewrite(0.6, 0.5, 160, 160), 0.85),
        (Rewrite(0.6, 0.5, 200, 160), 0.85 - 0.2 * 0.25),
        (Rewrite(0.6, 0.5, 1_000, 160), 0.85 - 0.2),
        (Rewrite(0.5, 0.0, 0, 160, is_broken=True), -0.5),
        (Rewrite(1.0, 1.0, 160, 160, is_broken=True), 0.5),
    ],
    ids=["all right", "half true", "a quarter too long", "no longer counts", "broken", "broken, and foreseen by chance"],
)
def test_what_a_rewrite_is_worth(rewrite: Rewrite, worth: float) -> None:
    assert reward(rewrite) == pytest.approx(worth)


def test_the_weights_decide() -> None:
    assert reward(Rewrite(0.5, 1.0, 240, 160, True), RewardWeights(2.0, 0.4, 3.0)) == pytest.approx(0.5 + 2 - 0.4 * 0.5 - 3)


def test_a_path_is_discounted() -> None:
    assert discounted([1.0, 0.5, 0.25]) == pytest.approx(1 + 0.9 * 0.5 + 0.81 * 0.25)
    assert discounted([1.0, 0.5, 0.25], 0.0) == 1.0
    assert discounted([]) == 0.0


def test_the_papers_returns() -> None:
    """Two updates, four samples: R1_k = r1_k + 0.9 mean r2, its siblings r1_i + 0.45."""
    first, second = [0.2, 0.9, 0.4, 0.7], [0.6, 0.8, 0.4, 0.6]
    told = returns_by_pick([first, second], [1], chance_futures(2))
    assert chance_futures(2) == [0.5]
    assert told[0] == pytest.approx([0.2 + 0.45, 0.9 + 0.9 * 0.6, 0.4 + 0.45, 0.7 + 0.45])
    assert told[1] == pytest.approx(second)


def test_the_returns_of_three_updates() -> None:
    """Whoever was picked first has two updates to come: 0.9 * mean r2 + 0.81 * mean r3."""
    groups = [[1.0, 0.0], [0.4, 0.6], [0.2, 0.4]]
    assert futures(groups) == pytest.approx([0.5 + 0.9 * 0.3, 0.3])
    assert chance_futures(3) == pytest.approx([0.5 + 0.45, 0.5])
    told = returns_by_pick(groups, [0, 1], chance_futures(3))
    assert told[0] == pytest.approx([1.0 + 0.9 * 0.77, 0.0 + 0.9 * 0.95])
    assert told[1] == pytest.approx([0.4 + 0.45, 0.6 + 0.9 * 0.3])
    assert told[2] == pytest.approx([0.2, 0.4])


def test_centred_on_what_was_measured() -> None:
    """With a future of 1.2 on average the paper's constant makes being picked worth 0.63; the mean makes it worth nothing."""
    measured = MeasuredFutures()
    assert measured.means(2) == chance_futures(2)
    measured.add(futures([[1.0, 1.0], [1.4, 1.4]]))
    measured.add(futures([[1.0, 1.0], [1.0, 1.0]]))
    assert measured.means(2) == pytest.approx([1.2])
    told = returns_by_pick([[1.0, 1.0], [1.2, 1.2]], [0], measured.means(2))
    assert told[0][0] == pytest.approx(told[0][1])
    paper = returns_by_pick([[1.0, 1.0], [1.2, 1.2]], [0], chance_futures(2))
    assert paper[0][0] - paper[0][1] == pytest.approx(0.9 * 0.7)


def test_futures_are_averaged_by_how_many_updates_were_to_come() -> None:
    measured = MeasuredFutures()
    measured.add([2.0, 1.0])
    assert measured.means(3) == [2.0, 1.0]
    assert measured.means(2) == [1.0]
    assert measured.means(4) == pytest.approx([0.5 * (1 + 0.9 + 0.81), 2.0, 1.0])


groups_of = st.lists(st.lists(st.floats(-1, 2), min_size=2, max_size=2), min_size=1, max_size=4)


@given(groups_of)
def test_every_sample_has_a_return_and_the_last_update_no_future(groups: list[list[float]]) -> None:
    told = returns_by_pick(groups, [0] * (len(groups) - 1), chance_futures(len(groups)))
    assert [len(group) for group in told] == [2] * len(groups)
    assert told[-1] == groups[-1]
