"""Owner: writes to one partition in the place of a worker, under the fence of that partition.

Place in the flow: what a repartition writes with. A worker that still lives, or comes back from a pause, is refused by the
broker from the barrier record on; so is this, when a worker takes the partition over.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import aiokafka
from aiokafka.errors import KafkaError

from agents.repartition.plan import NotPossible, Plan
from agents.writer import OWNER_VALUE, start_producer
from prefstream.security import Servers
from prefstream.topics import OWNER_KEY


class Sent(NamedTuple):
    """A record to send: of a table, so None deletes its key."""

    key: bytes
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Owner:
    """The one writer of a partition's topics."""

    def __init__(self, producer: aiokafka.AIOKafkaProducer, number: int) -> None:
        self._producer = producer
        self.number = number
        self.num_sent = 0

    async def send(self, topic: str, sent: Iterable[Sent]) -> None:
        """Send these in order; returns when they are durable. Raises NotPossible when the broker does not take them."""
        builder, num_records = self._producer.create_batch(), 0
        for one in sent:
            while builder.append(timestamp=None, key=one.key, value=one.value, headers=list(one.headers)) is None:
                await self._send(topic, builder)
                builder, num_records = self._producer.create_batch(), 0
            num_records += 1
            self.num_sent += 1
        if num_records:
            await self._send(topic, builder)

    async def _send(self, topic: str, builder: aiokafka.producer.message_accumulator.BatchBuilder) -> None:
        try:
            await (await self._producer.send_batch(builder, topic, partition=self.number))
        except KafkaError as error:
            raise NotPossible(
                f"{topic}/{self.number} takes nothing more from here ({type(error).__name__}): where a worker was started, "
                "stop it; then run this again, which goes on where it was ended"
            ) from error


@asynccontextmanager
async def owner_of(servers: Servers, plan: Plan, number: int) -> AsyncIterator[Owner]:
    """Own a partition, while this is open."""
    producer = await start_producer(servers, fence=f"{plan.namespace}-{number}")
    owner = Owner(producer, number)
    try:
        for topic in plan.tables:
            await owner.send(topic, [Sent(OWNER_KEY, OWNER_VALUE)])
        yield owner
    finally:
        await producer.stop()
