"""The capacity: what lowers it, what raises it, and where it settles with a server of a known size."""

from __future__ import annotations

import heapq
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from model_server.capacity import MAX_GROWTH, TARGET_QUEUE_SHARE, Capacity


def a_round(capacity: Capacity, seconds: float, *, full: bool = True) -> None:
    """As many answers as calls may run at once, each after so long, to calls that follow each other."""
    limit = capacity.limit
    calls = [capacity.began(limit if full else max(2, min(number, limit - 1))) for number in range(1, limit + 1)]
    for call in calls:
        capacity.answered(call, seconds)


@pytest.mark.parametrize(("start", "limit"), [(None, 32), (8, 8), (0, 1), (100, 32)])
def test_it_starts_within_its_bounds(start: int | None, limit: int) -> None:
    assert Capacity(32, start).limit == limit


def test_a_flight_that_is_turned_away_halves_once() -> None:
    capacity = Capacity(32)
    calls = [capacity.began(number) for number in range(1, 33)]
    for call in calls[8:]:
        capacity.turned_away(call)
    assert capacity.limit == 16
    capacity.turned_away(capacity.began(16))
    assert capacity.limit == 8


def test_a_round_begins_anew_when_it_was_lowered() -> None:
    capacity = Capacity(32, 8)
    calls = [capacity.began(8) for _ in range(16)]
    for call in calls[:7]:
        capacity.answered(call, 1.0)
    capacity.turned_away(capacity.began(8))
    assert capacity.limit == 4
    for call in calls[7:]:  # they began when it was 8
        capacity.answered(call, 1.0)
    for _ in range(4):
        assert capacity.limit == 4
        capacity.answered(capacity.began(4), 1.0)
    assert capacity.limit == 5


def test_one_call_is_always_allowed() -> None:
    capacity = Capacity(4)
    for _ in range(10):
        capacity.answered(capacity.began(2), 1e6)
        capacity.queued(1e6)
        capacity.turned_away(capacity.began(2))
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


@pytest.mark.parametrize(
    ("answer_seconds", "queue_seconds", "limit"),
    [
        (4.0, 2.0, 41),  # as long as they may
        (4.0, 2.5, 35),  # 3.5 s may pass with 1.5 s of work
        (40.0, 10.0, 41),
        (40.0, 20.0, 27),  # 26.7 s may pass with 20 s of work
        (40.0, 39.0, 20),  # half at once is enough
    ],
)
def test_a_queue_lowers_it_to_what_is_bearable(answer_seconds: float, queue_seconds: float, limit: int) -> None:
    capacity = Capacity(80, 40)
    capacity.queued(0.0)
    a_round(capacity, answer_seconds)
    assert capacity.limit == 41
    capacity.queued(None)
    a_round(capacity, answer_seconds, full=False)
    capacity.queued(queue_seconds)
    assert capacity.limit == limit


def test_a_queue_of_the_calls_from_before_does_not_lower_it_again() -> None:
    capacity = Capacity(40)
    before = [capacity.began(40) for _ in range(80)]
    for call in before[:40]:
        capacity.answered(call, 40.0)
    capacity.queued(20.0)
    assert capacity.limit == 26
    for call in before[40:]:
        capacity.answered(call, 40.0)
    capacity.queued(20.0)
    assert capacity.limit == 26
    a_round(capacity, 40.0)
    capacity.queued(20.0)
    assert capacity.limit == 17


def test_calls_that_are_sent_at_once_may_wait_for_each_other() -> None:
    capacity = Capacity(8)
    for _ in range(3):  # nothing to do in between
        calls = [capacity.began(number) for number in range(1, 9)]
        for call in calls:
            capacity.answered(call, 9.0)
        capacity.queued(7.0)
    assert capacity.limit == 8
    capacity.answered(capacity.began(1), 9.0)
    a_round(capacity, 9.0)
    capacity.queued(7.0)
    assert capacity.limit == 8, "among them one of a burst"
    a_round(capacity, 9.0)
    capacity.queued(7.0)
    assert capacity.limit == 4


def test_a_look_at_a_few_of_them_judges_nothing() -> None:
    """Of calls that run in step, those who wait end together."""
    capacity = Capacity(10)
    for queue_seconds in (20.0, 0.0, 0.0, 0.0, 0.0):
        for _ in range(2):
            capacity.answered(capacity.began(10), 40.0)
        capacity.queued(queue_seconds)
        assert capacity.limit == 10


def test_what_a_queue_said_before_it_was_lowered_is_void() -> None:
    capacity = Capacity(64, 32)
    a_round(capacity, 4.0, full=False)
    capacity.queued(0.0)  # plenty of room
    for _ in range(16):
        capacity.answered(capacity.began(16), 40.0)
    capacity.queued(30.0)  # the first half of a round that waited for too long
    capacity.turned_away(capacity.began(32))
    a_round(capacity, 4.0)
    assert capacity.limit == 17, "one more, and not half the way back"
    capacity.queued(0.0)
    assert capacity.limit == 17


def test_it_does_not_rise_while_calls_wait_too_long() -> None:
    capacity = Capacity(40)
    a_round(capacity, 4.0)
    capacity.queued(4.0)
    assert capacity.limit == 20
    a_round(capacity, 4.0)
    capacity.queued(None)  # nobody's call ended on the server, or its page was slow
    a_round(capacity, 4.0)
    assert capacity.limit == 20
    capacity.queued(1.0)
    a_round(capacity, 4.0)
    assert capacity.limit == 21


@pytest.mark.parametrize(
    ("queue_seconds", "limits"),
    [(0.19, [17, 18, 25, 29, 31, 32, 33]), (0.21, [17, 18, 19, 20, 21, 22, 23]), (None, [17, 18, 19, 20, 21, 22, 23])],
)
def test_where_nothing_waits_it_is_soon_back_where_it_was(queue_seconds: float | None, limits: list[int]) -> None:
    capacity = Capacity(64, 33)
    capacity.turned_away(capacity.began(33))
    seen = []
    for _ in range(7):
        a_round(capacity, 4.0)
        capacity.queued(queue_seconds)
        seen.append(capacity.limit)
    assert seen == limits


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
        self.calls = [0]
        self.last_before_lowering = 0
        self.before = 10

    @rule(number=st.integers(1, 25))
    def a_call_begins(self, number: int) -> None:
        self.calls.append(self.capacity.began(number))
        assert self.capacity.limit == self.before

    @rule(place=st.integers(0, 10_000), seconds=st.floats(0.0, 200.0))
    def a_call_ends(self, place: int, seconds: float) -> None:
        self.capacity.answered(self.calls[place % len(self.calls)], seconds)
        assert int(self.before * 0.9) <= self.capacity.limit <= max(self.before + 1, 20)

    @rule(place=st.integers(0, 10_000))
    def a_call_is_turned_away(self, place: int) -> None:
        self.capacity.turned_away(self.calls[place % len(self.calls)])
        assert self.capacity.limit in {max(1, self.before // 2), (self.before + 1) // 2, self.before}
        self.capacity.turned_away(self.calls[place % len(self.calls)])

    @rule(seconds=st.none() | st.floats(0.0, 100.0))
    def the_server_tells_of_its_queue(self, seconds: float | None) -> None:
        self.capacity.queued(seconds)
        assert max(1, self.before // 2) <= self.capacity.limit <= self.before
        may_lower = seconds is not None
        assert may_lower or self.capacity.limit == self.before

    @invariant()
    def it_stays_within_its_bounds(self) -> None:
        self.before = self.capacity.limit
        assert 1 <= self.before <= 20


CapacityMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=80, deadline=None)
TestCapacityMachine = CapacityMachine.TestCase


class Run(NamedTuple):
    """What became of the calls in the second half of a run."""

    least: int  # calls in flight
    most: int
    queue_seconds: float  # mean
    limits: list[int]  # after each answer, from the first on


def run(
    capacity: Capacity,
    *,
    places: int,
    seconds: float,
    tells: bool = True,
    room: int = 1_000,
    readers: int = 1_000,
    reading_seconds: float = 0.0,
    num_calls: int = 4_000,
) -> Run:
    """So many calls, as many at once as the capacity allows, to a server of this size.

    It answers ``places`` calls at once, each after so many seconds, a quarter more or less, before which it reads the prompts
    of ``readers`` of them at once; it keeps the others waiting, and turns away what is beyond ``room``.
    """
    chance = Random(0)
    now, looked_at, free_at, reader_free_at = 0.0, 0.0, [0.0] * places, [0.0] * readers
    in_flight: list[tuple[float, float, float, int]] = []  # when a call ends, began and waited until, and its number
    waits: list[float] = []
    seen: list[tuple[int, float]] = []
    limits: list[int] = []
    while len(limits) < num_calls:
        while len(in_flight) >= capacity.limit:
            if tells and in_flight[0][0] > looked_at + 5.0:
                looked_at += 5.0
                capacity.queued(sum(waits) / len(waits) if waits else None)
                waits = []
                continue
            now, began, begins, call = heapq.heappop(in_flight)
            capacity.answered(call, now - began)
            waits.append(begins - began)
            limits.append(capacity.limit)
        call = capacity.began(len(in_flight) + 1)
        if len(in_flight) + 1 > room:
            capacity.turned_away(call)
            continue
        begins = max(now, heapq.heappop(free_at), heapq.heappop(reader_free_at))
        heapq.heappush(reader_free_at, begins + reading_seconds)
        ends = begins + reading_seconds + seconds * chance.uniform(0.75, 1.25)
        heapq.heappush(free_at, ends)
        heapq.heappush(in_flight, (ends, now, begins, call))
        if len(limits) > num_calls / 2:
            seen.append((len(in_flight), begins - now))
    numbers = [number for number, _ in seen]
    return Run(min(numbers), max(numbers), sum(wait for _, wait in seen) / len(seen), limits)


@pytest.mark.parametrize(("reading_seconds", "seconds"), [(1.2, 30.0), (3.0, 30.0), (1.2, 12.0)])
def test_a_cold_server_that_is_given_all_at_once_keeps_all_its_places(reading_seconds: float, seconds: float) -> None:
    """Four prompts are read at a time: the last of 32 waits seven times as long for that as one alone takes."""
    found = run(Capacity(32), places=32, seconds=seconds, readers=4, reading_seconds=reading_seconds, num_calls=320)
    assert set(found.limits) == {32}


def test_a_server_that_runs_far_fewer_is_learned_in_a_few_rounds() -> None:
    """As with max_num_seqs 8 where 32 were expected: an answer of 20 s may wait for 6.7 s, so that 10 or 11 are in flight."""
    found = run(Capacity(32), places=8, seconds=20.0, num_calls=1_000)
    assert found.limits[160] <= 16
    assert 8 <= found.least <= found.most <= 12
    assert found.queue_seconds <= TARGET_QUEUE_SHARE * (20.0 + found.queue_seconds) + 0.5


def test_after_it_was_turned_away_for_a_while_it_takes_all_again() -> None:
    """Half at once, and back in five rounds where the server tells that nothing waits."""
    capacity = Capacity(32)
    run(capacity, places=32, seconds=2.0, num_calls=100)
    for call in [capacity.began(32) for _ in range(8)]:
        capacity.turned_away(call)
    assert capacity.limit == 16
    found = run(capacity, places=32, seconds=2.0, num_calls=300)
    assert found.limits[-1] == 32
    assert found.limits.index(31) < 220


@pytest.mark.parametrize("start", [1, 64])
def test_it_settles_where_the_queue_is_as_long_as_it_may_be(start: int) -> None:
    """8 places of 1 s: with 24 calls in flight each waits for 2 s."""
    found = run(Capacity(64, start), places=8, seconds=1.0)
    assert 16 <= found.least <= found.most <= 28


def test_it_settles_below_what_the_server_turns_away() -> None:
    found = run(Capacity(64), places=8, room=20, seconds=1.0, tells=False)
    assert 8 <= found.least <= found.most <= 20


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 16), st.floats(0.5, 20.0), st.booleans(), st.sampled_from([1, 64]))
def test_it_never_starves_a_server(places: int, seconds: float, tells: bool, start: int) -> None:
    """While calls wait for places, it does not leave them empty."""
    found = run(Capacity(64, start), places=places, seconds=seconds, tells=tells, num_calls=8_000)
    assert found.least >= places * 0.75
