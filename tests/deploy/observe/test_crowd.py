"""The crowd: many people side by side, each in their own order, dated now."""

from __future__ import annotations

from collections import defaultdict

import pytest

from deploy.demo.movielens import Film, PastRating
from deploy.observe.crowd import RATINGS_PER_SECOND, side_by_side

NUM_PEOPLE, EACH = 8, 40


def history(user: int, length: int) -> list[PastRating]:
    return [PastRating(user, Film(place, f"Film {place}", ("drama",)), 1 + place % 5, 100 * place) for place in range(length)]


RATINGS = [rating for user in range(NUM_PEOPLE + 2) for rating in history(user, 10 if user == 3 else EACH)]
CHOSEN = side_by_side(RATINGS, NUM_PEOPLE, 160, began=5_000)


def test_as_many_as_are_wanted_of_people_who_have_enough() -> None:
    assert len(CHOSEN) == 160
    assert {rating.user for rating in CHOSEN} == {0, 1, 2, 4, 5, 6, 7, 8}


def test_everybody_keeps_their_own_order() -> None:
    films = defaultdict(list)
    for rating in CHOSEN:
        films[rating.user].append(rating.film.id)
    assert all(seen == list(range(len(seen))) for seen in films.values())


def test_once_all_have_joined_everybody_has_a_turn_in_each_round() -> None:
    assert {rating.user for rating in CHOSEN[-NUM_PEOPLE:]} == {rating.user for rating in CHOSEN}


def test_they_join_one_after_the_other() -> None:
    first: dict[int, int] = {}
    for number, rating in enumerate(CHOSEN):
        first.setdefault(rating.user, number)
    assert list(first) == [0, 1, 2, 4, 5, 6, 7, 8]
    assert first[8] > 3 * NUM_PEOPLE


def test_they_are_dated_as_they_are_published() -> None:
    assert [rating.at_seconds for rating in CHOSEN] == [5_000 + number // RATINGS_PER_SECOND for number in range(160)]


def test_too_few_people_are_an_error() -> None:
    with pytest.raises(ValueError, match="only 0 people have 415 ratings: 8 are wanted"):
        side_by_side(RATINGS, NUM_PEOPLE, 3_200, began=0)
