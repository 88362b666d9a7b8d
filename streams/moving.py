"""Moving: what becomes of one partition's rows when the keyed topics get more partitions, and users belong to others then.

Place in the flow: between two runs of the workers; ``agents/repartition`` reads the rows, asks, and writes. The new number is a
multiple of the old one. So whoever leaves partition 2 of 8, for 16, goes to partition 10, which nobody was in before: offsets
begin anew there, and nothing meets what others left. Positions are offsets of the partition that a user leaves and mean nothing
in the new one; everything that is below them is covered, decided or counted, so there they are -1: before everything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from prefstream.summaries import decode_summary, encode_summary
from streams.controls import decode_controls, encode_controls
from streams.errors import CorruptKey
from streams.failures import Failures, decode_failures, encode_failures
from streams.forgetting import ALL_GONE, decode_fence, encode_fence
from streams.keys import (
    DecidedKey,
    EventKey,
    FenceKey,
    UserKey,
    VersionKey,
    controls_key,
    event_key,
    failures_key,
    murmur2_partition,
    parse_key,
    recent_ids_key,
)
from streams.ledger import LEDGER_KEY, Ledger, decode_ledger, encode_ledger
from streams.records import Recent, decode_arrival, decode_recent, encode_recent, remember_ids

Row = tuple[bytes, bytes]
Rows = Mapping[bytes, bytes]


class Covered(Struct, frozen=True):
    """What counts of a summary: how many events it is based on, and the offset up to which it covers them."""

    num_events: int = 0
    position: int = -1


class Parcel(NamedTuple):
    """What a fresh partition gets from the one that its users leave.

    ``events`` are users and values for the events topic, at the offsets from 0 on; ``rows`` are for the pending topic, and the
    ledger, of which ``ledger`` is the row, behind them.
    """

    number: int
    events: tuple[Row, ...]
    rows: tuple[Row, ...]
    ledger: Ledger


class Unfinished(NamedTuple):
    """What a worker has to finish before users can move: commands without a receipt, and erasures on the disk."""

    num_commands: int
    num_erasures: int


decode_covered = msgspec.json.Decoder(Covered).decode


def unfinished(rows: Rows) -> Unfinished:
    """What is under way in a partition with these rows of the pending table."""
    kinds = [key[:1] for key in rows]
    unswept = (value for key, value in rows.items() if key[:1] == b"x" and decode_fence(value).stage != ALL_GONE)
    return Unfinished(kinds.count(b"r"), sum(1 for _ in unswept))


def ledger_of(rows: Rows) -> Ledger | None:
    """The partition's counts; None where nothing ever came."""
    return decode_ledger(rows[LEDGER_KEY]) if LEDGER_KEY in rows else None


def user_of_row(key: bytes) -> bytes | None:
    """Whose a row of the tables pending and history is; None of those of the partition itself, and of forget fences.

    Raises CorruptKey.
    """
    if len(key) == 1:  # the ledger, and what is owed of budgets
        return None
    match parse_key(key):
        case FenceKey():
            return None
        case EventKey(user=user) | DecidedKey(user=user) | VersionKey(user=user) | UserKey(user=user):
            return user


def home_of(user: bytes, number: int, num_before: int, num_partitions: int) -> int:
    """The partition of somebody who is in this one of ``num_before``. Raises CorruptKey for one who belongs elsewhere."""
    if murmur2_partition(user, num_before) != number:
        raise CorruptKey(f"partition {number} of {num_before} has a row of somebody who does not belong there")
    return murmur2_partition(user, num_partitions)


def moved_summary(value: bytes) -> bytes:
    """A summary's record as the new partition has it: the same version, which covers no offset there."""
    return encode_summary(replace(decode_summary(value), position=-1, command_position=-1))


def parcels(
    rows: Rows, covered: Mapping[bytes, Covered], homes: Mapping[bytes, int], numbers: Iterable[int], num_partitions: int
) -> list[Parcel]:
    """What each of the fresh partitions ``numbers`` gets of one with these rows of the pending table.

    ``covered``: of the summaries of who leaves. ``homes``: whither everybody with a row or a summary goes.
    """
    by_user: dict[bytes, dict[bytes, bytes]] = defaultdict(dict)
    for key, value in rows.items():
        if (user := user_of_row(key)) is not None:
            by_user[user][key] = value
    fences = tuple((key, _moved_fence(value)) for key, value in rows.items() if key[:1] == b"x")
    before = ledger_of(rows) or Ledger()
    found = []
    for number in numbers:
        leaving = [
            _Leaving(user, by_user[user], covered.get(user, Covered())) for user, home in homes.items() if home == number
        ]
        found.append(_parcel(number, leaving, fences, before, num_partitions))
    return found


def left_behind(before: Ledger, sent: Iterable[Ledger], num_partitions: int) -> Ledger:
    """The ledger of the partition that was left, given those of the fresh ones: what went is no longer its own."""
    num_gone = sum(one.accepted + one.moved for one in sent)
    return replace(before, moved=before.moved - num_gone, num_partitions=num_partitions)


class _Leaving:
    """One user who leaves, with their rows: what waits, and what is left over from a crash behind a summary or a death."""

    def __init__(self, user: bytes, rows: Rows, covered: Covered) -> None:
        self.user = user
        self.rows = rows
        self.covered = covered
        stored = rows.get(failures_key(user))
        self.failures = decode_failures(stored) if stored else Failures()
        events = {key.offset: value for stored_key, value in rows.items() if isinstance(key := parse_key(stored_key), EventKey)}
        self.waiting = {
            offset: value for offset, value in events.items() if offset > covered.position and offset != self.failures.last_dead
        }
        self.settled = [value for offset, value in sorted(events.items()) if offset not in self.waiting]

    def moved_rows(self, offsets: Mapping[int, int]) -> list[Row]:
        """The rows in the new partition, where the waiting events have these ``offsets``."""
        found = [(event_key(self.user, offsets[offset]), value) for offset, value in sorted(self.waiting.items())]
        if stored := self.rows.get(controls_key(self.user)):
            found.append((controls_key(self.user), _moved_controls(stored)))
        if (recent := self._recent()) != Recent():
            found.append((recent_ids_key(self.user), encode_recent(recent)))
        if failures_key(self.user) in self.rows:
            found.append((failures_key(self.user), encode_failures(self._moved_failures(offsets))))
        return found

    def _recent(self) -> Recent:
        stored = self.rows.get(recent_ids_key(self.user))
        recent = decode_recent(stored) if stored else Recent()
        ids = [arrival.event_id for arrival in map(decode_arrival, self.settled) if arrival.event_id]
        counted = recent.counted(max((one.offset + 1 for one in recent.uncounted), default=0))
        return replace(counted, event_ids=remember_ids(counted.event_ids, ids))

    def _moved_failures(self, offsets: Mapping[int, int]) -> Failures:
        suspects = [offsets[old] for old in self.waiting if old <= self.failures.suspect_to]
        condemned = offsets.get(self.failures.condemned, -1)
        return replace(self.failures, last_dead=-1, suspect_to=max(suspects, default=-1), condemned=condemned)


def _parcel(number: int, leaving: list[_Leaving], fences: tuple[Row, ...], before: Ledger, num_partitions: int) -> Parcel:
    waiting = sorted((offset, one.user, value) for one in leaving for offset, value in one.waiting.items())
    offsets = {offset: index for index, (offset, _, _) in enumerate(waiting)}
    ledger = Ledger(
        position=len(waiting),
        accepted=len(waiting),
        topic_id=before.topic_id,
        filtered_to=before.filtered_to,
        moved=sum(one.covered.num_events + one.failures.num_dead for one in leaving),
        num_partitions=num_partitions,
    )
    rows = [row for one in leaving for row in one.moved_rows(offsets)]
    return Parcel(number, tuple((user, value) for _, user, value in waiting), (*rows, *fences), ledger)


def _moved_controls(value: bytes) -> bytes:
    return encode_controls(replace(decode_controls(value), position=-1, applied_position=-1, opt_positions=()))


def _moved_fence(value: bytes) -> bytes:
    """It says what is erased of the past, and from which version on to go; what it erased is counted where it was."""
    return encode_fence(replace(decode_fence(value), position=-1, num_applied=0, num_ended=0, num_erased=0))


def ledger_row(ledger: Ledger) -> Row:
    """The row of a partition's counts."""
    return LEDGER_KEY, encode_ledger(ledger)
