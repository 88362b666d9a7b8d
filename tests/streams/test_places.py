"""Of two records of where sources stand the higher place of each counts, whichever comes first."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from prefstream.dead_letters import Origin
from streams.places import highest, place_of, source_of
from streams.records import Arrival

PLACES = st.dictionaries(st.sampled_from(["S/0", "S/1", "T/0"]), st.tuples(st.integers(-1, 9), st.integers(0, 3)))


def test_an_event_stands_in_the_partition_of_its_topic_by_offset_and_index() -> None:
    arrival = Arrival(Origin("S", 1, 7, 2), 0, 5, "", msgspec.Raw(b"\x80"))
    assert (source_of(arrival), place_of(arrival)) == ("S/1", (7, 2))


@given(PLACES, PLACES)
def test_the_highest_place_of_each_source_counts(one: dict[str, tuple[int, int]], other: dict[str, tuple[int, int]]) -> None:
    both = highest(one, other)
    assert both == highest(other, one)
    assert both == {name: max(known[name] for known in (one, other) if name in known) for name in {*one, *other}}
