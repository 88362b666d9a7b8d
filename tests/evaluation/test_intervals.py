"""How wide an interval is depends on the people, not on how often each was asked."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.intervals import difference, interval

RANDOM = np.random.default_rng(0)


def test_the_mean_counts_every_question_the_same() -> None:
    found = interval(np.array([1.0, 1.0, 1.0, 0.0]), ["a", "a", "a", "b"], seed=0)
    assert (found.mean, found.num_pairs, found.num_users) == (75.0, 4, 2)
    assert (found.low, found.high) == (0.0, 100.0)


def test_a_hundred_independent_people_are_as_sure_as_the_binomial_says() -> None:
    right = np.tile([0.0, 1.0], 200)
    found = interval(right, [str(number) for number in range(400)], seed=0)
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * 50 / 20, rel=0.1)


def test_asking_the_same_people_more_often_does_not_make_it_surer() -> None:
    """Each person is always right or always wrong: 40 people are 40 cases, whether asked once or 50 times."""
    of_person = RANDOM.integers(0, 2, 40).astype(np.float64)
    users = [str(number) for number in range(40)]
    once = interval(of_person, users, seed=0)
    often = interval(np.repeat(of_person, 50), list(np.repeat(users, 50)), seed=0)
    assert often.mean == pytest.approx(once.mean)
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=0.05)
    unclustered = interval(np.repeat(of_person, 50), [str(number) for number in range(2000)], seed=0)
    assert unclustered.high - unclustered.low < (often.high - often.low) / 5


def test_a_paired_difference_is_surer_than_two_intervals() -> None:
    """Two readers that agree on nine questions of ten."""
    theirs = RANDOM.integers(0, 2, 2000).astype(np.float64)
    ours = np.where(RANDOM.random(2000) < 0.1, 1.0, theirs)
    users = [str(number % 200) for number in range(2000)]
    found = difference(ours, theirs, users, seed=0)
    assert found.mean == pytest.approx(100 * (ours.mean() - theirs.mean()))
    assert found.low > 0
    one = interval(ours, users, seed=0)
    assert (found.high - found.low) < (one.high - one.low) / 2
    assert difference(ours, ours, users, seed=0).high == 0.0


def test_the_seed_decides() -> None:
    right, users = RANDOM.random(300), [str(number % 30) for number in range(300)]
    assert interval(right, users, seed=3) == interval(right, users, seed=3)
    assert interval(right, users, seed=3) != interval(right, users, seed=4)
