"""What an audit knows of source records: the set of those that were met again, how far back their topics reach, and origins."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.audit_origins import KeptFold, Offsets, Reach, event_origin, letter_origin, reach
from prefstream.dead_letters import DeadLetter, Origin
from streams.records import Arrival, Filtered, encode_arrival, encode_filtered

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR_MS = 3_600_000


def kept(beginning: int, first_at_ms: int | None = None) -> KeptFold:
    fold = KeptFold()
    fold.beginning, fold.first_at_ms = beginning, first_at_ms
    return fold


NEVER = float("-inf")


@pytest.mark.parametrize(
    ("partitions", "retention_ms", "expected"),
    [
        ([kept(0), kept(0, 500)], HOUR_MS, Reach(NEVER, NEVER)),
        ([kept(0), kept(7, 500)], 3 * HOUR_MS, Reach(8 * HOUR_MS, 500)),
        ([kept(7), kept(7, 500)], 3 * HOUR_MS, Reach(8 * HOUR_MS, float("inf"))),
        ([kept(7, 500)], None, Reach(NEVER, 500)),
    ],
)
def test_the_reach_of_a_topic(partitions: list[KeptFold], retention_ms: int | None, expected: Reach) -> None:
    assert reach([(partitions, retention_ms), ([kept(0)], 1)], now_ms=10 * HOUR_MS) == expected


@given(st.integers(0, 50), st.integers(0, 50), st.sets(st.integers(0, 110)))
def test_offsets_are_a_set(start: int, length: int, added: set[int]) -> None:
    bounds = range(start, start + length)
    offsets = Offsets(bounds)
    for offset in added:
        offsets.add(offset)
    missing = sorted(set(bounds) - added)
    assert [offset for offset in range(120) if offset in offsets] == sorted(added & set(bounds))
    assert len(offsets) == length - len(missing)
    gap = offsets.gap()
    assert (gap.start, gap.stop) == (missing[0], missing[-1] + 1) if missing else not gap


def test_origins() -> None:
    origin = Origin("id", 1, 2, 3)
    event = encode_arrival(Arrival(origin, 4, 5, "x", msgspec.Raw(b"\x80")))
    letter = DeadLetter(origin=origin, source="s", reason="invalid", message="m", first_seen_at=NOW, last_seen_at=NOW)
    assert (event_origin(event), letter_origin(msgspec.json.encode(letter))) == (origin, origin)
    assert event_origin(encode_filtered(Filtered(origin, 4))) == origin
    assert [event_origin(value) for value in (None, b"", b"\xff", b"{}", event[1:])] == [None] * 5
    assert [letter_origin(value) for value in (None, b"", b"\xff", b"{}", b"[]")] == [None] * 5
