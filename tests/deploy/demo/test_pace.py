"""The pace: a fast model is given everything, a slow one the whole histories of as many people as it can keep up with."""

from __future__ import annotations

import pytest

from deploy.demo.movielens import Film, PastRating
from deploy.demo.pace import FAST, MAX_HISTORY, SLOW, chosen, pace_of, why
from model_server.profiles import Profile, load_profile

FILM = Film(50, "Star Wars (1977)", ("action",))
COUNTING, ON_CPU, ON_GPU = map(load_profile, ("counting", "smollm2-135m-cpu", "smollm2-135m-gpu"))


def people(*lengths: int) -> list[PastRating]:
    """So many ratings of each person, in turn, so that nobody's history is in one piece."""
    ratings = [PastRating(user, FILM, 4, at) for user, length in enumerate(lengths) for at in range(length)]
    return sorted(ratings, key=lambda rating: (rating.at_seconds, rating.user))


@pytest.mark.parametrize(("seconds", "num"), [(1.0, 500), (2.0, 1_000), (0.001, 2), (100.0, 1_500)])
@pytest.mark.parametrize("profile", [COUNTING, ON_GPU], ids=lambda profile: profile.name)
def test_a_fast_model_is_given_more_the_longer_until_there_is_no_more(profile: Profile, seconds: float, num: int) -> None:
    ratings = people(700, 800)
    assert chosen(ratings, profile, seconds) == ratings[:num]


@pytest.mark.parametrize(
    ("lengths", "seconds", "whole"),
    [
        ((20, 21, 60, 20), 8.0, {0, 1}),  # 1 + 2 updates of 4; the third takes 3 more
        ((20, 21, 60, 20), 12.0, {0, 1, 2}),
        ((20, 21, 60, 20), 90.0, {0, 1, 2, 3}),
        ((MAX_HISTORY + 1, 20, 20), 2.0, {1}),  # a long history is left out
        ((MAX_HISTORY, 20), 1.0, {0}),  # somebody is there, whatever the time
    ],
)
def test_a_slow_model_is_given_whole_histories_it_can_keep_up_with(
    lengths: tuple[int, ...], seconds: float, whole: set[int]
) -> None:
    ratings = people(*lengths)
    picked = chosen(ratings, ON_CPU, seconds)
    assert picked == [rating for rating in ratings if rating.user in whole]


def test_it_says_how_many_and_why() -> None:
    ratings = people(20, 30)
    assert why(ratings, COUNTING) == "50 real ratings of 2 people"
    assert why(ratings, ON_CPU).startswith("50 real ratings of 2 people, their whole histories: as many as smollm2")


def test_a_slow_model_is_given_more_time() -> None:
    assert [pace_of(profile) for profile in (COUNTING, ON_GPU, ON_CPU)] == [FAST, FAST, SLOW]
