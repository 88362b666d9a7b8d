"""Places: where an event stands in the source that it came from, by which one that is read again is recognised.

Place in the flow: intake notes the origin; pending, summaries and fences keep the highest place of each source partition.
"""

from __future__ import annotations

from collections.abc import Mapping

from prefstream.dead_letters import Origin
from streams.records import Arrival

# An event's place in its source: (offset, index within the record), compared in that order.
Place = tuple[int, int]


def source_of(arrival: Arrival) -> str:
    """The source partition that the event came from."""
    return source_name(arrival.origin)


def source_name(origin: Origin) -> str:
    """The key under which a source partition's highest place is kept: ``topic-id/partition``."""
    return f"{origin.topic}/{origin.partition}"


def place_of(arrival: Arrival) -> Place:
    """Where in its source partition the event stands."""
    return (arrival.origin.offset, arrival.origin.index)


def highest(one: Mapping[str, Place], other: Mapping[str, Place]) -> dict[str, Place]:
    """The highest place by source of the two."""
    return dict(one) | {source: max(place, one.get(source, place)) for source, place in other.items()}
