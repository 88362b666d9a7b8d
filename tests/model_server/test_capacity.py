"""The capacity: what lowers it, what raises it, and where it settles with a server of a known size."""

from __future__ import annotations

import heapq

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from model_server.capacity import MAX_GROWTH, TARGET_QUEUE_SECONDS, Capacity


def a_round(capacity: Capacity, seconds: float, *, full: bool = True) -> None:
    """As many answers as calls may run at once, each after so long."""
    for number in range(1, capacity.limit + 1):
        capacity.began(capacity.limit if full else min(number, capacity.limit - 1))
    for _ in range(capacity.limit):
        capacity.answered(seconds)


@pytest.mark.parametrize(("start", "limit"), [(None, 32), (8, 8), (0, 1), (100, 32)])
def test_it_starts_within_its_bounds(start: int | None, limit: int) -> None:
    assert Capacity(32, start).limit == limit


def test_a_flight_that_is_turned_away_halves_once() -> None:
    capacity = Capacity(32)
    flights = [capacity.began(number) for number in range(1, 33)]
    for flight in flights[8:]:
        capacity.turned_away(flight)
    assert capacity.limit == 16
    capacity.turned_away(capacity.began(16))
    assert capacity.limit == 8


def test_a_round_begins_anew_when_it_was_lowered() -> None:
    capacity = Capacity(32, 8)
    for _ in range(7):
        capacity.began(8)
        capacity.answered(1.0)
    capacity.turned_away(capacity.began(8))
    assert capacity.limit == 4
    for _ in range(3):
        capacity.began(4)
        capacity.answered(1.0)
        assert capacity.limit == 4
    capacity.answered(1.0)
    assert capacity.limit == 5


def test_one_call_is_always_allowed() -> None:
    capacity = Capacity(4)
    for _ in range(10):
        capacity.turned_away(capacity.began(1))
        capacity.queued(1e6)
    assert capacity.limit == 1


@pytest.mark.parametrize(("full", "limit"), [(True, 9), (False, 8)])
def test_a_round_that_was_full_raises_it_by_one(full: bool, limit: int) -> None:
    capacity = Capacity(32, 8)
    a_round(capacity, 1.0, full=full)
    assert capacity.limit == limit


def test_it_never_passes_what_it_was_given() -> None:
    capacity = Capacity(8)
    for _ in range(5):
        a_round(capacity, 1.0)
    assert capacity.limit == 8


def test_a_queue_lowers_it_by_a_tenth_and_holds_it_there() -> None:
    capacity = Capacity(40)
    capacity.queued(TARGET_QUEUE_SECONDS + 0.1)
    assert capacity.limit == 36
    a_round(capacity, 1.0)
    assert capacity.limit == 36
    capacity.queued(TARGET_QUEUE_SECONDS)
    a_round(capacity, 1.0)
    assert capacity.limit == 37


@pytest.mark.parametrize(("answer_seconds", "queue_seconds", "limit"), [(40.0, 9.9, 9), (40.0, 10.1, 8), (4.0, 2.1, 8)])
def test_a_slow_server_may_let_calls_wait_for_a_quarter_of_their_time(
    answer_seconds: float, queue_seconds: float, limit: int
) -> None:
    capacity = Capacity(40, 8)
    a_round(capacity, answer_seconds)
    capacity.queued(queue_seconds)
    assert capacity.limit == limit


@pytest.mark.parametrize(("queue_seconds", "limit"), [(9.9, 10), (10.1, 9)])
def test_before_the_first_round_ends_what_there_is_of_it_counts(queue_seconds: float, limit: int) -> None:
    capacity = Capacity(40, 10)
    for _ in range(3):
        capacity.answered(40.0)
    capacity.queued(queue_seconds)
    assert capacity.limit == limit


@pytest.mark.parametrize(
    ("best", "now", "limit"),
    [
        (1.0, MAX_GROWTH * 1.02, 18),
        (1.0, MAX_GROWTH * 1.005, 21),  # the best has drifted by a hundredth
        (0.01, 0.5, 21),  # fifty times as long, and nothing anybody waits for
    ],
)
def test_without_metrics_answers_that_take_far_longer_lower_it(best: float, now: float, limit: int) -> None:
    capacity = Capacity(40, 20)
    a_round(capacity, best, full=False)
    a_round(capacity, now)
    assert capacity.limit == limit


def test_a_server_that_tells_of_its_queue_is_not_judged_by_its_answers() -> None:
    capacity = Capacity(40, 20)
    capacity.queued(0.1)
    a_round(capacity, 1.0, full=False)
    a_round(capacity, 100.0)
    assert capacity.limit == 21


class CapacityMachine(RuleBasedStateMachine):
    """Whatever happens it stays within its bounds, and one event moves it by no more than it should."""

    def __init__(self) -> None:
        super().__init__()
        self.capacity = Capacity(20, 10)
        self.flights = [0]
        self.before = 10

    @rule(number=st.integers(1, 25))
    def a_call_begins(self, number: int) -> None:
        self.flights.append(self.capacity.began(number))
        assert self.capacity.limit == self.before

    @rule(seconds=st.floats(0.0, 200.0))
    def a_call_ends(self, seconds: float) -> None:
        self.capacity.answered(seconds)
        assert int(self.before * 0.9) <= self.capacity.limit <= self.before + 1

    @rule(place=st.integers(0, 10_000))
    def a_call_is_turned_away(self, place: int) -> None:
        flight = self.flights[place % len(self.flights)]
        is_first = flight == self.flights_now()
        self.capacity.turned_away(flight)
        assert self.capacity.limit in ({max(1, self.before // 2), (self.before + 1) // 2} if is_first else {self.before})

    def flights_now(self) -> int:
        return self.capacity.began(0)

    @rule(seconds=st.none() | st.floats(0.0, 100.0))
    def the_server_tells_of_its_queue(self, seconds: float | None) -> None:
        self.capacity.queued(seconds)
        assert max(1, int(self.before * 0.9)) <= self.capacity.limit <= self.before
        may_lower = seconds is not None and seconds > TARGET_QUEUE_SECONDS
        assert may_lower or self.capacity.limit == self.before

    @invariant()
    def it_stays_within_its_bounds(self) -> None:
        self.before = self.capacity.limit
        assert 1 <= self.before <= 20


CapacityMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=80, deadline=None)
TestCapacityMachine = CapacityMachine.TestCase


def settle(capacity: Capacity, *, places: int, room: int, seconds: float, tells: bool, rounds: int = 4_000) -> tuple[int, int]:
    """The least and the most calls in flight, in the second half of so many calls at a server of this size.

    It answers ``places`` calls at once, each after so long, keeps the others waiting, and turns away what is beyond ``room``.
    """
    now, looked_at, free_at = 0.0, 0.0, [0.0] * places
    in_flight: list[tuple[float, float]] = []  # when a call ends, and when it began
    waits: list[float] = []
    seen: list[int] = []
    for number in range(rounds):
        while len(in_flight) >= capacity.limit:
            now, began = heapq.heappop(in_flight)
            capacity.answered(now - began)
        flight = capacity.began(len(in_flight) + 1)
        if len(in_flight) + 1 > room:
            capacity.turned_away(flight)
            continue
        begins = max(now, heapq.heappop(free_at))
        heapq.heappush(free_at, begins + seconds)
        heapq.heappush(in_flight, (begins + seconds, now))
        waits.append(begins - now)
        if tells and now - looked_at > 5.0:
            capacity.queued(sum(waits) / len(waits))
            looked_at, waits = now, []
        if number > rounds / 2:
            seen.append(len(in_flight))
    return min(seen), max(seen)


@pytest.mark.parametrize("start", [1, 64])
def test_it_settles_where_the_queue_is_as_long_as_it_may_be(start: int) -> None:
    """8 places of 1 s: with 24 calls in flight each waits for 2 s."""
    least, most = settle(Capacity(64, start), places=8, room=1_000, seconds=1.0, tells=True)
    assert 16 <= least <= most <= 32


def test_it_settles_where_a_slow_server_is_full() -> None:
    """8 places of 20 s: with 11 calls in flight each waits for a quarter of its time."""
    least, most = settle(Capacity(64), places=8, room=1_000, seconds=20.0, tells=True)
    assert 8 <= least <= most <= 14


def test_it_settles_below_what_the_server_turns_away() -> None:
    least, most = settle(Capacity(64), places=8, room=20, seconds=1.0, tells=False)
    assert 8 <= least <= most <= 20


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 16), st.floats(0.5, 20.0), st.booleans())
def test_it_never_starves_a_server(places: int, seconds: float, tells: bool) -> None:
    """While calls wait for places, it does not leave them empty."""
    least, _ = settle(Capacity(64, 1), places=places, room=1_000, seconds=seconds, tells=tells, rounds=8_000)
    assert least >= places * 0.75
