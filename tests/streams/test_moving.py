"""What becomes of a user's rows in a new partition: everything that they say, and no offset of the old one."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from msgspec.structs import replace

from prefstream.dead_letters import Origin
from prefstream.receipts import Receipt
from prefstream.summaries import Summary, decode_summary, encode_summary
from streams.controls import Controls, Decided, decode_controls, encode_controls, encode_decided
from streams.errors import CorruptKey
from streams.failures import Failures, decode_failures, encode_failures
from streams.forgetting import ALL_GONE, ROWS_GONE, Fence, decode_fence, encode_fence, hiding
from streams.keys import (
    controls_key,
    decided_key,
    event_key,
    failures_key,
    fence_key,
    murmur2_partition,
    recent_ids_key,
    version_key,
)
from streams.ledger import LEDGER_KEY, Ledger, encode_ledger
from streams.moving import (
    Covered,
    Parcel,
    Unfinished,
    decode_covered,
    home_of,
    left_behind,
    moved_summary,
    parcels,
    unfinished,
    user_of_row,
)
from streams.records import Arrival, Passed, Recent, decode_recent, encode_arrival, encode_recent

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
BEFORE, AFTER = 2, 4
ADA, BOB = (name.encode() for name in ("ada-7", "bob-7"))  # both leave partition 1 for 3
SECRET = hiding("a secret of sixteen characters")
FENCE = Fence(40, "f1", AT, {"T1/0": 12}, 1, 3, 9, 11, 11, True, SECRET.check, ALL_GONE)
LEDGER = Ledger(50, accepted=30, redelivered=2, topic_id="E1", filtered_to={"T1/0": 7}, commands=3)


def arrival(offset: int, event_id: str = "") -> bytes:
    event = msgspec.msgpack.encode({"type": "view"})
    return encode_arrival(Arrival(Origin("T1", 0, offset, 0), 1_000 + offset, 5, event_id, msgspec.Raw(event)))


def sent(rows: dict[bytes, bytes], covered: dict[bytes, Covered] | None = None) -> Parcel:
    """What partition 3 gets of ada and bob."""
    (parcel,) = parcels({LEDGER_KEY: encode_ledger(LEDGER)} | rows, covered or {}, {ADA: 3, BOB: 3}, [3], AFTER)
    return parcel


def test_the_people_of_these_tests_are_where_they_are_said_to_be() -> None:
    assert {home_of(user, 1, BEFORE, AFTER) for user in (ADA, BOB)} == {3}


def test_who_is_in_a_partition_where_nobody_of_theirs_belongs_is_not_moved() -> None:
    with pytest.raises(CorruptKey, match="partition 0 of 2"):
        home_of(ADA, 0, BEFORE, AFTER)


def test_what_waits_keeps_its_order_over_all_users_and_gets_new_offsets() -> None:
    rows = {event_key(BOB, 12): arrival(2), event_key(ADA, 11): arrival(1), event_key(ADA, 30): arrival(3)}
    parcel = sent(rows)
    assert parcel.events == ((ADA, arrival(1)), (BOB, arrival(2)), (ADA, arrival(3)))
    assert dict(parcel.rows) == {event_key(ADA, 0): arrival(1), event_key(BOB, 1): arrival(2), event_key(ADA, 2): arrival(3)}
    assert parcel.ledger == Ledger(3, accepted=3, topic_id="E1", filtered_to={"T1/0": 7}, num_partitions=AFTER)


def test_what_a_crash_left_over_does_not_wait_again_and_its_ids_are_known() -> None:
    rows = {
        event_key(ADA, 10): arrival(1, "covered"),
        event_key(ADA, 11): arrival(2, "dead"),
        event_key(ADA, 12): arrival(3, "waits"),
        failures_key(ADA): encode_failures(Failures(num_dead=2, last_dead=11)),
    }
    parcel = sent(rows, {ADA: Covered(num_events=7, position=10)})
    assert parcel.events == ((ADA, arrival(3, "waits")),)
    assert decode_recent(dict(parcel.rows)[recent_ids_key(ADA)]).event_ids == ("covered", "dead")
    assert (parcel.ledger.accepted, parcel.ledger.moved) == (1, 7 + 2)


def test_controls_say_the_same_and_name_no_offset() -> None:
    controls = Controls(33, 31, ("Vegetarian.",), ("Only films.",), ("war",), True, ("health",), (20, 33), 4)
    found = decode_controls(dict(sent({controls_key(ADA): encode_controls(controls)}).rows)[controls_key(ADA)])
    assert found == replace(controls, position=-1, applied_position=-1, opt_positions=())
    assert found.was_opted_out(0)


def test_recent_ids_and_places_are_all_counted() -> None:
    recent = Recent(("a",), {"T1/0": (3, 0)}, (Passed(40, "T1/0", (9, 1), "b"), Passed(41, "T2/0", (1, 0))))
    found = decode_recent(dict(sent({recent_ids_key(ADA): encode_recent(recent)}).rows)[recent_ids_key(ADA)])
    assert found == Recent(("a", "b"), {"T1/0": (9, 1), "T2/0": (1, 0)})


@pytest.mark.parametrize(("suspect_to", "condemned", "found"), [(12, 12, (2, 2)), (10, -1, (0, -1)), (9, -1, (-1, -1))])
def test_where_a_search_for_poison_stands_goes_along(suspect_to: int, condemned: int, found: tuple[int, int]) -> None:
    failures = Failures(1, 4, suspect_to, num_attempts=2, not_before_ms=77, condemned=condemned, reason="refused: no")
    waiting = {event_key(ADA, 10): arrival(1), event_key(BOB, 11): arrival(2), event_key(ADA, 12): arrival(3)}
    rows = dict(sent({failures_key(ADA): encode_failures(failures)} | waiting).rows)
    expected = replace(failures, last_dead=-1, suspect_to=found[0], condemned=found[1])
    assert decode_failures(rows[failures_key(ADA)]) == expected


def test_a_fence_goes_to_every_fresh_partition_and_counts_nothing_there() -> None:
    key = fence_key(SECRET.digest(b"whoever"))
    rows = {LEDGER_KEY: encode_ledger(LEDGER), key: encode_fence(FENCE)}
    found = parcels(rows, {}, {}, [3, 5, 7], 8)
    assert [decode_fence(dict(parcel.rows)[key]) for parcel in found] == 3 * [
        replace(FENCE, position=-1, num_applied=0, num_ended=0, num_erased=0)
    ]


def test_a_summary_is_the_same_version_and_covers_no_offset() -> None:
    summary = Summary(
        user="ada-7",
        version=4,
        text="Loves drama.",
        previous_version=3,
        reason="size",
        updated_at=AT,
        num_events=9,
        position=31,
        command_position=20,
        origins={"T1/0": (9, 0)},
    )
    assert decode_covered(encode_summary(summary)) == Covered(9, 31)
    assert decode_summary(moved_summary(encode_summary(summary))) == replace(summary, position=-1, command_position=-1)


def test_what_went_is_taken_off_where_it_was_and_nothing_else_changes() -> None:
    fresh = [Ledger(2, accepted=2, moved=10), Ledger(0, moved=4)]
    assert left_behind(replace(LEDGER, moved=6), fresh, AFTER) == replace(LEDGER, moved=6 - 16, num_partitions=AFTER)


def test_commands_without_a_receipt_and_erasures_under_way_are_seen() -> None:
    receipt = Receipt(user="ada-7", command="pin", id="p", outcome="applied", at=AT, command_position=3)
    rows = {
        decided_key(ADA, 3): encode_decided(Decided(receipt)),
        fence_key(b"1"): encode_fence(FENCE),
        fence_key(b"2"): encode_fence(replace(FENCE, stage=ROWS_GONE)),
    }
    assert unfinished(rows) == Unfinished(num_commands=1, num_erasures=1)
    assert unfinished({event_key(ADA, 3): arrival(1)}) == Unfinished(0, 0)


@pytest.mark.parametrize(
    ("key", "user"),
    [(b"l", None), (b"b", None), (fence_key(b"digest"), None), (event_key(ADA, 3), ADA), (version_key(BOB, 2), BOB)],
)
def test_whose_a_row_is(key: bytes, user: bytes | None) -> None:
    assert user_of_row(key) == user


def test_whoever_moves_goes_to_a_partition_that_did_not_exist() -> None:
    users = [f"user-{number}".encode() for number in range(500)]
    homes = {(murmur2_partition(user, 8), murmur2_partition(user, 24)) for user in users}
    assert all(new == old or (new >= 8 and new % 8 == old) for old, new in homes)
