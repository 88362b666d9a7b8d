"""Audit: whether the topics themselves prove that no event is lost and none is counted twice; the folds and the verdict.

Place in the flow: beside it. It shares no code with the worker: what the worker wrote is read here anew, record by record, by
:mod:`prefstream.audit_reader`. ``docs/audit.md`` says what is compared, and why it can be compared while workers run.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct

from prefstream.dead_letters import Origin
from prefstream.topics import OWNER_KEY

FindingKind = Literal[
    "note",  # nothing is wrong, and something could not be looked at
    "unsettled",  # compaction removed what was being read: read again
    "undecided",  # what would decide it is gone
    "broken",  # something is lost, doubled, or other than it has to be
]
Verdict = Literal["holds", "undecided", "broken"]

LEDGER_KEY = b"l"
_HEAD = struct.Struct(">cH")
_OFFSET = struct.Struct(">Q")
_MAX_EXAMPLES = 3
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Ledger(Struct, frozen=True, array_like=True):
    """What became of the events of a partition below the offset ``position``, as collect counted it."""

    position: int = 0
    accepted: int = 0
    redelivered: int = 0
    duplicate: int = 0
    dead: int = 0

    @property
    def total(self) -> int:
        """All events that were counted."""
        return self.accepted + self.redelivered + self.duplicate + self.dead


class Finding(Struct, frozen=True):
    """Something an operator has to know, and where it is."""

    kind: FindingKind
    where: str
    what: str


class PartitionAccount(Struct, frozen=True, kw_only=True):
    """One partition of the keyed topics, at the ledger's ``position``.

    ``num_on_topic`` events lie below it on the events topic, from the offset ``beginning`` on. ``is_moving``: the ledger went
    on while the topics were read.
    """

    partition: int
    position: int
    accepted: int
    applied: int
    pending: int
    redelivered: int
    duplicate: int
    dead: int
    num_on_topic: int
    beginning: int
    is_moving: bool


class SourceAccount(Struct, frozen=True, kw_only=True):
    """One source partition from ``beginning`` to ``committed``: how many of its records were met again by their origin.

    Not met: ``older`` ones, whose event or dead letter may be gone by age, ``unsure`` ones, whose may be gone otherwise, and
    ``lost`` ones.
    """

    topic: str
    partition: int
    beginning: int
    committed: int
    met: int
    older: int
    unsure: int
    lost: int


class Audit(Struct, frozen=True, kw_only=True):
    """What the topics of a namespace prove."""

    namespace: str
    verdict: Verdict
    sentence: str
    partitions: tuple[PartitionAccount, ...]
    sources: tuple[SourceAccount, ...]
    findings: tuple[Finding, ...]

    @property
    def is_worth_another_look(self) -> bool:
        """Whether nothing is wrong, and reading again may decide what could not be decided."""
        return self.verdict == "undecided" and any(finding.kind == "unsettled" for finding in self.findings)


class EventRow(NamedTuple):
    """Whose event waits, and its offset on the events topic."""

    user: bytes
    offset: int


def event_row(key: bytes | None) -> EventRow | None:
    """What the key of a pending event says: ``e``, the user's length (u16), the user, an offset (u64). None for other keys."""
    if key is None or len(key) < _HEAD.size:
        return None
    kind, length = _HEAD.unpack_from(key)
    if kind != b"e" or len(key) != _HEAD.size + length + _OFFSET.size:
        return None
    return EventRow(key[_HEAD.size : _HEAD.size + length], _OFFSET.unpack(key[_HEAD.size + length :])[0])


class Faults:
    """What is wrong with the records of a partition: counted, with the first few in words."""

    def __init__(self) -> None:
        self.count = 0
        self.examples: list[str] = []

    def add(self, words: str) -> None:
        """One more."""
        self.count += 1
        if self.count <= _MAX_EXAMPLES:
            self.examples.append(words)

    def findings(self, where: str) -> Iterator[Finding]:
        """The examples, and how many more there are."""
        for words in self.examples:
            yield Finding("broken", where, words)
        if self.count > _MAX_EXAMPLES:
            yield Finding("broken", where, f"and {self.count - _MAX_EXAMPLES:,} more of this kind")


_decode_ledger = msgspec.msgpack.Decoder(Ledger).decode


class PendingFold:
    """One partition of the pending topic: which events wait, and the ledger, at one instant; then the ledger some time later.

    ``num_unseen`` counts events that waited at the instant, and whose row compaction removed before it was read.
    """

    def __init__(self) -> None:
        self.waiting: set[EventRow] = set()
        self.ledger = Ledger()
        self.later = Ledger()
        self.last_deleted = -1
        self.num_unseen = 0
        self.faults = Faults()

    def read(self, key: bytes | None, value: bytes | None, offset: int) -> None:
        """A record from before the instant."""
        if key == LEDGER_KEY:
            self._read_ledger(value, offset)
            self.ledger = self.later
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
        elif value is None and (row := event_row(key)) is not None:
            self.num_unseen += row.offset < self.ledger.position and row not in self.waiting

    def _read_ledger(self, value: bytes | None, offset: int) -> None:
        try:
            ledger = _decode_ledger(value or b"")
        except _UNREADABLE:
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


class _User:
    __slots__ = ("at_instant", "digest", "is_past", "version")

    def __init__(self) -> None:
        self.version = 0
        self.digest = b""
        self.at_instant = _Applied()
        self.is_past = False


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
        """How many events the summaries of the instant are based on; those of erased users are not among them."""
        return sum(user.at_instant.num_events for user in self._users.values())

    def covers(self, row: EventRow) -> bool:
        """Whether the user's summary of the instant covers this event."""
        user = self._users.get(row.user)
        return user is not None and row.offset <= user.at_instant.position

    def read(self, key: bytes | None, value: bytes | None, offset: int) -> None:
        """The next record."""
        if key is None or key == OWNER_KEY:
            return
        if value is None:
            self._users.pop(key, None)
            return
        try:
            record = _decode_version(value)
        except _UNREADABLE:
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


class Offsets:
    """A set of offsets out of ``bounds``, one bit each."""

    def __init__(self, bounds: range) -> None:
        self.bounds = bounds
        self._bits = bytearray((len(bounds) + 7) // 8)

    def add(self, offset: int) -> None:
        """Offsets out of bounds are left out."""
        if offset in self.bounds:
            index = offset - self.bounds.start
            self._bits[index >> 3] |= 1 << (index & 7)

    def __contains__(self, offset: int) -> bool:
        index = offset - self.bounds.start
        return offset in self.bounds and bool(self._bits[index >> 3] >> (index & 7) & 1)

    def __len__(self) -> int:
        return sum(byte.bit_count() for byte in self._bits)

    def gap(self) -> range:
        """From the first to the last offset that is not in the set; empty if all are."""
        if len(self) == len(self.bounds):
            return range(0)
        first = next(offset for offset in self.bounds if offset not in self)
        last = next(offset for offset in reversed(self.bounds) if offset not in self)
        return range(first, last + 1)


class KeptFold:
    """One partition of the events or dead-letters topic: what is there, from the offset ``beginning`` on.

    ``position``: up to where its records are counted. ``first_at_ms``: when the oldest one was written.
    """

    def __init__(self, position: int = 0) -> None:
        self.position = position
        self.beginning = 0
        self.num_below_position = 0
        self.first_at_ms: int | None = None

    def read(self, offset: int, at_ms: int) -> None:
        """The next record."""
        self.num_below_position += offset < self.position
        if self.first_at_ms is None:
            self.first_at_ms = at_ms


class Reach(Struct, frozen=True):
    """How far back events and dead letters are kept, in ms since 1970.

    What was taken in before ``by_age_ms`` may be gone by age, before ``at_all_ms`` otherwise. After it, all is there.
    """

    by_age_ms: float = float("-inf")
    at_all_ms: float = float("-inf")


# The clocks of brokers, workers and platforms differ.
_CLOCKS_MS = 3_600_000


def reach(kept: Iterable[tuple[Iterable[KeptFold], int | None]], now_ms: int) -> Reach:
    """The reach of topics, each given by its partitions and its retention in ms, None for ever."""
    by_age, at_all = [float("-inf")], [float("-inf")]
    for partitions, retention_ms in kept:
        cut = [partition for partition in partitions if partition.beginning]
        if cut and retention_ms is not None:
            by_age.append(now_ms - retention_ms + _CLOCKS_MS)
        at_all += [float("inf") if one.first_at_ms is None else one.first_at_ms for one in cut]
    return Reach(max(by_age), max(at_all))


class _WithOrigin(Struct, frozen=True):
    origin: Origin


class _ArrayWithOrigin(Struct, frozen=True, array_like=True):
    origin: Origin


_decode_event = msgspec.msgpack.Decoder(_ArrayWithOrigin).decode
_decode_letter = msgspec.json.Decoder(_WithOrigin).decode


def event_origin(value: bytes | None) -> Origin | None:
    """Where an event of the events topic came from; None for what intake did not write."""
    return _origin(_decode_event, value)


def letter_origin(value: bytes | None) -> Origin | None:
    """Where a dead letter came from; None for what is none."""
    return _origin(_decode_letter, value)


def _origin(decode: Callable[[bytes], _WithOrigin | _ArrayWithOrigin], value: bytes | None) -> Origin | None:
    try:
        return decode(value or b"").origin
    except _UNREADABLE:
        return None


class SourceFold:
    """One source partition: which of its records were met again by origin, and what became of the others."""

    def __init__(self, topic: str, partition: int, bounds: range) -> None:
        self.topic = topic
        self.partition = partition
        self.met = Offsets(bounds)
        self.older = 0
        self.unsure = 0
        self.lost = 0
        self.first_lost: list[int] = []

    def read(self, offset: int, at_ms: int, reach: Reach) -> None:
        """A record that exists, after everything that was met is known."""
        if offset in self.met or offset not in self.met.bounds:
            return
        if at_ms < reach.by_age_ms:
            self.older += 1
        elif at_ms < reach.at_all_ms:
            self.unsure += 1
        else:
            self.lost += 1
            if self.lost <= _MAX_EXAMPLES:
                self.first_lost.append(offset)


class PartitionFolds(NamedTuple):
    """What was read of one partition of the keyed topics."""

    pending: PendingFold
    summaries: SummariesFold
    events: KeptFold


def conclude(namespace: str, partitions: Mapping[int, PartitionFolds], sources: Sequence[SourceFold]) -> Audit:
    """What follows from everything that was read."""
    accounts = tuple(_partition_account(number, folds) for number, folds in sorted(partitions.items()))
    source_accounts = tuple(_source_account(source) for source in sources)
    findings = [
        finding
        for account in accounts
        for finding in _partition_findings(account, partitions[account.partition], f"partition {account.partition}")
    ]
    findings += [finding for source in sources for finding in _source_findings(source)]
    verdict = _verdict(findings)
    return Audit(
        namespace=namespace,
        verdict=verdict,
        sentence=_sentence(verdict, accounts, source_accounts, findings),
        partitions=accounts,
        sources=source_accounts,
        findings=tuple(findings),
    )


def _partition_account(number: int, folds: PartitionFolds) -> PartitionAccount:
    pending, summaries, events = folds
    ledger = pending.ledger
    return PartitionAccount(
        partition=number,
        position=ledger.position,
        accepted=ledger.accepted,
        applied=summaries.applied,
        pending=sum(row.offset < ledger.position and not summaries.covers(row) for row in pending.waiting),
        redelivered=ledger.redelivered,
        duplicate=ledger.duplicate,
        dead=ledger.dead,
        num_on_topic=events.num_below_position,
        beginning=events.beginning,
        is_moving=pending.later != ledger,
    )


def _partition_findings(account: PartitionAccount, folds: PartitionFolds, where: str) -> Iterator[Finding]:
    pending, summaries, _ = folds
    yield from pending.faults.findings(where)
    yield from summaries.faults.findings(where)
    ahead = max(summaries.highest_position, pending.last_deleted)
    if ahead >= pending.later.position:
        what = f"the ledger stands at {pending.later.position}, and the event at {ahead} is applied already"
        yield Finding("broken", where, what)
    elif pending.num_unseen or summaries.num_unseen or pending.last_deleted >= account.position:
        yield Finding("unsettled", where, "compaction went over what was being read: read again")
    else:
        yield from _sum_findings(account, where)
    yield from _topic_findings(account, pending.ledger.total, pending.later.position, where)


def _sum_findings(account: PartitionAccount, where: str) -> Iterator[Finding]:
    """Every event that was accepted is applied or pending, and no other is."""
    surplus = account.applied + account.pending - account.accepted
    if surplus:
        fate = "too many" if surplus > 0 else "missing"
        what = f"{_events(abs(surplus))} {fate}: {account.applied:,} applied + {account.pending:,} pending"
        yield Finding("broken", where, f"{what}, of {account.accepted:,} accepted")


def _topic_findings(account: PartitionAccount, counted: int, later: int, where: str) -> Iterator[Finding]:
    """Every event of the topic is counted once. There are at most as many as offsets, so that many decide it after a cut."""
    what = f"the ledger counts {_events(counted)} below {account.position:,}, and the events topic has {account.num_on_topic:,}"
    if account.beginning > later:
        yield Finding("broken", where, f"retention removed events from offset {later} on before they were counted")
    elif not account.num_on_topic <= counted <= account.num_on_topic + account.beginning:
        yield Finding("broken", where, what)
    elif account.beginning and counted != account.position:
        yield Finding("undecided", where, f"{what}: retention removed what lay below {account.beginning:,}")


def _source_account(source: SourceFold) -> SourceAccount:
    return SourceAccount(
        topic=source.topic,
        partition=source.partition,
        beginning=source.met.bounds.start,
        committed=source.met.bounds.stop,
        met=len(source.met),
        older=source.older,
        unsure=source.unsure,
        lost=source.lost,
    )


def _source_findings(source: SourceFold) -> Iterator[Finding]:
    where = f"{source.topic}, partition {source.partition}"
    if source.met.bounds.start > source.met.bounds.stop:
        what = f"retention removed records from offset {source.met.bounds.stop} on before they were taken in"
        yield Finding("broken", where, what)
    if source.lost:
        offsets = ", ".join(str(offset) for offset in source.first_lost)
        more = ", ..." if source.lost > _MAX_EXAMPLES else ""
        what = f"{_records(source.lost)} committed and found nowhere: offset {offsets}{more}"
        yield Finding("broken", where, what)
    if source.unsure:
        what = f"{_records(source.unsure)} committed and found nowhere; what was made of them may have been removed"
        yield Finding("undecided", where, what)
    if source.older:
        what = f"{_records(source.older)} older than retention reaches, and not looked for"
        yield Finding("note", where, what)


def _events(count: int) -> str:
    return f"{count:,} event{'' if count == 1 else 's'}"


def _records(count: int) -> str:
    return f"{count:,} record{' is' if count == 1 else 's are'}"


def _verdict(findings: Iterable[Finding]) -> Verdict:
    kinds = {finding.kind for finding in findings}
    if "broken" in kinds:
        return "broken"
    return "undecided" if kinds & {"unsettled", "undecided"} else "holds"


def _sentence(
    verdict: Verdict, accounts: Sequence[PartitionAccount], sources: Sequence[SourceAccount], findings: Sequence[Finding]
) -> str:
    shown = [finding for finding in findings if finding.kind == "broken" or (verdict != "broken" and finding.kind != "note")]
    if shown:
        opening = "Does not hold" if verdict == "broken" else "Cannot be decided"
        facts = "; ".join(f"{finding.where}: {finding.what}" for finding in shown[:_MAX_EXAMPLES])
        more = f"; and {len(shown) - _MAX_EXAMPLES:,} more" if len(shown) > _MAX_EXAMPLES else ""
        return f"{opening}: {facts}{more}."
    accepted, applied, pending = (sum(getattr(one, name) for one in accounts) for name in ("accepted", "applied", "pending"))
    met, older = sum(source.met for source in sources), sum(source.older for source in sources)
    notes = f", and {_records(older)} older than retention reaches" if older else ""
    return (
        f"Holds: {_events(accepted)} accepted = {applied:,} applied + {pending:,} pending, "
        f"and {met:,} source records found again{notes}."
    )
