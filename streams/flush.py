"""Flush: the decision that a user is due, always with a reason; asked by dispatch, with the clock as an argument.

Two thresholds make a user due at once (``size``, ``tokens``), one with time (``age`` of the oldest pending event since it
arrived). Instants are milliseconds since 1970.
"""

from __future__ import annotations

from msgspec import Struct

from prefstream.summaries import FlushReason


class FlushPolicy(Struct, frozen=True):
    """When a user is due, and how long a user waits after a call that failed.

    So many impressions without a reaction count as one event, of ``max_events`` and of ``max_tokens``; a call takes as many.
    20 events is where the measured quality of a summary stops growing with the size of a step; the token bound keeps a
    flush of long texts inside a small model's context.
    """

    max_events: int = 20
    max_tokens: int = 1_200
    max_age_seconds: float = 60.0
    backoff_seconds: float = 1.0
    max_backoff_seconds: float = 300.0
    impressions_per_event: int = 5

    @property
    def max_size(self) -> int:
        """Of what waits, in impressions: any other event is as many as count for one."""
        return self.max_events * self.impressions_per_event

    def size_of(self, is_impression: bool) -> int:
        """What an event is of that."""
        return 1 if is_impression else self.impressions_per_event


def flush_reason(size: int, num_tokens: int, oldest_at_ms: int, policy: FlushPolicy, now_ms: int) -> FlushReason | None:
    """Why a user is due now with pending events of this size (:meth:`FlushPolicy.size_of`), or ``None``."""
    if size >= policy.max_size:
        return "size"
    if num_tokens >= policy.max_tokens:
        return "tokens"
    if size and now_ms - oldest_at_ms >= policy.max_age_seconds * 1_000:
        return "age"
    return None


def backoff_ms(num_failures: int, policy: FlushPolicy) -> int:
    """How long a user waits after this many failed calls in a row: doubling, and bounded."""
    seconds = min(policy.max_backoff_seconds, policy.backoff_seconds * 2 ** min(num_failures - 1, 30))
    return int(seconds * 1_000)
