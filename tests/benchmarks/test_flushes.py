"""The benchmark of flushes: when people publish, and what the worker's index does with it."""

from __future__ import annotations

import statistics
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from msgspec.structs import replace

from benchmarks import visits
from benchmarks.flushes import moments, watched
from benchmarks.visits import NUM_USERS, PACES, Compared, planned
from prefstream.capacity.flushes import Habit, Policy
from prefstream.events import Item, Rating

RATING = Rating(user="ada", at=datetime(2026, 1, 5, tzinfo=UTC), domain="films", item=Item(id="1", title="Alien"), value=5)


@pytest.mark.parametrize("habit", [Habit(50, 3, 600), Habit(5_000, 1, 86_400)])
def test_people_publish_as_often_as_their_habit_says(habit: Habit) -> None:
    at = list(moments(habit, 20_000, "seed"))
    assert all(earlier <= later for earlier, later in pairwise(at))
    assert at == list(moments(habit, 20_000, "seed"))
    assert len(at) / at[-1] == pytest.approx(habit.events_per_day / 86_400, rel=0.05)


def test_most_pauses_between_events_are_short_where_people_come_in_visits() -> None:
    at = list(moments(Habit(50, 3, 600), 5_000, "seed"))
    pauses = [later - earlier for earlier, later in pairwise(at)]
    assert statistics.median(pauses) < 60 < 1_000 < statistics.mean(pauses)


def test_flushes_are_by_size_at_once_and_by_age_on_time() -> None:
    events = [RATING] * 6
    seen = watched(events, [0.0, 1.0, 2.0, 100.0, 130.0, 190.0], Policy(max_events=3, max_age_seconds=60))
    assert seen.cuts == (3, 5)
    assert (seen.num_by_size, seen.oldest_seconds) == (1, (2.0, 60.0))
    assert seen.waited_seconds == pytest.approx(2 + 1 + 0 + 60 + 30)


def test_a_ratio_is_foretold_to_measured() -> None:
    assert Compared("calls", 3.0, 2.0).ratio == 1.5


def test_the_second_pace_is_the_first_six_times_as_slow() -> None:
    fast, slow = (pace.habit for pace in PACES)
    assert [fast.events_per_second, fast.pause_seconds] == pytest.approx([1.2, 12])
    assert [slow.events_per_second, slow.pause_seconds] == pytest.approx([0.2, 72])
    assert NUM_USERS * fast.events_per_day / 86_400 == pytest.approx(216)


def test_what_is_planned_is_published_in_order_and_within_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    histories = {f"p{number}": [replace(RATING, user=f"p{number}")] for number in range(NUM_USERS)}
    monkeypatch.setattr(visits, "load_histories", lambda: histories)
    events = planned(PACES[0])
    at = [moment for moment, _ in events]
    assert at == sorted(at)
    assert at[-1] < PACES[0].seconds
    assert len({event.user for _, event in events}) > NUM_USERS * 0.95
