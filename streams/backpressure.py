"""Backpressure: how much memory waiting events take, and whether a gate that lets more of them in is to be closed.

Place in the flow: asked before each fetch. What is not fetched stays where it is safe and counted, on the topics. Closing and
opening happen at two marks, so a gate does not flutter between them.
"""

from __future__ import annotations

from msgspec import Struct

from streams.records import MAX_RECENT_IDS

# Resident memory of a PendingIndex, measured and rounded up: a waiting user read from one source partition, a pending event
# without its id, an id of 36 characters, of an event that is pending or was.
USER_BYTES = 1_350
EVENT_BYTES = 35
ID_BYTES = 135

_ORDINARY_CALLS = 10  # events behind so many full calls of their user are a hot user's surplus
_ORDINARY_PART = 2 / 3  # of the memory that waiting events may take, which no surplus can have


class Weight(Struct, frozen=True):
    """Memory that waiting users and events take; ``surplus_bytes`` of it are of events far behind in a hot user's queue."""

    ordinary_bytes: int = 0
    surplus_bytes: int = 0

    def __add__(self, other: Weight) -> Weight:
        return Weight(self.ordinary_bytes + other.ordinary_bytes, self.surplus_bytes + other.surplus_bytes)

    def __sub__(self, other: Weight) -> Weight:
        return Weight(self.ordinary_bytes - other.ordinary_bytes, self.surplus_bytes - other.surplus_bytes)


def weigh(num_events: int, num_ids: int, max_events: int) -> Weight:
    """What one user weighs with these pending events and remembered ids, where a call takes ``max_events``."""
    if not num_events:
        return Weight()
    num_ordinary = min(num_events, _ORDINARY_CALLS * max_events)
    num_surplus_ids = max(0, num_ids - num_ordinary - 2 * MAX_RECENT_IDS)
    surplus_bytes = (num_events - num_ordinary) * EVENT_BYTES + num_surplus_ids * ID_BYTES
    return Weight(USER_BYTES + num_events * EVENT_BYTES + num_ids * ID_BYTES - surplus_bytes, surplus_bytes)


def fullness(waiting: Weight, num_coming: int, max_bytes: int) -> tuple[float, float]:
    """How full the two parts of the memory for waiting events are, 1.0 being full; ``num_coming`` events are as good as here.

    Ordinary events and surplus have a part each: a hot user's backlog, which only that user's own calls can work off, one
    after the other, does not use up the room through which everybody else's events flow.
    """
    ordinary = waiting.ordinary_bytes + num_coming * (EVENT_BYTES + ID_BYTES)
    return ordinary / (max_bytes * _ORDINARY_PART), waiting.surplus_bytes / (max_bytes * (1 - _ORDINARY_PART))


def tenants_bytes(max_bytes: int, num_tenants: int) -> int:
    """The memory that each of so many tenants with topics of their own may take: half of it among them.

    The rest is for those who share topics, so what waits for such a tenant's budget closes the tenant's own topics alone.
    """
    return max_bytes // (2 * max(1, num_tenants))


class GatePolicy(Struct, frozen=True):
    """A gate closes when a part of the memory is ``close_at`` full, and opens when that part is below ``open_below``."""

    close_at: float
    open_below: float

    def is_closed(self, fullness: float, was_closed: bool) -> bool:
        """Whether a part that is so full keeps the gate closed now."""
        return fullness >= (self.open_below if was_closed else self.close_at)


# Intake's gate closes first: the backlog belongs on the platform's topics. Collect goes on with what is on the keyed topic
# already, also from other workers' intake, and has the last word.
INTAKE_GATE = GatePolicy(close_at=1.0, open_below=0.8)
COLLECT_GATE = GatePolicy(close_at=1.25, open_below=1.0)
