"""Where a history may be cut, and who is in which fold."""

from __future__ import annotations

from collections import Counter

import pytest

from deploy.demo.movielens import Film, PastRating
from evaluation.people import NUM_FOLDS, cut_at, cut_points, fold_of, is_cut, people_of
from prefstream.events import Rating
from tests.evaluation.people import ratings

SECONDS = (0, 0, 0, 5, 7, 7, 9)
EVENTS = ratings(0, seconds=SECONDS)


def test_a_history_is_cut_only_between_two_seconds() -> None:
    assert cut_points(EVENTS) == [3, 4, 6, 7]
    assert [after for after in range(-1, 9) if is_cut(EVENTS, after)] == [0, 3, 4, 6, 7]
    assert cut_points(()) == []


@pytest.mark.parametrize(("num_events", "cut"), [(0, 3), (1, 3), (3, 3), (4, 4), (5, 6), (7, 7), (8, None)])
def test_the_first_cut_with_enough_events(num_events: int, cut: int | None) -> None:
    assert cut_at(EVENTS, num_events) == cut


def test_ratings_become_events_in_their_order() -> None:
    film = Film(50, "Star Wars (1977)", ("action", "war"))
    people = people_of([PastRating(7, film, 5, 100), PastRating(8, film, 1, 101), PastRating(7, film, 2, 102)])
    assert {user: [event.at.timestamp() for event in person.events] for user, person in people.items()} == {
        "7": [100.0, 102.0],
        "8": [101.0],
    }
    event = people["8"].events[0]
    assert isinstance(event, Rating)
    assert (event.user, event.domain, event.value, event.item.id, event.item.title) == ("8", "films", 1, "50", film.title)
    assert event.item.attributes == {"genre": ("action", "war")}


def test_folds_are_of_the_user_and_the_seed_alone() -> None:
    users = [str(number) for number in range(1000)]
    sizes = Counter(fold_of(user, 0) for user in users)
    assert set(sizes) == set(range(NUM_FOLDS))
    assert min(sizes.values()) > 150
    assert [fold_of(user, 0) for user in users] == [fold_of(user, 0) for user in users]
    assert sum(fold_of(user, 0) == fold_of(user, 1) for user in users) < 300
