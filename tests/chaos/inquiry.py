"""The inquiry: follows every event from its source through the internal topics, and notes what cannot be.

Each class reads one topic's exhibits. An event is *accepted* when it is the first of its origin on the events topic and, if it
has an id, the first of its user with that id. It is applied when its user's summaries reach past it, and that is exact because
the number of new events of each version must be the number of accepted events between its position and the one before.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from kafka.partitioner.default import murmur2

from tests.chaos.exhibits import Exhibits, RawRecord
from tests.chaos.judgement import Fate, Findings
from tests.chaos.readings import (
    BUDGET_KEY,
    LEDGER_KEY,
    OWNER_KEY,
    Arrived,
    LedgerValue,
    Letter,
    Origin,
    SummaryValue,
    TallyValue,
    named,
    read_arrival,
    read_filtered,
    read_ledger,
    read_letter,
    read_num_dead,
    read_row,
    read_summary,
)
from tests.chaos.wishes import Wishes

Outcome = Literal["accepted", "redelivered", "duplicate", "dead", "filtered", "command"]


class Found(NamedTuple):
    """What became of an event, and what says so."""

    fate: Fate
    evidence: str


class Events:
    """The events topic: which events came, which of them first, and in which order."""

    def __init__(self, exhibits: Exhibits, findings: Findings) -> None:
        self.accepted: dict[bytes, list[Arrived]] = defaultdict(list)  # by user, in offset order
        self.duplicates: dict[Origin, Found] = {}
        self.by_origin: dict[Origin, Arrived] = {}
        self.filtered: dict[Origin, Found] = {}
        self.commands: dict[bytes, list[Arrived]] = defaultdict(list)  # by user, in offset order
        self.unlearnt: dict[Origin, Found] = {}
        self.late: set[Origin] = set()
        self.strangers: list[RawRecord] = []
        self.outcomes: dict[int, list[tuple[int, Outcome]]] = defaultdict(list)  # by partition: offset and outcome
        self.topic = f"{exhibits.namespace}.events"
        # A title names a topic as it was called when it was sent: without what tells a former topic from the one of today.
        self._names = {topic_id: topic.partition("@")[0] for topic, topic_id in exhibits.topic_ids.items()}
        self._findings = findings
        self._highest: dict[tuple[bytes, str], Arrived] = {}
        self._last_mark: dict[tuple[bytes, str], int] = {}
        self._opted_out: dict[bytes, Arrived] = {}
        self._first_of_id: dict[tuple[bytes, str], Arrived] = {}
        for record in exhibits.events:
            self.outcomes[record.partition].append((record.offset, self._read(record, exhibits.num_partitions)))

    @property
    def num_redelivered(self) -> int:
        """How many are there again, with the origin of an earlier one."""
        known = [outcome for outcomes in self.outcomes.values() for _, outcome in outcomes]
        return known.count("redelivered") - len(self.late)

    def between(self, user: bytes, position: int, last: int) -> list[Arrived]:
        """The user's accepted events behind ``position`` up to ``last``."""
        accepted = self.accepted[user]
        first, end = (bisect_right(accepted, offset, key=lambda one: one.offset) for offset in (position, last))
        return accepted[first:end]

    def where(self, arrived: Arrived) -> str:
        """Where it lies on the events topic, in words."""
        return f"{self.topic}/{arrived.partition}/{arrived.offset}"

    def _read(self, record: RawRecord, num_partitions: int) -> Outcome:
        if arrived := read_arrival(record, num_partitions):
            return self._outcome(arrived)
        origin = read_filtered(record, num_partitions)
        if origin is None:
            self.strangers.append(record)
            return "dead"
        if origin in self.filtered:
            return "redelivered"
        self.filtered[origin] = Found("filtered", f"{named(record)} says so")
        return "filtered"

    def _outcome(self, arrived: Arrived) -> Outcome:
        """What collect has to make of it."""
        if arrived.origin in self.by_origin:
            return "redelivered"
        self.by_origin[arrived.origin] = arrived
        if self._is_late(arrived):
            self.late.add(arrived.origin)
            self.accepted[arrived.user].append(arrived)
            return "redelivered"
        if arrived.event_id:
            first = self._first_of_id.setdefault((arrived.user, arrived.event_id), arrived)
            if first is not arrived:
                self.duplicates[arrived.origin] = Found("duplicate", f"{self.where(first)} has its id {arrived.event_id!r}")
                return "duplicate"
        if arrived.command:
            self._obey(arrived)
            return "command"
        self._check_mark(arrived)
        if arrived.user in self._opted_out:
            self.unlearnt[arrived.origin] = Found("filtered", f"{self.where(self._opted_out[arrived.user])} opts out")
            return "filtered"
        self.accepted[arrived.user].append(arrived)
        return "accepted"

    def _obey(self, command: Arrived) -> None:
        self.commands[command.user].append(command)
        if command.command == "opt_out":
            self._opted_out.setdefault(command.user, command)
        elif command.command == "opt_in":
            self._opted_out.pop(command.user, None)

    def _is_late(self, arrived: Arrived) -> bool:
        """Whether a later event of its source partition is already there: collect takes it for a redelivered one."""
        highest = self._highest.setdefault((arrived.user, arrived.source), arrived)
        if arrived.step < highest.step:
            words = f"{self.where(arrived)} is at {arrived.step} of its source, behind {highest.step} at {self.where(highest)}"
            self._findings.add("out_of_order", words)
            return True
        self._highest[arrived.user, arrived.source] = arrived
        return False

    def _check_mark(self, arrived: Arrived) -> None:
        """The numbers in the titles rise; those of a retry that came by another way say where the first one was sent."""
        place = (self._names.get(arrived.origin.topic_id), arrived.origin.partition)
        if arrived.mark is None or arrived.mark[:2] != place:
            return
        last = self._last_mark.get((arrived.user, arrived.source), 0)
        if arrived.mark[2] <= last:
            self._findings.add("out_of_order", f"{self.where(arrived)} says it is number {arrived.mark[2]}, after {last}")
        self._last_mark[arrived.user, arrived.source] = arrived.mark[2]


class Letters:
    """The dead letters, the first of each origin: of whole records, and of single events that had been accepted."""

    def __init__(self, exhibits: Exhibits, events: Events, findings: Findings) -> None:
        self.of_records: dict[Origin, Letter] = {}
        self.of_events: dict[Origin, Letter] = {}
        for record in exhibits.dead_letters:
            letter = read_letter(record)
            if letter is None:
                findings.add("impossible", f"{named(record)} is no dead letter")
                continue
            known = (self.of_events if letter.is_event else self.of_records).setdefault(letter.origin, letter)
            if known.reason != letter.reason:
                findings.add("impossible", f"{letter.where} says {letter.reason}, and {known.where} of the same {known.reason}")
        self._check_strangers(exhibits, events, findings)

    def _check_strangers(self, exhibits: Exhibits, events: Events, findings: Findings) -> None:
        """What intake did not write to the events topic has a dead letter, once collect was there."""
        topic_id = exhibits.topic_ids[events.topic]
        for record in events.strangers:
            is_collected = record.offset < exhibits.committed.get((events.topic, record.partition), 0)
            if is_collected and Origin(topic_id, record.partition, record.offset, 0) not in self.of_records:
                findings.add("lost", f"{named(record)} is nothing that intake wrote, and has no dead letter")


class Pending:
    """The pending topic: which rows are there now, and the ledgers."""

    def __init__(self, exhibits: Exhibits, findings: Findings) -> None:
        self.rows: dict[tuple[bytes, int], bytes] = {}  # by user and offset
        self.num_dead: dict[bytes, int] = {}
        self.ledgers: dict[int, LedgerValue] = defaultdict(LedgerValue)
        self._findings = findings
        for record in exhibits.pending:
            if record.key == LEDGER_KEY:
                self._read_ledger(record)
            elif record.key not in (OWNER_KEY, BUDGET_KEY):
                self._read_row(record)

    def _read_ledger(self, record: RawRecord) -> None:
        ledger, before = read_ledger(record), self.ledgers[record.partition]
        if ledger is None:
            self._findings.add("impossible", f"{named(record)} is no ledger")
            return
        if any(now < then for now, then in zip(ledger, before, strict=True)):
            self._findings.add("miscounted", f"{named(record)}: the ledger goes back from {tuple(before)} to {tuple(ledger)}")
        self.ledgers[record.partition] = ledger

    def _read_row(self, record: RawRecord) -> None:
        row = read_row(record.key or b"")
        if row is None:
            self._findings.add("impossible", f"{named(record)} has a key of no row")
        elif row.kind == "failures":
            self._read_failures(row.user, record)
        elif row.kind == "event" and record.value is None:
            self.rows.pop((row.user, row.offset), None)
        elif row.kind == "event":
            self.rows[row.user, row.offset] = record.value or b""

    def _read_failures(self, user: bytes, record: RawRecord) -> None:
        num_dead = 0 if record.value is None else read_num_dead(record.value)
        if num_dead is None:
            self._findings.add("impossible", f"{named(record)} is no row of failures")
        self.num_dead[user] = num_dead or 0

    def check_ledgers(self, events: Events) -> None:
        """Each ledger has counted what lies below its position on the events topic."""
        for partition, ledger in sorted(self.ledgers.items()):
            below = Counter(outcome for offset, outcome in events.outcomes[partition] if offset < ledger.position)
            names: tuple[Outcome, ...] = ("accepted", "redelivered", "duplicate", "dead", "filtered", "command")
            if tuple(below[name] for name in names) != ledger[1:]:
                words = f"the ledger of partition {partition} says {ledger}, and the events topic {dict(below)}"
                self._findings.add("miscounted", words)


class Chain:
    """One user's versions so far."""

    def __init__(self) -> None:
        self.version = 0
        self.num_events = 0
        self.position = -1
        self.texts: dict[int, str] = {}
        self.origins: dict[str, tuple[int, int]] = {}
        self.is_erased = False


class Summaries:
    """The summaries topic: the chain of each user's versions, and what each of them covers."""

    def __init__(self, exhibits: Exhibits, events: Events, letters: Letters, findings: Findings) -> None:
        self.chains: dict[bytes, Chain] = defaultdict(Chain)
        self.found: dict[Origin, Found] = {}
        self.versions: dict[bytes, list[SummaryValue]] = defaultdict(list)
        self.num_versions = 0
        self.progress: list[tuple[int, int]] = []  # when, in ms, and how many events
        self._num_partitions = exhibits.num_partitions
        self._events = events
        self._letters = letters
        self._findings = findings
        for record in exhibits.summaries:
            if record.key != OWNER_KEY:
                self._read(record.key or b"", record)

    def _read(self, user: bytes, record: RawRecord) -> None:
        chain = self.chains[user]
        if record.value is None:
            chain.is_erased, chain.num_events, chain.origins = True, 0, {}
            return
        value = read_summary(record)
        is_placed = (murmur2(user) & 0x7FFFFFFF) % self._num_partitions == record.partition
        if value is None or value.user.encode() != user or not is_placed:
            self._findings.add("impossible", f"{named(record)} is no summary of its key, or in a partition of others")
            return
        self.num_versions += 1
        if self._goes_on(chain, value, named(record)):
            self.progress.append((record.timestamp_ms, value.num_new_events))
            self._cover(user, chain, value, named(record))
            self.versions[user].append(value)

    def _goes_on(self, chain: Chain, value: SummaryValue, where: str) -> bool:
        """Whether this version comes after all before it."""
        was = f"after version {chain.version} with {chain.num_events} events up to {chain.position}"
        now = f"{where} is version {value.version} with {value.num_events} events up to {value.position}"
        if chain.texts.get(value.version, value.text) != value.text:
            self._findings.add("version_rewritten", f"{where} says something else as version {value.version}")
            return False
        if value.version <= chain.version or value.position < chain.position or value.num_events < chain.num_events:
            self._findings.add("went_backwards", f"{now}, {was}")
            return False
        if value.version != chain.version + 1:
            self._findings.add("version_skipped", f"{now}, {was}")
        elif value.previous_version != chain.version:
            self._findings.add("impossible", f"{where}: version {value.version} comes after {value.previous_version}")
        return True

    def _cover(self, user: bytes, chain: Chain, value: SummaryValue, where: str) -> None:
        """Hold the version against the events between its position and the one before."""
        events = self._events.between(user, chain.position, value.position)
        dead = [one for one in events if one.origin in self._letters.of_events]
        alive = sorted((one for one in events if one not in dead), key=lambda one: one.origin in self._events.late)
        self._check_counts(chain, value, where, num_events=len(events), num_alive=len(alive))
        self._check_origins(chain, alive, value, where)
        if value.num_new_events and value.position not in [one.offset for one in events]:
            self._findings.add("impossible", f"{where} reaches to {value.position}, where no event of the user is")
        covered = f"{where} has {value.num_new_events} of the {len(alive)} events up to {value.position}"
        for number, one in enumerate(alive):
            self.found[one.origin] = Found("applied" if number < value.num_new_events else "lost", covered)
        for one in dead:
            self.found[one.origin] = Found("dead", self._letters.of_events[one.origin].where)
        chain.version, chain.num_events, chain.position = value.version, value.num_events, value.position
        chain.texts[value.version] = value.text
        chain.is_erased = False

    def _check_counts(self, chain: Chain, value: SummaryValue, where: str, *, num_events: int, num_alive: int) -> None:
        new, tally = value.num_new_events, value.tally
        if new > num_events:
            self._findings.add("doubled", f"{where} has {new} new events, and there are {num_events}", new - num_events)
        if min(new, num_events) > num_alive:
            more = min(new, num_events) - num_alive
            self._findings.add("dead_and_applied", f"{where} has {new} new events, and {num_alive} are not dead", more)
        if value.num_events != chain.num_events + new:
            self._findings.add("miscounted", f"{where}: {chain.num_events} and {new} events are not {value.num_events}")
        if tally != TallyValue() and tally.num_events != value.num_events and not self._is_rolled_back(value):
            self._findings.add("miscounted", f"{where}: {value.num_events} events, and its tally has {tally.num_events}")
        if sum(domain.num_events for domain in tally.domains.values()) > tally.num_events:
            self._findings.add("impossible", f"{where}: its tally has fewer events than its domains")

    def _is_rolled_back(self, value: SummaryValue) -> bool:
        """Whether the tally may be that of an earlier version: a roll back learns from nothing again."""
        asked = self._events.commands[value.user.encode()]
        rolled_back = any(one.command == "roll_back" and one.offset <= value.command_position for one in asked)
        return rolled_back and value.tally.num_events < value.num_events

    def _check_origins(self, chain: Chain, alive: Iterable[Arrived], value: SummaryValue, where: str) -> None:
        for one in alive:
            chain.origins[one.source] = max(one.step, chain.origins.get(one.source, one.step))
        if value.origins != chain.origins:
            self._findings.add("miscounted", f"{where}: its origins are {value.origins}, not {chain.origins}")
            chain.origins = dict(value.origins)


def settle(
    exhibits: Exhibits,
    events: Events,
    letters: Letters,
    pending: Pending,
    summaries: Summaries,
    wishes: Wishes,
    findings: Findings,
) -> dict[Origin, Found]:
    """What became of every event of the events topic, by origin: in a summary, a duplicate, waiting, dead, or lost.

    Of every command too: it is decided when it has a receipt.
    """
    found = summaries.found | events.duplicates | events.unlearnt | _decided(events, wishes)
    for user, accepted in events.accepted.items():
        chain = summaries.chains[user]
        for one in accepted:
            if one.offset > chain.position:
                found[one.origin] = _beyond(one, exhibits, events, letters, pending)
        if chain.is_erased:
            erased = [one.origin for one in accepted if found[one.origin].fate in ("applied", "lost")]
            found |= dict.fromkeys(erased, Found("erased", f"the tombstone of user {user!r}"))
    _check_rows(events, pending, findings)
    _check_failures(events, letters, pending, findings)
    return found


def _decided(events: Events, wishes: Wishes) -> dict[Origin, Found]:
    found = {}
    for user, asked in events.commands.items():
        for one in asked:
            where = wishes.receipt_of(user, one.offset)
            found[one.origin] = (
                Found("command", where) if where else Found("pending", f"{events.where(one)} has no receipt yet")
            )
    return found


def _beyond(one: Arrived, exhibits: Exhibits, events: Events, letters: Letters, pending: Pending) -> Found:
    """What became of an event that no summary reaches."""
    if (one.user, one.offset) in pending.rows:
        return Found("pending", f"its row of {events.where(one)} on {exhibits.namespace}.pending")
    if one.origin in letters.of_events:
        return Found("dead", letters.of_events[one.origin].where)
    committed = exhibits.committed.get((events.topic, one.partition), 0)
    if one.offset >= min(committed, pending.ledgers[one.partition].position):
        return Found("pending", f"{events.where(one)} is not collected yet")
    return Found("lost", f"{events.where(one)} is collected, and has no summary, no row and no dead letter")


def _check_rows(events: Events, pending: Pending, findings: Findings) -> None:
    """Each row is an accepted event of its user, as it lies on the events topic."""
    values = {(one.user, one.offset): one.value for accepted in events.accepted.values() for one in accepted}
    for row, value in pending.rows.items():
        if values.get(row) != value:
            findings.add("impossible", f"the pending row of user {row[0]!r} at {row[1]} is none of their events")


def _check_failures(events: Events, letters: Letters, pending: Pending, findings: Findings) -> None:
    """Each user's row of failures counts the dead letters of their events; a row that is still there will be counted."""
    dead = Counter(
        one.user
        for accepted in events.accepted.values()
        for one in accepted
        if one.origin in letters.of_events and (one.user, one.offset) not in pending.rows
    )
    for user in sorted(dead.keys() | pending.num_dead.keys()):
        if dead[user] != pending.num_dead.get(user, 0):
            counted = pending.num_dead.get(user, 0)
            findings.add("miscounted", f"user {user!r}: {counted} dead events are counted, and there are {dead[user]}")


def num_leftovers(pending: Pending, summaries: Summaries) -> int:
    """How many rows are covered by a summary already."""
    return sum(offset <= summaries.chains[user].position for user, offset in pending.rows)


def check_history(exhibits: Exhibits, findings: Findings) -> None:
    """Whether the events topic and the summaries topic still have every record that was ever written to them."""
    present = Counter((one.topic, one.partition) for one in (*exhibits.events, *exhibits.summaries))
    for name in ("events", "summaries"):
        topic = f"{exhibits.namespace}.{name}"
        for place, end in exhibits.ends.items():
            if place[0] == topic and present[place] != end:
                findings.add("history_incomplete", f"{topic}/{place[1]} has {present[place]} records of {end}")


def longest_stall_seconds(arrived_ms: Sequence[int], progress: Sequence[tuple[int, int]], until_ms: int) -> float:
    """The longest time in which something waited and no summary came.

    ``arrived_ms`` are the times of the events that are in a summary or wait, ``progress`` those of the summaries, with the
    number of events in each.
    """
    steps = sorted([(at_ms, 0, 1) for at_ms in arrived_ms] + [(at_ms, 1, -count) for at_ms, count in progress])
    waiting, since_ms, longest_ms = 0, 0, 0
    for at_ms, is_summary, change in steps:
        if is_summary:
            longest_ms = max(longest_ms, at_ms - since_ms) if waiting > 0 else longest_ms
            since_ms = at_ms
        elif waiting <= 0:
            since_ms = at_ms
        waiting += change
    if waiting > 0:
        longest_ms = max(longest_ms, until_ms - since_ms)
    return longest_ms / 1_000
