"""Partitions: what this worker owns right now, and with it the right to write.

Place in the flow: opened when the consumer group assigns a partition, closed when it is revoked. An :class:`Owned` object *is*
the ownership of one partition for one assignment: whoever keeps a reference to an old one finds ``is_alive`` false, so an
answer that comes back after a rebalance is dropped even when the same worker owns the partition again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

import msgspec
import structlog

from agents.store import Shard
from agents.writer import PartitionWriter, flush, start_producer
from prefstream.summaries import Summary, decode_summary
from prefstream.topics import OWNER_KEY, TopicNames
from streams.flush import FlushPolicy
from streams.keys import EventKey, event_key, parse_key, recent_ids_key
from streams.pending import Due, Known, PendingIndex, Place
from streams.records import Arrival, decode_arrival
from streams.versions import Step, remember_ids

log = structlog.get_logger()

Rows = list[tuple[int, Arrival]]

_encode_ids = msgspec.msgpack.Encoder().encode
_decode_ids = msgspec.msgpack.Decoder(list[str]).decode


class _Covered(msgspec.Struct, frozen=True):
    """The part of a summary that tells old events from new ones, read without the rest."""

    position: int = -1
    origins: dict[str, Place] = {}


_decode_covered = msgspec.json.Decoder(_Covered).decode


class Owned:
    """One owned partition: its writer, its two shards, its index of who waits."""

    def __init__(
        self, number: int, writer: PartitionWriter, topics: TopicNames, shards: dict[str, Shard], policy: FlushPolicy
    ) -> None:
        self.number = number
        self.writer = writer
        self.is_alive = True
        self.is_restored = False
        self.index = PendingIndex(policy)
        self._topics = topics
        self._pending = shards[topics.pending]
        self._summaries = shards[topics.summaries]

    def known(self, user: bytes) -> Known:
        """What the stored state knows of a user's past events."""
        stored = self._summaries.get(user)
        covered = _decode_covered(stored) if stored else _Covered()
        return Known(covered.position, covered.origins, frozenset(self._recent_ids(user)))

    def _recent_ids(self, user: bytes) -> list[str]:
        stored = self._pending.get(recent_ids_key(user))
        return _decode_ids(stored) if stored else []

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

    def append(self, user: bytes, offset: int, value: bytes) -> None:
        """Store a pending event."""
        self.writer.put(self._topics.pending, event_key(user, offset), value)

    def forget_covered(self, user: bytes, offsets: Iterable[int], event_ids: Iterable[str]) -> None:
        """Delete pending events that a durable summary covers; their ids move to the user's recent ids first.

        Both are rows of one topic in one order: at no instant is an id in neither place.
        """
        ids = list(event_ids)
        if ids:
            recent = remember_ids(self._recent_ids(user), ids)
            self.writer.put(self._topics.pending, recent_ids_key(user), _encode_ids(recent))
        for offset in offsets:
            self.writer.put(self._topics.pending, event_key(user, offset), None)

    def publish(self, user: bytes, summary: bytes, step: Step, then: Callable[[], None]) -> None:
        """Publish a summary, which is its storing too. Once it is durable, its events are deleted and ``then`` is called."""

        def durable() -> None:
            if self.is_alive:
                self.forget_covered(user, step.offsets, step.event_ids)
                then()

        self.writer.put(self._topics.summaries, user, summary, durable)

    def restore(self) -> None:
        """After recovery: rebuild the index from the table, and finish deletes that a crash cut short."""
        waiting: dict[bytes, Rows] = defaultdict(list)
        for key, value in self._pending.scan(b"e"):
            parsed = parse_key(key)
            if isinstance(parsed, EventKey):
                waiting[parsed.user].append((parsed.offset, decode_arrival(value)))
        for user, rows in waiting.items():
            self._restore_user(user, rows)
        self.is_restored = True
        log.info("partition restored", partition=self.number, users=self.index.num_users, events=self.index.num_events)

    def _restore_user(self, user: bytes, rows: Rows) -> None:
        known = self.known(user)
        covered = [(offset, arrival) for offset, arrival in rows if offset <= known.position]
        self.forget_covered(
            user, (offset for offset, _ in covered), (arrival.event_id for _, arrival in covered if arrival.event_id)
        )
        self.index.restore(user, rows[len(covered) :], self.known(user))

    async def close(self) -> None:
        """The partition may belong to somebody else from now on."""
        self.is_alive = False
        await self.writer.close()


class Partitions:
    """All owned partitions, by number."""

    def __init__(self, bootstrap_servers: str, topics: TopicNames, policy: FlushPolicy) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topics = topics
        self._policy = policy
        self._owned: dict[int, Owned] = {}

    def __iter__(self) -> Iterator[Owned]:
        return iter(list(self._owned.values()))

    def get(self, number: int) -> Owned | None:
        """The ownership of a partition, or ``None``."""
        return self._owned.get(number)

    async def open(self, number: int, shards: dict[str, Shard]) -> None:
        """Take ownership: a producer of its own, and a barrier record at the end of each topic it writes.

        From the barrier on, the broker refuses what a former owner still sends. It comes before recovery reads the end
        offsets, so recovery has everything that was ever accepted, and always a last record to wait for.
        """
        producer = await start_producer(self._bootstrap_servers, fence=f"{self._topics.namespace}-{number}")
        try:
            for topic in shards:
                await producer.send_and_wait(topic, b"owner", key=OWNER_KEY, partition=number)
        except BaseException:  # a rebalance cancels this
            await producer.stop()
            raise
        for shard in shards.values():
            shard.unstage()
        self._owned[number] = Owned(number, PartitionWriter(producer, number, shards), self._topics, shards, self._policy)

    def restore(self) -> None:
        """Rebuild every index after recovery."""
        for owned in self:
            owned.restore()

    async def flush(self) -> None:
        """Wait until everything written so far is durable."""
        await flush(lane for owned in self for lane in owned.writer.lanes.values())

    async def close(self) -> None:
        """Give up ownership of everything."""
        closing, self._owned = self._owned, {}
        for owned in closing.values():
            await owned.close()
