"""Waiting events are weighed, a gate closes at one mark and opens at a lower one, and a hot user fills only its own part."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.backpressure import (
    COLLECT_GATE,
    EVENT_BYTES,
    ID_BYTES,
    INTAKE_GATE,
    USER_BYTES,
    GatePolicy,
    Weight,
    fullness,
    weigh,
)

MIB = 1 << 20
EVENT_WITH_ID = EVENT_BYTES + ID_BYTES


@pytest.mark.parametrize(
    ("num_events", "num_ids", "weight"),
    [
        (0, 0, Weight()),
        (0, 256, Weight()),
        (1, 0, Weight(USER_BYTES + EVENT_BYTES)),
        (200, 0, Weight(USER_BYTES + 200 * EVENT_BYTES)),
        (201, 0, Weight(USER_BYTES + 200 * EVENT_BYTES, EVENT_BYTES)),
        (1, 256, Weight(USER_BYTES + EVENT_BYTES + 256 * ID_BYTES)),
        (300, 300, Weight(USER_BYTES + 200 * EVENT_BYTES + 300 * ID_BYTES, 100 * EVENT_BYTES)),
        (9_000, 9_512, Weight(USER_BYTES + 200 * EVENT_BYTES + 712 * ID_BYTES, 8_800 * EVENT_WITH_ID)),
    ],
)
def test_what_a_user_weighs_when_a_call_takes_twenty_events(num_events: int, num_ids: int, weight: Weight) -> None:
    assert weigh(num_events, num_ids, 20) == weight


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.integers(1, 100))
def test_surplus_is_moved_never_lost(num_events: int, num_ids: int, max_events: int) -> None:
    weight = weigh(num_events, num_ids, max_events)
    total = USER_BYTES + num_events * EVENT_BYTES + num_ids * ID_BYTES
    assert weight.ordinary_bytes + weight.surplus_bytes == total
    assert weight.ordinary_bytes >= USER_BYTES


def test_weights_are_added_and_taken_away() -> None:
    assert Weight(1, 2) + Weight(10, 20) - Weight(1, 2) == Weight(10, 20)


@pytest.mark.parametrize(
    ("waiting", "num_coming", "full"),
    [
        (Weight(), 0, (0.0, 0.0)),
        (Weight(2 * MIB), 0, (1.0, 0.0)),
        (Weight(0, MIB), 0, (0.0, 1.0)),
        (Weight(MIB, MIB // 4), 0, (0.5, 0.25)),
        (Weight(), 2 * MIB // EVENT_WITH_ID, (1.0, 0.0)),
        (Weight(MIB), MIB // EVENT_WITH_ID, (1.0, 0.0)),
        (Weight(2 * MIB, 2 * MIB), 0, (1.0, 2.0)),
    ],
)
def test_two_thirds_are_for_everybody_and_one_for_surplus(waiting: Weight, num_coming: int, full: tuple[float, float]) -> None:
    assert fullness(waiting, num_coming, 3 * MIB) == pytest.approx(full, abs=0.001)


@given(st.lists(st.floats(0, 3), max_size=60), st.floats(0.1, 2), st.floats(0.0, 1))
def test_between_the_marks_a_gate_stays_as_it_is(levels: list[float], close_at: float, part: float) -> None:
    policy = GatePolicy(close_at, close_at * part)
    is_closed = False
    for full in levels:
        was_closed, is_closed = is_closed, policy.is_closed(full, is_closed)
        if policy.open_below <= full < policy.close_at:
            assert is_closed == was_closed
        else:
            assert is_closed == (full >= policy.close_at)


def test_intake_closes_first_and_collect_opens_before_intake() -> None:
    assert INTAKE_GATE.open_below < INTAKE_GATE.close_at <= COLLECT_GATE.open_below < COLLECT_GATE.close_at
