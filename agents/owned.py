"""Owned: one partition of which this worker is the owner, its rows, and the right to write them.

Place in the flow: what collect, dispatch and write back read from and write to. An :class:`Owned` object *is* the ownership of
one partition for one assignment: whoever keeps a reference to an old one finds ``is_alive`` false, so an answer that comes
back after a rebalance is dropped even when the same worker owns the partition again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable

import msgspec
from msgspec.structs import replace

from agents.clock import now_ms
from agents.ending import Ending
from agents.fences import Fences
from agents.history import History
from agents.store import Shard
from agents.writer import OWNER_VALUE, Headers, PartitionWriter, Then
from prefstream.dead_letters import Origin
from prefstream.history import KeptVersion, version_of
from prefstream.summaries import Summary, decode_summary
from prefstream.topics import OWNER_KEY, TopicNames
from streams.controls import Controls, Decided, decode_controls, decode_decided, encode_controls, encode_decided
from streams.failures import Failures, after_death, after_success, decode_failures, encode_failures, not_waiting_for
from streams.flush import FlushPolicy
from streams.forgetting import Ended, Fence, Hiding, Life
from streams.keys import (
    DecidedKey,
    EventKey,
    controls_key,
    decided_key,
    event_key,
    event_offset,
    failures_key,
    parse_key,
    recent_ids_key,
)
from streams.ledger import LEDGER_KEY, Ledger, Outcome, decode_ledger, encode_ledger
from streams.pending import Due, Known, PendingIndex
from streams.places import Place, highest, place_of, source_name, source_of
from streams.records import Arrival, Passed, Recent, decode_arrival, decode_recent, encode_recent, not_after, remember_ids
from streams.versions import Step

Rows = list[tuple[int, Arrival]]


class _Covered(msgspec.Struct, frozen=True):
    """The part of a summary that tells old events from new ones, read without the rest."""

    position: int = -1
    origins: dict[str, Place] = {}


_decode_covered = msgspec.json.Decoder(_Covered).decode


class Owned:
    """One owned partition: its writer, its two shards, its index of who waits."""

    def __init__(
        self,
        number: int,
        writer: PartitionWriter,
        topics: TopicNames,
        shards: dict[str, Shard],
        policy: FlushPolicy,
        hiding: Hiding,
    ) -> None:
        self.number = number
        self.writer = writer
        self.is_alive = True
        self.is_restored = False
        self.index = PendingIndex(policy)
        self.ledger = Ledger()
        self._counted_below = 0
        self._topics = topics
        self._policy = policy
        self._shards = shards
        self._pending = shards[topics.pending]
        self._summaries = shards[topics.summaries]
        self.history = History(writer, topics.history, shards[topics.history])
        self._deciding: Counter[bytes] = Counter()
        self.fences = Fences(self._pending, lambda key, value, then: writer.put(topics.pending, key, value, then), hiding)
        self.ending = Ending(writer, topics, shards, self.fences, self.history)

    def known(self, user: bytes) -> Known:
        """What the stored state knows of a user's past events."""
        stored = self._summaries.get(user)
        covered = _decode_covered(stored) if stored else _Covered()
        recent = self._recent(user).counted(self.ledger.position)
        return Known(covered.position, highest(covered.origins, recent.origins), frozenset(recent.event_ids))

    def _recent(self, user: bytes) -> Recent:
        stored = self._pending.get(recent_ids_key(user))
        return decode_recent(stored) if stored else Recent()

    def _write_recent(self, user: bytes, recent: Recent) -> None:
        self.writer.put(self._topics.pending, recent_ids_key(user), encode_recent(recent))

    def note_passed(self, user: bytes, offset: int, arrival: Arrival) -> None:
        """Remember where what no summary will cover stood in its source, so that it is known when it is read again."""
        recent = self._recent(user).counted(self._counted_below)
        passed = Passed(offset, source_of(arrival), place_of(arrival), arrival.event_id)
        self._write_recent(user, replace(recent, uncounted=(*recent.uncounted, passed)))

    def controls(self, user: bytes) -> Controls:
        """What the user has asked for."""
        stored = self._pending.get(controls_key(user))
        return decode_controls(stored) if stored else self.fences.controls(user)

    def life(self, user: bytes) -> Life:
        """Which of the user's lives it is: what began in another one is to come to nothing."""
        return self.fences.life(user)

    def past(self, user: bytes, version: int) -> KeptVersion | None:
        """A version of this life that is kept; those of an ended one can be read until their deletion is sent."""
        summary = self.summary(user)
        is_of_this_life = version > self.life(user).last_version
        return self.history.at(user, version, summary.version) if summary and is_of_this_life else None

    def is_deciding(self, user: bytes) -> bool:
        """Whether a version that a command made is on its way: it can be read, and nobody may publish one before it."""
        return user in self._deciding

    def decide(self, user: bytes, controls: Controls, decided: Decided, then: Callable[[], None]) -> None:
        """Keep what a command made, which takes effect at once; ``then`` is called when all of it is durable.

        In this order: the decision, the controls, which are the commit point, the version among those kept, and the version as
        the current one. A restore makes up for what a
        crash cut short behind the controls, and until then the decision is there.
        """
        key = decided_key(user, controls.position)
        self.writer.put(self._topics.pending, key, encode_decided(decided))
        if not decided.summary:
            self.writer.put(self._topics.pending, controls_key(user), encode_controls(controls), then)
            return
        row = self.writer.stage(self._topics.summaries, user, decided.summary)
        kept = self.history.stage(user, version_of(decode_summary(decided.summary), decided.receipt.command))
        self._deciding[user] += 1

        def committed() -> None:
            self._is_decided(user)
            self.history.send(kept, lambda: self.writer.send(self._topics.summaries, row, then))

        self.writer.put(self._topics.pending, controls_key(user), encode_controls(controls), committed)

    def _is_decided(self, user: bytes) -> None:
        self._deciding.subtract([user])
        if not self._deciding[user]:
            del self._deciding[user]

    def unreceipted(self) -> list[tuple[DecidedKey, Decided]]:
        """The commands that are decided and whose receipts are not known to be durable, each user's in their order."""
        rows = ((parse_key(key), decode_decided(value)) for key, value in self._pending.scan(b"r"))
        return [
            (key, decided)
            for key, decided in rows
            if isinstance(key, DecidedKey) and key.offset <= max(self.controls(key.user).position, self.life(key.user).began_at)
        ]

    def republish(self, user: bytes, decided: Decided, then: Callable[[], None]) -> None:
        """Publish the version of a command that a crash cut short. ``then`` is called when it is durable, or was already.

        A version of a life that was ended since was durable before its end, and is not to come again.
        """
        current, cut_short = self.summary(user), decode_summary(decided.summary)
        if max(current.version if current else 0, self.life(user).last_version) >= cut_short.version:
            then()
        else:
            self._publish(user, decided.summary, version_of(cut_short, decided.receipt.command), then)

    def _publish(self, user: bytes, summary: bytes, kept: KeptVersion, then: Then, headers: Headers = ()) -> None:
        """Publish a version, readable at once, behind its row of the history; of one user they are published in order."""
        row = self.writer.stage(self._topics.summaries, user, summary)
        self.history.keep(user, kept, lambda: self.writer.send(self._topics.summaries, row, then, headers))

    def receipted(self, user: bytes, position: int, then: Then | None = None) -> None:
        """The receipt of the command at this offset is durable."""
        self.writer.put(self._topics.pending, decided_key(user, position), None, then)

    def ended(self, user: bytes) -> Ended:
        """What a `forget` ends. To be asked when everything collected is durable: rows that are on their way are not found."""
        summary, failures = self.summary(user), self.failures(user)
        position = summary.position if summary else -1
        offsets = map(event_offset, self.ending.keys(b"e", user))
        return Ended(
            last_version=summary.version if summary else self.life(user).last_version,
            num_applied=summary.num_events if summary else 0,
            num_pending=sum(offset > position and offset != failures.last_dead for offset in offsets),
            num_given_up=failures.num_dead,
            is_opted_out=self.controls(user).is_opted_out,
        )

    def forget(self, user: bytes, fence: Fence, decided: Decided, then: Then) -> int:
        """End the user's life; ``then`` is called when it is deleted on all topics. Returns how many events waited in it."""
        self._deciding[user] += 1
        num_waiting = self.index.forget(user)
        self.ending.begin(user, fence, decided, lambda: self._is_decided(user), then)
        return num_waiting

    def summary(self, user: bytes) -> Summary | None:
        """The user's current summary."""
        stored = self._summaries.get(user)
        return decode_summary(stored) if stored else None

    def rows(self, due: Due) -> Rows:
        """The pending events a due user's call takes."""
        rows = []
        for offset in due.offsets:
            stored = self._pending.get(event_key(due.user, offset))
            if stored is None:
                raise LookupError(f"a pending event of partition {self.number} at offset {offset} is not in its table")
            rows.append((offset, decode_arrival(stored)))
        return rows

    def row(self, key: bytes) -> bytes | None:
        """A row of the partition itself."""
        return self._pending.get(key)

    def write_row(self, key: bytes, value: bytes) -> None:
        """Keep a row of the partition itself."""
        self.writer.put(self._topics.pending, key, value)

    def count(self, offset: int, outcome: Outcome) -> None:
        """Count what became of an event of the keyed topic."""
        self.ledger = self.ledger.counted(offset, outcome)

    def note_filtered(self, origin: Origin) -> Outcome:
        """Whether a filtered record is a new one; it is known from now on, in the ledger that counts it."""
        source = source_name(origin)
        if self.ledger.knows_filtered(source, origin.offset):
            return "redelivered"
        self.ledger = self.ledger.with_filtered(source, origin.offset)
        return "filtered"

    def write_ledger(self, ledger: Ledger) -> None:
        """Write the counts. Everything they count must be durable or on its way in this partition's own lane."""

        def durable() -> None:
            self._counted(ledger.position)

        self.writer.put(self._topics.pending, LEDGER_KEY, encode_ledger(ledger), durable)

    def _counted(self, position: int) -> None:
        """The ledger has durably counted every event below this offset."""
        self._counted_below = position
        self.index.countersigned(position)

    def append(self, user: bytes, offset: int, value: bytes) -> None:
        """Store a pending event."""
        self.writer.put(self._topics.pending, event_key(user, offset), value)

    def forget_covered(self, user: bytes, offsets: Iterable[int], event_ids: Iterable[str]) -> None:
        """Delete pending events that a durable summary covers; their ids move to the user's recent ids first.

        Both are rows of one topic in one order: at no instant is an id in neither place.
        """
        ids = list(event_ids)
        if ids:
            recent = self._recent(user)
            self._write_recent(user, replace(recent, event_ids=remember_ids(recent.event_ids, ids)))
        for offset in offsets:
            self.writer.put(self._topics.pending, event_key(user, offset), None)

    def failures(self, user: bytes) -> Failures:
        """How the user's calls have failed, and what was given up of the user's events."""
        stored = self._pending.get(failures_key(user))
        return not_waiting_for(decode_failures(stored), self._policy, now_ms()) if stored else Failures()

    def _write_failures(self, user: bytes, failures: Failures, then: Callable[[], None] | None = None) -> None:
        value = encode_failures(failures) if failures != Failures() else None
        self.writer.put(self._topics.pending, failures_key(user), value, then)

    def note_failures(self, user: bytes, failures: Failures) -> None:
        """Keep what the user's row of failures says now."""
        self._write_failures(user, failures)

    def fail(self, user: bytes, failures: Failures) -> None:
        """Keep what a failed call makes of the user, who is free again when that is durable."""
        life = self.life(user)

        def durable() -> None:
            if self.life(user) == life:
                self.index.failed(user, failures)
            else:
                self.index.released(user, now_ms())

        self._write_failures(user, failures, durable)

    def bury(self, user: bytes, offset: int, arrival: Arrival, then: Callable[[], None]) -> None:
        """Give up a condemned event whose dead letter is durable. ``then`` is called when its row is gone.

        In this order: what tells the event when it comes again; the count, which is the commit point; the delete, which a
        restore makes up for. A crash before the count repeats the dead letter, and counts it once.
        """
        recent = self._recent(user)
        ids = remember_ids(recent.event_ids, [arrival.event_id] if arrival.event_id else [])
        origins = highest(recent.origins, {source_of(arrival): place_of(arrival)})
        self._write_recent(user, replace(recent, event_ids=ids, origins=origins))
        self._write_failures(user, after_death(self.failures(user)))
        self.writer.put(self._topics.pending, event_key(user, offset), None, then)

    def settled(self, user: bytes, position: int, now_ms: int) -> None:
        """It is durable what became of the user's events up to this offset: the user is free again."""
        self.index.covered(user, position, now_ms, self.failures(user))

    def publish(self, user: bytes, summary: Summary, encoded: bytes, step: Step, then: Then, headers: Headers = ()) -> None:
        """Publish a summary, which is its storing too. Once it is durable, its events are deleted and ``then`` is called."""

        def durable() -> None:
            if not self.is_alive:
                return
            if self.life(user) != step.life:  # erased behind it, and counted so
                self.index.released(user, now_ms())
                return
            self.forget_covered(user, step.offsets, step.event_ids)
            self._forgive(user, step.offsets[-1])
            then()

        self._publish(user, encoded, version_of(summary), durable, headers)

    def _forgive(self, user: bytes, position: int) -> None:
        before = self.failures(user)
        after = after_success(before, position)
        if after != before:
            self._write_failures(user, after)

    def restore(self) -> None:
        """After recovery: rebuild the index from the table, and finish deletes that a crash cut short.

        Events at or after the ledger's position are left out: they were not counted yet, and are read again.
        """
        stored = self._pending.get(LEDGER_KEY)
        self.ledger = decode_ledger(stored) if stored else Ledger()
        self._counted(self.ledger.position)
        waiting: dict[bytes, Rows] = defaultdict(list)
        restored_at_ms = now_ms()
        for key, value in self._pending.scan(b"e"):
            parsed = parse_key(key)
            if isinstance(parsed, EventKey) and parsed.offset < self.ledger.position:
                waiting[parsed.user].append((parsed.offset, not_after(decode_arrival(value), restored_at_ms)))
        self.fences.load()
        for user, rows in waiting.items():
            began_at = self.life(user).began_at
            self._restore_user(user, [(offset, arrival) for offset, arrival in rows if offset > began_at])
        self.is_restored = True

    def _restore_user(self, user: bytes, rows: Rows) -> None:
        if not rows:  # of a life that was ended, and about to be deleted
            return
        known, failures = self.known(user), self.failures(user)
        rows = self._without_dead(user, rows, failures)
        covered = [(offset, arrival) for offset, arrival in rows if offset <= known.position]
        self.forget_covered(
            user, (offset for offset, _ in covered), (arrival.event_id for _, arrival in covered if arrival.event_id)
        )
        self.index.restore(user, rows[len(covered) :], self.known(user), failures)

    def _without_dead(self, user: bytes, rows: Rows, failures: Failures) -> Rows:
        if any(offset == failures.last_dead for offset, _ in rows):
            self.writer.put(self._topics.pending, event_key(user, failures.last_dead), None)
        return [(offset, arrival) for offset, arrival in rows if offset != failures.last_dead]

    def refresh(self, *, also_fresh: bool = False) -> None:
        """Write something to each table's log that had nothing to carry for long: its acknowledgement stamps the store."""
        for topic, shard in self._shards.items():
            # Before the restore a stamp at the log's end would claim what is not recovered yet.
            if self.is_restored and (also_fresh or shard.wants_refreshing):
                self.writer.put(topic, OWNER_KEY, OWNER_VALUE)

    async def close(self) -> None:
        """The partition may belong to somebody else from now on."""
        self.is_alive = False
        await self.writer.close()
