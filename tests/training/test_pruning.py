"""Pruning, by hand: what is kept in which order, whom two updates fit, and a control of the same size."""

from __future__ import annotations

import math

import pytest

from training.pruning import Scored, Thresholds, draw_control, people_of, pick_two, prune


def scored(after: int, p0: float, p1: float, user: str = "ann", place: int = 0) -> Scored:
    return Scored(user, after, place, math.log(p0), math.log(p1))


ALL = Thresholds(top_share=1.0, least_p=0.01, min_targets=1)


def test_the_gap_is_what_the_history_adds() -> None:
    assert scored(1, 0.4, 0.8).gap == pytest.approx(math.log(2))


def test_the_top_share_by_gap() -> None:
    questions = [scored(1, 0.9, 0.9), scored(2, 0.1, 0.3), scored(3, 0.5, 0.4), scored(4, 0.4, 0.8)]
    kept = prune(questions, Thresholds(top_share=0.5, least_p=0.01, min_targets=1))
    assert [one.after for one in kept] == [2, 4]


def test_what_cannot_be_solved_goes() -> None:
    questions = [scored(1, 0.1, 0.69), scored(2, 0.1, 0.71), scored(3, 0.1, 0.7)]
    kept = prune(questions, Thresholds(top_share=1.0, least_p=0.7, min_targets=1))
    assert [one.after for one in kept] == [2, 3]


@pytest.mark.parametrize(("band", "kept"), [((0.0, 0.1), [9]), ((0.4, 0.6), [4, 5]), ((0.9, 1.0), [0])])
def test_the_band_counts_from_the_surest(band: tuple[float, float], kept: list[int]) -> None:
    questions = [scored(place, 0.1, 0.5 + place / 20) for place in range(10)]
    pruned = prune(questions, Thresholds(top_share=1.0, least_p=0.01, band=band, min_targets=1))
    assert [one.after for one in pruned] == kept


def test_whoever_keeps_too_few_keeps_none() -> None:
    questions = [scored(place, 0.4, 0.8) for place in range(3)] + [scored(place, 0.4, 0.8, "bob") for place in range(4)]
    kept = people_of(prune(questions, Thresholds(top_share=1.0, min_targets=4)))
    assert {user: len(group) for user, group in kept.items()} == {"bob": 4}


def test_questions_come_in_order_of_time() -> None:
    questions = [scored(5, 0.4, 0.8), scored(1, 0.2, 0.8, "bob"), scored(2, 0.1, 0.8), scored(2, 0.1, 0.8, place=1)]
    assert [(one.user, one.after, one.place) for one in prune(questions, ALL)] == [
        ("ann", 2, 0),
        ("ann", 2, 1),
        ("ann", 5, 0),
        ("bob", 1, 0),
    ]


@pytest.mark.parametrize(
    ("afters", "pair"),
    [
        ((2, 8), (2, 8)),
        ((8, 2), (2, 8)),  # the more telling one may be the later
        ((0, 8), None),  # nothing before the first
        ((7, 8), None),  # no room for an update between them
        ((1, 3), None),  # too little before the second
        ((7, 8, 3), (3, 7)),  # the most telling valid pair
    ],
)
def test_two_for_each_person(afters: tuple[int, ...], pair: tuple[int, int] | None) -> None:
    targets = [scored(after, 0.1 + rank / 20, 0.9) for rank, after in enumerate(afters)]
    picked = pick_two(targets)
    assert (picked and (picked[0].after, picked[1].after)) == pair


def test_the_control_is_as_large_and_blind() -> None:
    questions = [scored(place, 0.4, 0.8, user) for user in "abcdefgh" for place in range(20)]
    control = draw_control(questions, 40, seed=1)
    assert len(control) == len(set(control)) == 40
    assert control == draw_control(questions, 40, seed=1) != draw_control(questions, 40, seed=2)
    assert [one.user for one in control] == sorted(one.user for one in control)
    assert len(draw_control(questions, 1_000, seed=1)) == 160
