"""What an audit remembers of the pending and the summaries topic, record by record, and never more than it needs to judge.

Place in the flow: beside it. It shares no code with the worker: what that wrote is read anew, with parsers of its own.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

import msgspec
from msgspec import Struct

from prefstream.audit_findings import Faults
from prefstream.audit_forgets import Forgets
from prefstream.audit_rows import (
    LEDGER_KEY,
    UNREADABLE,
    Deaths,
    EventRow,
    Fence,
    Ledger,
    decode_deaths,
    decode_fence,
    decode_ledger,
    event_row,
    failures_user,
    forget_row,
)
from prefstream.topics import OWNER_KEY


class PendingFold:
    """One partition of the pending topic: which events wait, and the ledger, at one instant; then the ledger some time later.

    ``deaths``: by user, at the instant. ``died_later``: events that were given up after it. ``num_unseen`` counts events that
    waited at the instant, and whose row compaction removed before it was read, and other rows that were missed so.
    """

    def __init__(self) -> None:
        self.waiting: set[EventRow] = set()
        self.deaths: dict[bytes, Deaths] = {}
        self.died_later: list[EventRow] = []
        self.forgets = Forgets()
        self._later_deaths: dict[bytes, Deaths] = {}
        self.ledger = Ledger()
        self.later = Ledger()
        self.last_deleted = -1
        self._num_unseen = 0
        self.faults = Faults()

    def read(self, key: bytes | None, value: bytes | None, offset: int) -> None:
        """A record from before the instant."""
        if key == LEDGER_KEY:
            self._read_ledger(value, offset)
            self.ledger = self.later
        elif (user := failures_user(key)) is not None:
            self._read_deaths(self.deaths, user, value, offset)
        elif fence := self._fence(key, value, offset):
            if (forgotten := self.forgets.fenced(key or b"", fence)) is not None:
                self.deaths.pop(forgotten, None)
        elif (asked := forget_row(key, value)) is not None:
            self.forgets.asks(asked, is_deleted=value is None, is_later=False)
        elif (row := event_row(key)) is None:
            return
        elif value is None:
            self.waiting.discard(row)
            self.last_deleted = max(self.last_deleted, row.offset)
        else:
            self.waiting.add(row)

    def read_later(self, key: bytes | None, value: bytes | None, offset: int) -> None:
        """A record from after the instant."""
        if key == LEDGER_KEY:
            self._read_ledger(value, offset)
        elif (user := failures_user(key)) is not None:
            self._read_deaths_later(user, value, offset)
        elif fence := self._fence(key, value, offset):
            self.forgets.fenced_later(key or b"", fence, self.ledger.position)
        elif (asked := forget_row(key, value)) is not None:
            self.forgets.asks(asked, is_deleted=value is None, is_later=True)
        elif value is None and (row := event_row(key)) is not None:
            self._num_unseen += row.offset < self.ledger.position and row not in self.waiting

    @property
    def num_unseen(self) -> int:
        """How much was missed."""
        return self._num_unseen + self.forgets.num_unseen

    def _read_deaths_later(self, user: bytes, value: bytes | None, offset: int) -> None:
        is_unknown = user not in self.deaths and user not in self._later_deaths
        if value is None and is_unknown and user in self.forgets.later:
            self._num_unseen += 1  # a forget deletes a row that is there, and compaction had removed it
        before = self._later_deaths.setdefault(user, self.deaths.get(user, Deaths()))
        after = self._read_deaths(self._later_deaths, user, value, offset)
        if after.num_dead > before.num_dead:
            self.died_later.append(EventRow(user, after.last_dead))
            self._num_unseen += after.num_dead > before.num_dead + 1

    @property
    def last_settled(self) -> int:
        """The offset of the newest event that was deleted or given up before the instant: the ledger had counted it by then."""
        return max([self.last_deleted, *(deaths.last_dead for deaths in self.deaths.values())])

    def is_pending(self, row: EventRow) -> bool:
        """Whether an event whose row is there waits, and is neither given up nor erased already."""
        deaths = self.deaths.get(row.user)
        return row in self.waiting and (deaths is None or deaths.last_dead != row.offset) and not self.forgets.covers(row)

    def _read_deaths(self, known: dict[bytes, Deaths], user: bytes, value: bytes | None, offset: int) -> Deaths:
        """What a row of failures says; a deleted one, that nothing of the life that begins was given up."""
        before = known.get(user, Deaths())
        try:
            found = Deaths() if value is None else decode_deaths(value)
        except UNREADABLE:
            self.faults.add(f"the record at offset {offset} of the pending topic is no row of failures")
            return before
        if value is not None and found.num_dead < before.num_dead:
            self.faults.add(f"the count of events given up goes back at offset {offset} of the pending topic")
        known[user] = found
        return found

    def _fence(self, key: bytes | None, value: bytes | None, offset: int) -> Fence | None:
        if key is None or key[:1] != b"x":
            return None
        try:
            return decode_fence(value or b"")
        except UNREADABLE:
            self.faults.add(f"the record at offset {offset} of the pending topic is no forget fence")
            return None

    def _read_ledger(self, value: bytes | None, offset: int) -> None:
        try:
            ledger = decode_ledger(value or b"")
        except UNREADABLE:
            self.faults.add(f"the record at offset {offset} of the pending topic is no ledger")
            return
        if ledger.position < self.later.position or ledger.total < self.later.total:
            self.faults.add(f"the ledger goes back at offset {offset} of the pending topic")
        self.later = ledger


class _Version(Struct, frozen=True):
    """What the audit reads of a summary."""

    version: int
    text: str
    num_events: int = 0
    position: int = -1


class _Applied(NamedTuple):
    """What a summary covers."""

    version: int = 0
    num_events: int = 0
    position: int = -1


class _Life(NamedTuple):
    """A life that a tombstone ended: its last version, and what counts of it. None where compaction removed all of it."""

    version: int
    at_instant: _Applied | None


class _User:
    __slots__ = ("at_instant", "digest", "ended", "is_past", "version")

    def __init__(self) -> None:
        self.version = 0
        self.digest = b""
        self.at_instant = _Applied()
        self.is_past = False
        self.ended: tuple[_Life, ...] = ()

    def end(self) -> None:
        """A tombstone. The versions go on behind it, and what they count begins anew."""
        self.ended += (_Life(self.version, self.at_instant if self.digest else None),)
        self.at_instant, self.digest, self.is_past = _Applied(self.version), b"", False


_decode_version = msgspec.json.Decoder(_Version).decode


class SummariesFold:
    """One partition of the summaries topic: what was applied when the ledger stood at ``position``, and the order of versions.

    ``num_unseen`` counts users whose version of that instant compaction removed before it was read.
    """

    def __init__(self, position: int) -> None:
        self._position = position
        self._users: dict[bytes, _User] = {}
        self.highest_position = -1
        self.num_unseen = 0
        self.faults = Faults()

    @property
    def applied(self) -> int:
        """How many events the summaries of the instant are based on; those of lives that were ended are not among them."""
        return sum(user.at_instant.num_events for user in self._users.values())

    def covers(self, row: EventRow) -> bool:
        """Whether the user's summary of the instant covers this event."""
        user = self._users.get(row.user)
        return user is not None and row.offset <= user.at_instant.position

    def settle(self, forgets: Forgets) -> None:
        """Tell the summaries of the instant from those that a `forget` ended before it, or ends after it."""
        for name, fence in forgets.begun.items():
            user = self._users.get(name)
            if user is not None and user.version <= fence.last_version:
                user.at_instant = _Applied(user.version)
        for name, fence in forgets.later.items():
            user = self._users.get(name)
            if user is not None and fence.num_applied:
                self._keep_ended(user, fence)

    def _keep_ended(self, user: _User, fence: Fence) -> None:
        """Of somebody forgotten after the instant the life that this ended counts, if its tombstone is read already."""
        lives = [life for life in user.ended if fence.first_version <= life.version <= fence.last_version and life.at_instant]
        if lives and lives[-1].at_instant:
            user.at_instant = lives[-1].at_instant
        elif any(life.at_instant is None for life in user.ended):
            self.num_unseen += 1

    def read(self, key: bytes | None, value: bytes | None, offset: int) -> None:
        """The next record."""
        if key is None or key == OWNER_KEY:
            return
        if value is None:
            self._users.setdefault(key, _User()).end()
            return
        try:
            record = _decode_version(value)
        except UNREADABLE:
            self.faults.add(f"the record at offset {offset} of the summaries topic is no summary")
            return
        user = self._users.setdefault(key, _User())
        self._check_order(user, record, offset)
        self._apply(user, record)

    def _check_order(self, user: _User, record: _Version, offset: int) -> None:
        digest = blake2b(record.text.encode(errors="replace"), digest_size=16).digest()
        if record.version < user.version:
            self.faults.add(f"version {user.version} is followed by {record.version} at offset {offset} of the summaries topic")
        elif record.version == user.version and digest != user.digest:
            self.faults.add(f"version {record.version} comes again with another text at offset {offset} of the summaries topic")
        user.version, user.digest = record.version, digest

    def _apply(self, user: _User, record: _Version) -> None:
        self.highest_position = max(self.highest_position, record.position)
        if record.position < self._position:
            user.at_instant = _Applied(record.version, record.num_events, record.position)
        elif not user.is_past:
            user.is_past = True
            self.num_unseen += record.version - 1 != user.at_instant.version
