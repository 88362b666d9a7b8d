"""A user is due for one documented reason, exactly from its threshold on, and waits longer after every failure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.summaries import FlushReason
from streams.flush import FlushPolicy, backoff_ms, flush_reason

POLICY = FlushPolicy(
    max_events=3,
    max_tokens=100,
    max_age_seconds=10.0,
    backoff_seconds=1.0,
    max_backoff_seconds=60.0,
    impressions_per_event=4,
)
ARRIVED_MS = 1_000_000


@pytest.mark.parametrize(
    ("num_events", "num_impressions", "num_tokens", "waited_ms", "reason"),
    [
        (0, 0, 0, 0, None),
        (0, 0, 0, 10**9, None),
        (1, 0, 0, 9_999, None),
        (1, 0, 0, 10_000, "age"),
        (0, 1, 0, 10_000, "age"),
        (2, 0, 99, 9_999, None),
        (2, 0, 100, 0, "tokens"),
        (3, 0, 0, 0, "size"),
        (2, 3, 0, 0, None),
        (2, 4, 0, 0, "size"),
        (0, 11, 0, 0, None),
        (0, 12, 0, 0, "size"),
        (3, 0, 100, 10_000, "size"),
        (2, 0, 100, 10_000, "tokens"),
        (4, 0, 0, 0, "size"),
        (1, 0, 5_000, 0, "tokens"),
        (1, 0, 0, -5_000, None),
    ],
)
def test_a_user_is_due_from_the_threshold_on(
    num_events: int, num_impressions: int, num_tokens: int, waited_ms: int, reason: FlushReason | None
) -> None:
    size = num_events * POLICY.size_of(is_impression=False) + num_impressions * POLICY.size_of(is_impression=True)
    assert flush_reason(size, num_tokens, ARRIVED_MS, POLICY, ARRIVED_MS + waited_ms) == reason


@given(st.integers(1, 20), st.integers(0, 200), st.integers(0, 30_000), st.integers(0, 30_000))
def test_who_is_due_stays_due(size: int, num_tokens: int, waited_ms: int, longer_ms: int) -> None:
    now, later = ARRIVED_MS + waited_ms, ARRIVED_MS + waited_ms + longer_ms
    if flush_reason(size, num_tokens, ARRIVED_MS, POLICY, now) is not None:
        assert flush_reason(size, num_tokens, ARRIVED_MS, POLICY, later) is not None
        assert flush_reason(size + 1, num_tokens + 9, ARRIVED_MS, POLICY, now) is not None


@pytest.mark.parametrize(
    ("num_failures", "waits_ms"), [(1, 1_000), (2, 2_000), (3, 4_000), (6, 32_000), (7, 60_000), (8, 60_000), (10**6, 60_000)]
)
def test_the_wait_doubles_and_is_bounded(num_failures: int, waits_ms: int) -> None:
    assert backoff_ms(num_failures, POLICY) == waits_ms


def test_the_defaults_are_the_documented_ones() -> None:
    assert FlushPolicy() == FlushPolicy(20, 1_200, 60.0, 1.0, 300.0, 5)
