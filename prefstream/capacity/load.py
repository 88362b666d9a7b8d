"""The load that a demand makes: events, flushes, calls and tokens a second, on average and at the peak.

Place: demand → **load** → plan. A peak is more people at once, not busier ones: the mixture of flushes stays as it is.
"""

from __future__ import annotations

from msgspec import Struct

from prefstream.capacity.demand import Demand
from prefstream.capacity.engines import Shape
from prefstream.capacity.figures import EVENT_BYTES, ID_BYTES, RECENT_IDS, USER_BYTES
from prefstream.capacity.flushes import Flushes, flushes_of

DAY_SECONDS = 86_400.0


class Load(Struct, frozen=True):
    """Rates a second on average; a peak is ``peak`` times as much. ``calls`` are flushes that are not spared, and repeats."""

    active_users: float
    events: float
    flushes: float
    calls: float
    flush: Flushes
    shape: Shape
    peak: float
    call_seconds: float
    replica_calls: float

    @property
    def tokens(self) -> float:
        """Of prompts and answers a second."""
        return self.calls * (self.shape.prompt + self.shape.completion)

    @property
    def calls_in_flight(self) -> float:
        """At the peak, by Little's law: calls a second times seconds of a call."""
        return self.calls * self.peak * self.call_seconds

    @property
    def waiting_users(self) -> float:
        """At the peak: with events that wait for a flush, or for their call to end."""
        return self.flushes * self.peak * (self.flush.oldest_seconds + self.call_seconds)

    @property
    def waiting_events(self) -> float:
        """At the peak."""
        return self.events * self.peak * (self.flush.event_seconds + self.call_seconds)

    def waiting_bytes(self, has_ids: bool) -> float:
        """The memory of who waits and what waits, as a worker reckons it: of each who waits it knows the newest ids too."""
        ids = self.waiting_users * RECENT_IDS.value + self.waiting_events if has_ids else 0.0
        return self.waiting_users * USER_BYTES.value + self.waiting_events * EVENT_BYTES.value + ids * ID_BYTES.value


def load_of(demand: Demand) -> Load:
    """What the demand makes, in seconds."""
    flush = flushes_of(demand.habit, demand.policy, demand.event_tokens)
    active_users = demand.users * demand.active
    events = active_users * demand.events / DAY_SECONDS
    flushes = events / flush.events_per_flush
    shape = demand.shape(flush.events_per_flush)
    replica_calls = demand.engine.calls_per_second(shape)
    return Load(
        active_users=active_users,
        events=events,
        flushes=flushes,
        calls=flushes * (1 - demand.spared) * (1 + demand.repeats),
        flush=flush,
        shape=shape,
        peak=demand.peak,
        call_seconds=demand.engine.places / replica_calls,
        replica_calls=replica_calls,
    )
