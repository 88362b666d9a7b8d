"""The breaker: when it opens, for how long, and that nothing but a canary's answer closes it."""

from __future__ import annotations

from random import Random
from typing import get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from model_server.breaker import (
    MAX_CONSECUTIVE,
    MAX_PAUSE_SECONDS,
    MIN_CALLS,
    MIN_PAUSE_SECONDS,
    WINDOW_SECONDS,
    Breaker,
)
from streams.evolution.records import Reason, Unavailable

HUNG_UP = Unavailable("disconnected", "")
BUSY = Unavailable("overloaded", "")
DECISIVE = {"connection", "draining", "misconfigured"}


def fresh() -> Breaker:
    return Breaker(Random(0))


@pytest.mark.parametrize("reason", sorted(set(get_args(Reason)) - {"no_replica"}))
def test_how_many_failures_in_a_row_open_it(reason: Reason) -> None:
    breaker, num_failures = fresh(), 0
    while breaker.state == "closed" and num_failures < 50:
        breaker.failed(0.0, Unavailable(reason, ""))
        num_failures += 1
    assert num_failures == (1 if reason in DECISIVE else 50 if reason == "overloaded" else MAX_CONSECUTIVE)


def test_an_answer_ends_a_row_of_failures() -> None:
    breaker = fresh()
    for _ in range(3):
        for _ in range(2):
            breaker.answered(0.0)
        for _ in range(MAX_CONSECUTIVE - 4):
            breaker.failed(0.0, HUNG_UP)
    assert breaker.state == "closed"


@pytest.mark.parametrize(("seconds_apart", "state"), [(0.5, "open"), (2.0, "closed")])
def test_half_of_the_calls_of_ten_seconds_open_it(seconds_apart: float, state: str) -> None:
    """Two seconds apart there are too few of them."""
    breaker = fresh()
    for number in range(MIN_CALLS):
        if number % 2:
            breaker.failed(number * seconds_apart, HUNG_UP)
        else:
            breaker.answered(number * seconds_apart)
    assert breaker.state == state


@pytest.mark.parametrize(("seconds_later", "state"), [(WINDOW_SECONDS, "closed"), (WINDOW_SECONDS - 0.1, "open")])
def test_what_was_longer_ago_is_forgotten(seconds_later: float, state: str) -> None:
    breaker = fresh()
    for _ in range(4):
        breaker.failed(0.0, HUNG_UP)
    for _ in range(3):
        breaker.answered(seconds_later)
        breaker.answered(seconds_later)
        breaker.failed(seconds_later, HUNG_UP)
    breaker.answered(seconds_later)
    breaker.answered(seconds_later)
    breaker.failed(seconds_later, HUNG_UP)
    assert breaker.state == state


def test_what_was_before_the_canary_is_forgotten() -> None:
    breaker = fresh()
    for _ in range(3):
        for number in range(MIN_CALLS):
            assert breaker.state == "closed"
            if number % 2:
                breaker.failed(0.0, HUNG_UP)
            else:
                breaker.answered(0.0)
        assert breaker.state == "open"
        breaker.asks()
        breaker.canary_answered()


def test_a_canary_opens_the_way_and_answers_of_old_calls_do_not() -> None:
    breaker = fresh()
    breaker.failed(100.0, Unavailable("draining", ""))
    breaker.answered(100.1)
    assert (breaker.state, breaker.may_call(1_000.0)) == ("open", False)
    breaker.asks()
    breaker.answered(101.0)
    assert (breaker.state, breaker.may_call(1_000.0)) == ("half_open", False)
    breaker.canary_failed(101.0, HUNG_UP)
    assert breaker.state == "open"
    breaker.asks()
    breaker.canary_answered()
    assert (breaker.state, breaker.may_call(110.0)) == ("closed", True)


def test_pauses_double_with_jitter_until_a_call_is_answered() -> None:
    breaker, now, pauses = fresh(), 0.0, []
    for _ in range(6):
        breaker.failed(now, Unavailable("connection", ""))
        pauses.append(breaker.seconds_left(now))
        now += pauses[-1]
        breaker.asks()
        breaker.canary_answered()  # it answers canaries, and no calls
    longest = [1.0, 2.0, 4.0, 5.0, 5.0, 5.0]
    assert all(most / 2 <= pause <= most for pause, most in zip(pauses, longest, strict=True))
    assert len(set(pauses)) == 6
    breaker.answered(now)
    breaker.failed(now, Unavailable("connection", ""))
    assert breaker.seconds_left(now) <= 1.0


def test_one_that_is_busy_rests_and_stays_closed() -> None:
    breaker = fresh()
    for _ in range(30):  # a whole flight of calls meets one overload
        breaker.failed(50.0, BUSY)
    rest = breaker.seconds_left(50.0)
    assert MIN_PAUSE_SECONDS <= rest <= 2 * MIN_PAUSE_SECONDS
    assert (breaker.state, breaker.may_call(50.0 + rest * 0.99), breaker.may_call(50.0 + rest)) == ("closed", False, True)


@pytest.mark.parametrize(("asked", "least"), [(7.0, 7.0), (0.0, MIN_PAUSE_SECONDS)])
def test_retry_after_is_honoured(asked: float, least: float) -> None:
    breaker = fresh()
    breaker.failed(50.0, Unavailable("overloaded", "", asked))
    assert least <= breaker.seconds_left(50.0) <= max(least, 1.0)


class BreakerMachine(RuleBasedStateMachine):
    """Against a model that keeps every call since it was last closed."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker, self.now = fresh(), 0.0
        self.calls: list[tuple[float, bool]] = []
        self.opened_at, self.is_asking, self.is_open = 0.0, False, False

    @rule(seconds=st.floats(0.0, 4.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def a_call_is_answered(self) -> None:
        self.breaker.answered(self.now)
        if not self.is_open:
            self.calls.append((self.now, False))

    @rule(reason=st.sampled_from([one for one in get_args(Reason) if one not in ("overloaded", "no_replica")]))
    def a_call_fails(self, reason: Reason) -> None:
        self.breaker.failed(self.now, Unavailable(reason, ""))
        if self.is_open:
            return
        self.calls.append((self.now, True))
        row = [failed for _, failed in self.calls][-MAX_CONSECUTIVE:]
        recent = [failed for at, failed in self.calls if at > self.now - WINDOW_SECONDS]
        most = len(recent) >= MIN_CALLS and sum(recent) * 2 >= len(recent)
        self.is_open = reason in DECISIVE or most or (len(row) == MAX_CONSECUTIVE and all(row))
        self.opened_at = self.now

    @precondition(lambda self: self.is_open and not self.is_asking)
    @rule()
    def a_canary_is_sent(self) -> None:
        self.now += self.breaker.seconds_left(self.now)
        self.breaker.asks()
        self.is_asking = True

    @precondition(lambda self: self.is_asking)
    @rule(is_answered=st.booleans())
    def the_canary_ends(self, is_answered: bool) -> None:
        self.is_asking = False
        if is_answered:
            self.breaker.canary_answered()
            self.is_open = False
            self.calls.clear()
        else:
            self.breaker.canary_failed(self.now, HUNG_UP)
            assert MIN_PAUSE_SECONDS <= self.breaker.seconds_left(self.now) <= MAX_PAUSE_SECONDS

    @invariant()
    def the_state_is_the_models(self) -> None:
        assert self.breaker.state == ("half_open" if self.is_asking else "open" if self.is_open else "closed")
        assert self.breaker.may_call(self.now + MAX_PAUSE_SECONDS) == (not self.is_open)


BreakerMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)
TestBreakerMachine = BreakerMachine.TestCase
