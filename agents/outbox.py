"""Outbox: the way out of intake, for events to the keyed topic and for dead letters, which can never succeed; and for receipts.

Place in the flow: intake and collect put records here; they are durable before the offset of their source is committed.
"""

from __future__ import annotations

from collections.abc import Iterable

import aiokafka

from agents.writer import Headers, Lane, Then, flush, start_producer
from prefstream.dead_letters import DeadLetter, encode_letter, letter_key
from prefstream.receipts import Receipt, encode_receipt
from prefstream.security import Servers
from prefstream.topics import NUM_DEAD_LETTER_PARTITIONS, TopicNames
from streams.keys import murmur2_partition
from streams.routing import Forward


class Outbox:
    """One idempotent producer and a lane for each partition of the events, receipts and dead-letter topics."""

    def __init__(self, bootstrap_servers: Servers, topics: TopicNames, num_partitions: int) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topics = topics
        self._num_partitions = num_partitions
        self._events: list[Lane] = []
        self._receipts: list[Lane] = []
        self._letters: list[Lane] = []
        self._producer: aiokafka.AIOKafkaProducer | None = None

    async def open(self) -> None:
        """Connect to the broker."""
        self._producer = producer = await start_producer(self._bootstrap_servers)
        self._events = [Lane(producer, self._topics.events, number) for number in range(self._num_partitions)]
        self._receipts = [Lane(producer, self._topics.receipts, number) for number in range(self._num_partitions)]
        self._letters = [Lane(producer, self._topics.dead_letters, number) for number in range(NUM_DEAD_LETTER_PARTITIONS)]

    def partition_of(self, user: bytes) -> int:
        """The user's partition of the keyed topics."""
        return murmur2_partition(user, self._num_partitions)

    def forward(self, forwards: Iterable[Forward], headers: Headers = ()) -> None:
        """Send events to their users' partitions, with these headers."""
        for one in forwards:
            self._events[self.partition_of(one.key)].put((one.key, one.value), headers=headers)

    def hand_out(self, user: bytes, receipt: Receipt, then: Then) -> None:
        """Publish a receipt, and call ``then`` when it is durable."""
        self._receipts[self.partition_of(user)].put((user, encode_receipt(receipt)), then)

    def refuse(self, letter: DeadLetter, then: Then | None = None) -> None:
        """Keep a dead letter, and call ``then`` when it is durable. Its key is its origin, so a redelivery replaces it."""
        self._letters[letter.origin.partition % len(self._letters)].put((letter_key(letter), encode_letter(letter)), then)

    async def room(self) -> None:
        """Wait until no lane is full."""
        for lane in (*self._events, *self._receipts, *self._letters):
            if lane.is_full:
                await lane.room()

    async def flush(self) -> None:
        """Wait until everything put here so far is durable."""
        await flush((*self._events, *self._receipts, *self._letters))

    async def close(self) -> None:
        """Stop sending."""
        for lane in (*self._events, *self._receipts, *self._letters):
            await lane.close()
        if self._producer is not None:
            await self._producer.stop()
