"""When the model counts as away: at once, or when several users in a row go unanswered; and how it is asked again."""

from __future__ import annotations

from typing import Literal

import pytest

from streams.availability import Availability
from streams.evolution.records import Unavailable
from streams.flush import FlushPolicy

NOW_MS = 1_000_000
ADA, BOB, EVE = b"ada", b"bob", b"eve"
Reason = Literal["timeout", "connection", "disconnected", "overloaded", "draining", "server_error"]


def of(reason: Reason, retry_after_seconds: float | None = None) -> Unavailable:
    return Unavailable(reason, "why", retry_after_seconds)


@pytest.fixture
def model() -> Availability:
    return Availability(FlushPolicy())


@pytest.mark.parametrize("reason", ["connection", "overloaded", "draining"])
def test_some_signs_of_an_outage_are_one_at_once(model: Availability, reason: Reason) -> None:
    assert model.unanswered(ADA, of(reason), NOW_MS)
    assert (model.is_away, model.may_call(NOW_MS + 999), model.may_call(NOW_MS + 1_000)) == (True, False, True)


@pytest.mark.parametrize("reason", ["timeout", "disconnected", "server_error"])
def test_others_may_be_the_prompts_fault_until_several_users_meet_them(model: Availability, reason: Reason) -> None:
    ends = [model.unanswered(user, of(reason), NOW_MS) for user in (ADA, ADA, ADA, BOB, ADA, EVE)]
    assert ends == [False, False, False, False, False, True]
    assert (model.is_away, model.may_call(NOW_MS)) == (True, False)


def test_an_answer_in_between_says_that_it_is_there(model: Availability) -> None:
    for user in (ADA, BOB, EVE):
        assert not model.unanswered(user, of("timeout"), NOW_MS)
        assert not model.unanswered(user + b"2", of("timeout"), NOW_MS)
        assert not model.answered()
    assert model.may_call(NOW_MS)


def test_an_outage_is_asked_about_less_and_less_often_and_ends_with_any_answer(model: Availability) -> None:
    now_ms, pauses_ms = NOW_MS, list[int]()
    for _ in range(6):
        assert model.calls(now_ms) == bool(pauses_ms)
        assert model.unanswered(ADA, of("connection"), now_ms)
        pauses_ms.append(model.paused_until_ms - now_ms)
        now_ms = model.paused_until_ms
    assert pauses_ms == [1_000, 2_000, 4_000, 8_000, 10_000, 10_000]
    assert model.answered()
    assert (model.is_away, model.may_call(0), model.answered()) == (False, True, False)
    model.unanswered(ADA, of("connection"), now_ms)
    assert model.paused_until_ms == now_ms + 1_000


def test_calls_that_meet_one_outage_are_one_outage(model: Availability) -> None:
    for late_ms in (0, 10, 5_000):
        assert model.unanswered(ADA, of("connection"), NOW_MS + late_ms)
    assert model.paused_until_ms == NOW_MS + 1_000


def test_who_asks_and_hangs_holds_back_nobody_else(model: Availability) -> None:
    model.unanswered(ADA, of("connection"), NOW_MS)
    model.calls(NOW_MS + 1_000)
    assert not model.may_call(NOW_MS + 1_999)
    assert model.may_call(NOW_MS + 2_000)


def test_a_single_user_prolongs_an_outage_and_is_not_blamed(model: Availability) -> None:
    model.unanswered(ADA, of("connection"), NOW_MS)
    model.calls(NOW_MS + 1_000)
    assert model.unanswered(BOB, of("timeout"), NOW_MS + 1_000)
    assert model.paused_until_ms == NOW_MS + 3_000


def test_a_server_says_how_long_it_wants_to_be_left_alone(model: Availability) -> None:
    model.unanswered(ADA, of("overloaded"), NOW_MS)
    model.unanswered(BOB, of("overloaded", 30.0), NOW_MS)
    assert model.paused_until_ms == NOW_MS + 30_000


def test_one_users_silence_is_told_from_that_of_many(model: Availability) -> None:
    for _ in range(18):
        model.answered()
    for user in (ADA, ADA, BOB):
        model.unanswered(user, of("timeout"), NOW_MS)
    assert [model.fails_others(user) for user in (ADA, BOB, EVE)] == [False, False, True]
    for _ in range(100):
        model.answered()
    assert not model.fails_others(EVE)


def test_which_share_of_the_others_attempts_fails(model: Availability) -> None:
    assert model.failed_share(ADA) == 1.0  # nobody knows
    model.failed(BOB)
    model.accepted(ADA, NOW_MS)
    assert (model.failed_share(ADA), model.failed_share(BOB)) == (1.0, 0.25)  # whoever it is about is not among them
    for _ in range(5):
        model.accepted(EVE, NOW_MS)
    assert [model.failed_share(user) for user in (ADA, BOB, EVE)] == [1.5 / 7, 0.5 / 7, 1.5 / 3]
    for _ in range(99):
        model.failed(BOB)
    assert (model.failed_share(ADA), model.failed_share(EVE)) == (99.5 / 101, 1.0)  # of the last hundred
    assert model.accepted_at_ms == NOW_MS


def test_outside_an_outage_calls_wait_for_nothing(model: Availability) -> None:
    for _ in range(9):
        assert model.may_call(NOW_MS)
        model.calls(NOW_MS)
