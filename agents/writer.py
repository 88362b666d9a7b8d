"""The writer: everything a partition's owner writes to Kafka, in one order per topic, acknowledged in that order.

Place in the flow: below collect and write back (the tables), and below intake (events, dead letters).
A :class:`Lane` carries one topic partition. It sends one batch at a time, and gathers for some milliseconds before each: small
batches were half of all CPU time. The first send that fails ends the worker: an idempotent producer would go on after it,
and leave a gap behind what came later.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

import aiokafka

from agents.crash_points import reached
from agents.failstop import stop_now
from agents.fence import TRANSACTION_TIMEOUT_MS, Fenced, renew_epoch
from agents.store import Row, Shard, wall_clock_ms
from prefstream.security import Servers, brokers_of, client_settings
from prefstream.topics import OWNER_KEY

Then = Callable[[], None]
Headers = Sequence[tuple[str, bytes]]
Durable = Callable[[list["Record"], int, int], None]  # records, offset of the last, when they were about to be sent

OWNER_VALUE = b"owner"  # of the barrier record

_MAX_BATCH_BYTES = 512 << 10
_LINGER_SECONDS = 0.02  # how long a lane gathers, unless it has enough for a batch worth its cost
_ENOUGH_RECORDS = 200
_RENEWAL_SECONDS = 10.0  # nothing is sent meanwhile
_MAX_QUEUED = 2_000  # records of one lane; a full lane holds back the agent that fills it


class NotDurable(Exception):
    """A lane was closed before what it carried was durable; its new owner reads it from the source again."""


class Record(NamedTuple):
    """One record to send, and what to do once it is durable. The store keeps no headers."""

    row: Row
    then: Then | None
    headers: Headers = ()


async def start_producer(bootstrap_servers: Servers, fence: str | None = None) -> aiokafka.AIOKafkaProducer:
    """An idempotent producer that waits for all in-sync replicas; it rides out a broker restart of up to two minutes.

    With ``fence`` its id and epoch are those of that transactional id: from the moment another producer starts with the same
    fence, and has written to a partition, the broker refuses what this one still sends there. The batches themselves stay
    plain, so subscribers need no isolation level and a log without markers can be recovered from.
    """
    brokers = brokers_of(bootstrap_servers)
    producer = aiokafka.AIOKafkaProducer(
        bootstrap_servers=brokers.addresses,
        enable_idempotence=True,
        acks="all",
        max_batch_size=_MAX_BATCH_BYTES,
        request_timeout_ms=120_000,
        **client_settings(brokers.security),
    )
    # aiokafka asks for the id of a transactional producer when this is set, and sends transactions only while it is.
    producer._txn_manager.transactional_id = fence
    producer._txn_manager.transaction_timeout_ms = TRANSACTION_TIMEOUT_MS
    try:
        await producer.start()
    except BaseException:  # the broker is away, or the worker was stopped while it waited for it
        await producer.stop()
        raise
    producer._txn_manager.transactional_id = None
    return producer


class Lane:
    """The ordered way to one topic partition. ``put`` never blocks; callers that can wait ask ``is_full`` and ``room``."""

    def __init__(self, producer: aiokafka.AIOKafkaProducer, topic: str, partition: int, durable: Durable | None = None) -> None:
        self._producer = producer
        self._topic = topic
        self._partition = partition
        self._durable = durable
        self._queue: deque[Record] = deque()
        self._num_put = 0
        self._num_durable = 0
        self._wake = asyncio.Event()
        self._moved = asyncio.Event()
        self._is_closed = False
        self.between_batches = asyncio.Lock()  # held while a batch is on its way
        self._task = asyncio.create_task(self._run(), name=f"lane {topic}/{partition}")

    def put(self, row: Row, then: Then | None = None, headers: Headers = ()) -> None:
        """Enqueue one record. ``then`` is called in the acknowledgement, after the store has it."""
        self._queue.append(Record(row, then, headers))
        self._num_put += 1
        self._wake.set()

    @property
    def is_full(self) -> bool:
        """Whether a caller that can wait should."""
        return len(self._queue) >= _MAX_QUEUED

    async def room(self) -> None:
        """Wait until there is room again, or nothing more will be sent."""
        while self.is_full and not self._is_closed:
            await self._next_move()

    async def flushed(self) -> None:
        """Wait until all that was enqueued before this call is durable. Raises :class:`NotDurable` if the lane closes first."""
        target = self._num_put
        while self._num_durable < target:
            if self._is_closed:
                raise NotDurable
            await self._next_move()

    async def _next_move(self) -> None:
        self._moved.clear()
        await self._moved.wait()

    async def _run(self) -> None:
        try:
            while True:
                await self._wake.wait()
                if len(self._queue) < _ENOUGH_RECORDS:
                    await asyncio.sleep(_LINGER_SECONDS)
                async with self.between_batches:
                    await self._send_batch()
        except Exception as error:
            stop_now(f"a record for {self._topic}/{self._partition} could not be made durable", error)

    async def _send_batch(self) -> None:
        builder = self._producer.create_batch()
        records = self._fill(builder)
        self._moved.set()
        reached("lane.sending", self._topic)
        # Before the send: the acknowledgement may be read by a process that was paused since, and owns nothing any more.
        sending_at_ms = wall_clock_ms()
        delivery = await self._producer.send_batch(builder, self._topic, partition=self._partition)
        metadata = await delivery
        if metadata.offset < 0:
            raise RuntimeError("the broker acknowledged a batch without saying where it is")
        reached("lane.sent", self._topic)
        if self._durable is not None:
            self._durable(records, metadata.offset + len(records) - 1, sending_at_ms)
            reached("lane.stored", self._topic)
        for record in records:
            if record.then is not None:
                record.then()
        self._num_durable += len(records)
        self._moved.set()

    def _fill(self, builder: aiokafka.producer.message_accumulator.BatchBuilder) -> list[Record]:
        queue, records = self._queue, []
        while queue:
            (key, value), _, headers = queue[0]
            if builder.append(timestamp=None, key=key, value=value, headers=[*headers]) is None:
                break
            records.append(queue.popleft())
        if not queue:
            self._wake.clear()
        return records

    async def close(self) -> None:
        """Stop sending; what is still queued belongs to the next owner, who reads it from the source again."""
        self._task.cancel()
        await asyncio.wait([self._task])
        self._is_closed = True
        self._moved.set()


async def flush(lanes: Iterable[Lane]) -> None:
    """Wait until everything enqueued in these lanes so far is durable."""
    await asyncio.gather(*(lane.flushed() for lane in lanes))


class PartitionWriter:
    """The one writer of an owned partition: its own producer, a lane and a shard for each table's topic."""

    def __init__(self, producer: aiokafka.AIOKafkaProducer, partition: int, shards: Mapping[str, Shard], fence: str) -> None:
        self._producer = producer
        self._shards = shards
        self._fence = fence
        self._is_closed = False
        self.lanes = {topic: Lane(producer, topic, partition, _store_into(shard)) for topic, shard in shards.items()}

    def put(self, topic: str, key: bytes, value: bytes | None, then: Then | None = None) -> None:
        """Write a row, or with ``None`` delete it: readable at once, stored and followed by ``then`` when it is durable."""
        self.send(topic, self.stage(topic, key, value), then)

    def stage(self, topic: str, key: bytes, value: bytes | None) -> Row:
        """A row that is readable at once, and that is to be sent later: by then nobody may have written to its key."""
        row = (key, value)
        self._shards[topic].stage(row)
        return row

    def send(self, topic: str, row: Row, then: Then | None = None, headers: Headers = ()) -> None:
        """Send a row that is staged."""
        self.lanes[topic].put(row, then, headers)

    async def room(self) -> None:
        """Wait until no lane is full."""
        for lane in self.lanes.values():
            if lane.is_full:
                await lane.room()

    async def renew_fence(self) -> None:
        """Go on under a newer epoch, and show it to each partition that is written. Ends the worker if it has an heir.

        Raises ``KafkaError`` or ``TimeoutError`` when the broker does not answer; the old epoch is as good as before then.
        """
        async with AsyncExitStack() as pause, asyncio.timeout(_RENEWAL_SECONDS):
            for lane in self.lanes.values():
                await pause.enter_async_context(lane.between_batches)
            try:
                await renew_epoch(self._producer, self._fence)
            except Fenced as error:
                if self._is_closed:  # given up meanwhile, and rightly somebody else's
                    return
                stop_now("this worker slept through the loss of a partition", error)
        for topic in self.lanes:
            self.put(topic, OWNER_KEY, OWNER_VALUE)

    async def close(self) -> None:
        """Stop writing."""
        self._is_closed = True
        for lane in self.lanes.values():
            await lane.close()
        await self._producer.stop()


def _store_into(shard: Shard) -> Durable:
    def durable(records: list[Record], last_offset: int, sending_at_ms: int) -> None:
        shard.apply([record.row for record in records], last_offset, sending_at_ms)

    return durable
