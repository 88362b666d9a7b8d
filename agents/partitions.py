"""Partitions: all that this worker owns right now: opened when the group assigns a partition, closed when it is revoked.

Place in the flow: around :mod:`agents.owned`. Opening one fences its former owner; the restore after recovery is begun here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import structlog

from agents.owned import Owned
from agents.store import Shard
from agents.writer import OWNER_VALUE, PartitionWriter, flush, start_producer
from prefstream.security import Servers
from prefstream.topics import OWNER_KEY, TopicNames
from streams.flush import FlushPolicy
from streams.forgetting import Hiding
from streams.ledger import Ledger

log = structlog.get_logger()


class Partitions:
    """All owned partitions, by number."""

    def __init__(self, bootstrap_servers: Servers, topics: TopicNames, policy: FlushPolicy, hiding: Hiding) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topics = topics
        self._policy = policy
        self._hiding = hiding
        self._owned: dict[int, Owned] = {}
        self._num_closes = 0
        self.num_restored_events = 0  # found pending when partitions came, over this process's life
        self.num_released_events = 0  # still pending when they went

    def __iter__(self) -> Iterator[Owned]:
        return iter(list(self._owned.values()))

    def get(self, number: int) -> Owned | None:
        """The ownership of a partition, or ``None``."""
        return self._owned.get(number)

    async def open_all(self, shards: Mapping[int, dict[str, Shard]]) -> None:
        """Take ownership of these partitions, one after another, until it is given up: a revoke may come in between."""
        num_closes = self._num_closes
        for number, of_number in sorted(shards.items()):
            if self._num_closes == num_closes:
                await self.open(number, of_number)

    async def open(self, number: int, shards: dict[str, Shard]) -> None:
        """Take ownership: a producer of its own, and a barrier record at the end of each topic it writes.

        From the barrier on, the broker refuses what a former owner still sends. It comes before recovery reads the end
        offsets, so recovery has everything that was ever accepted, and always a last record to wait for.
        """
        fence, num_closes = f"{self._topics.namespace}-{number}", self._num_closes
        producer = await start_producer(self._bootstrap_servers, fence=fence)
        try:
            for topic in shards:
                await producer.send_and_wait(topic, OWNER_VALUE, key=OWNER_KEY, partition=number)
        except BaseException:  # a rebalance cancels this
            await producer.stop()
            raise
        if self._num_closes != num_closes:  # it may belong to somebody else by now
            await producer.stop()
            return
        for shard in shards.values():
            shard.unstage()
        writer = PartitionWriter(producer, number, shards, fence)
        self._owned[number] = Owned(number, writer, self._topics, shards, self._policy, self._hiding)

    def restore(self) -> None:
        """Rebuild every index after recovery."""
        for owned in self:
            owned.restore()
            self.num_restored_events += owned.index.num_events
        num_users, num_events = (sum(getattr(owned.index, what) for owned in self) for what in ("num_users", "num_events"))
        log.info("partitions restored", partitions=len(self._owned), pending_users=num_users, pending_events=num_events)

    def refresh(self, *, also_fresh: bool = False) -> None:
        """Keep the stores of idle partitions young enough to be trusted at the next start."""
        for owned in self:
            owned.refresh(also_fresh=also_fresh)

    def ledgers(self) -> list[tuple[Owned, Ledger]]:
        """The counts as they are now, of the partitions whose counts are known: a worker may be stopped during its recovery."""
        return [(owned, owned.ledger) for owned in self if owned.is_restored]

    async def flush(self) -> None:
        """Wait until everything written so far is durable; a version is sent when its row of the history is."""
        for topic in (self._topics.pending, self._topics.history, self._topics.summaries):
            await flush(owned.writer.lanes[topic] for owned in self)

    async def renew_fences(self) -> None:
        """Take a newer epoch for every owned partition, one after another.

        Not before it is restored: it writes to the end of the log, and the store would take that for its own.
        """
        for owned in self:
            if owned.is_alive and owned.is_restored:
                await owned.writer.renew_fence()

    async def close(self) -> None:
        """Give up ownership of everything."""
        self._num_closes += 1
        closing, self._owned = self._owned, {}
        for owned in closing.values():
            await owned.close()
            self.num_released_events += owned.index.num_events
