"""When a store is trusted: every reason against it alone, at its boundary, and that a stamp survives its own encoding."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agents.stamps import Changelog, Stamp, decode_stamp, encode_stamp, why_distrusted

LOG = Changelog("topic-id", delete_retention_ms=3_600_000)
STAMP = Stamp("topic-id", offset=41, in_step_at_ms=1_000_000)
HALF_AN_HOUR = 1_800_000


@pytest.mark.parametrize(
    ("stamp", "end", "age_ms", "reason"),
    [
        (STAMP, 42, 0, None),
        (STAMP, 42, HALF_AN_HOUR, None),
        (STAMP, 42, HALF_AN_HOUR + 1, "1800 s ago"),
        (STAMP, 42, -1, "1 ms in the future"),
        (STAMP, 41, 0, "never reached: that ended below 41"),
        (STAMP, 3, 0, "never reached"),
        (replace(STAMP, topic_id="another"), 42, 0, "created again"),
        (replace(STAMP, num_partitions=1), 42, 0, None),
        (replace(STAMP, num_partitions=2), 42, 0, "had 2 partitions then"),
        (None, 42, 0, "no stamp"),
    ],
)
def test_why_a_store_is_not_trusted(stamp: Stamp | None, end: int, age_ms: int, reason: str | None) -> None:
    why = why_distrusted(stamp, LOG, end, STAMP.in_step_at_ms + age_ms)
    assert (why is None) == (reason is None)
    assert (reason or "") in (why or "")


@pytest.mark.parametrize(("retention_ms", "max_age_ms"), [(3_600_000, HALF_AN_HOUR), (7 * 86_400_000, 302_400_000), (0, 0)])
def test_half_of_the_topics_own_retention_is_trusted_and_the_stamp_refreshed_well_before(
    retention_ms: int, max_age_ms: int
) -> None:
    log = Changelog("topic-id", retention_ms)
    assert log.max_age_ms == max_age_ms
    assert log.refresh_after_ms * 10 <= max_age_ms


INSTANTS = st.integers(0, 2**63 - 1)


@given(st.builds(Stamp, st.text(), INSTANTS, INSTANTS, st.integers(0, 1_000)))
def test_a_stamp_survives(stamp: Stamp) -> None:
    assert decode_stamp(encode_stamp(stamp)) == stamp


@pytest.mark.parametrize("packed", [None, b"", b"\x00" * 8, b"\xff", encode_stamp(STAMP)[:-1], b"\x92\xa1a\x01"])
def test_what_is_no_stamp_is_none(packed: bytes | None) -> None:
    assert decode_stamp(packed) is None
