"""Intake: reads the platform's topics, normalises each record, and sends its events to the keyed topic, or a dead letter.

Place in the flow: first. Platforms key and partition as they like; after intake one user is one partition and one order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Set
from typing import NamedTuple

import structlog
from faust import StreamT
from faust.types import Message
from msgspec.structs import replace

from agents.clock import now_ms
from agents.defects import place_of, to_be_replayed
from agents.failstop import stopping_on_error
from agents.metrics import Metrics
from agents.outbox import Outbox
from agents.progress import Progress
from agents.tracing import OFF, Tracing
from agents.waiting import Obtain, Waiting
from prefstream.dead_letters import DeadLetter
from streams.adapters import Adapter, Decoded, RawRecord, SchemaNeeded, Undecodable
from streams.adapters.replays import decode
from streams.routing import Forward, asks_to_forget, refuse, route

log = structlog.get_logger()


Ends = Callable[[], Awaitable[Mapping[str, int]]]


class _Read(NamedTuple):
    """A record as it came, as it was before a replay, and what its adapter makes of it."""

    raw: RawRecord
    record: RawRecord
    decoded: Decoded


class Intake:
    """The agent's body: decode, route, send."""

    def __init__(
        self,
        adapters: Mapping[str, Adapter],
        outbox: Outbox,
        progress: Progress,
        metrics: Metrics,
        ends: Ends,
        tenants: Mapping[str, str] | None = None,
        obtain: Obtain | None = None,
        tracing: Tracing = OFF,
    ) -> None:
        """``ends`` says where every source partition ends now, by ``topic-id/partition``.

        ``tenants``: whose a topic is, of those that are declared for one. ``obtain``: who is asked for the schemas that an
        adapter needs, where one may.
        """
        self._adapters = adapters
        self._tenants = tenants or {}
        self._outbox = outbox
        self._progress = progress
        self._metrics = metrics
        self._tracing = tracing
        self._ends = ends
        self._said: set[tuple[str, str]] = set()
        self._waiting = Waiting(obtain or _nobody, self._step, progress, metrics)

    @property
    def waiting_topics(self) -> Set[str]:
        """The topics that wait for a schema."""
        return self._waiting.topics()

    async def close(self) -> None:
        """Let go of what waits for a schema."""
        await self._waiting.close()

    @stopping_on_error("intake")
    async def run(self, records: StreamT[bytes]) -> None:
        """Take in records in offset order; an offset is done when everything made of it is in the outbox."""
        async for event in records.events():
            message = event.message
            if not self._waiting.hold(message) and (needed := await self._step(message)):
                self._waiting.begin(message, needed)

    async def _step(self, message: Message, refusal: Undecodable | None = None) -> SchemaNeeded | None:
        """Take in one message, unless that is done or another's; or say which schema must be known first."""
        if not self._progress.accept(message.tp, message.offset):
            return None
        needed = await self._take_in(message, self._progress.mark(message.tp).origin_topic, refusal)
        if needed is None:
            self._progress.done(message.tp, message.offset)
            await self._outbox.room()
        return needed

    async def _take_in(self, message: Message, origin_topic: str, refusal: Undecodable | None) -> SchemaNeeded | None:
        trace = self._tracing.takes_in(message)
        read = self._read(raw_record(message), origin_topic, refusal)
        if isinstance(read, SchemaNeeded):
            return read
        self._metrics.source_records.labels(message.topic).inc()
        ends = await self._ends() if isinstance(read, _Read) and asks_to_forget(read.decoded) else {}
        match self._decided(read, origin_topic, ends):
            case DeadLetter() as letter:
                self._metrics.dead_letters.labels(letter.reason).inc()
                self._say_once(letter)
                self._outbox.refuse(letter)
                trace.ended(letter.reason, is_failure=True)
            case forwards:
                self._outbox.forward(forwards, trace.headers())
                trace.ended("forwarded")
        return None

    def _read(self, raw: RawRecord, origin_topic: str, refusal: Undecodable | None) -> _Read | DeadLetter | SchemaNeeded:
        """What a record says; where it needs a schema, the ``refusal`` that this is known to meet.

        A defect that it meets would stop every worker that reads it, one after the other.
        """
        try:
            record, decoded = decode(raw, self._adapters)
            if isinstance(decoded, SchemaNeeded):
                if refusal is None:
                    return decoded
                decoded = refusal
            return _Read(raw, replace(record, tenant=self._tenants.get(record.topic) or record.tenant), decoded)
        except Exception as error:
            return self._unprocessable(raw, error, origin_topic)

    def _decided(
        self, read: _Read | DeadLetter, origin_topic: str, ends: Mapping[str, int]
    ) -> tuple[Forward, ...] | DeadLetter:
        """What becomes of it; the same of a defect."""
        if isinstance(read, DeadLetter):
            return read
        raw = read.raw
        if read.decoded == ():
            self._metrics.filtered_records.labels(raw.topic).inc()
        try:
            return route(read.record, read.decoded, origin_topic, now_ms(), ends)
        except Exception as error:
            return self._unprocessable(raw, error, origin_topic)

    def _unprocessable(self, raw: RawRecord, error: Exception, origin_topic: str) -> DeadLetter:
        place = place_of(error)
        log.error("a record met a defect of this version: please report it", where=place)
        raw = replace(raw, tenant=self._tenants.get(raw.topic, ""))
        return refuse(raw, "unprocessable", to_be_replayed(place), origin_topic, now_ms())

    def _say_once(self, letter: DeadLetter) -> None:
        """The first of each topic and reason; all of them are counted. Not its message, which may quote the record."""
        if (letter.source, letter.reason) not in self._said:
            self._said.add((letter.source, letter.reason))
            log.warning(
                "a record became a dead letter, the first of its kind",
                record=letter.id,
                reason=letter.reason,
                see=f"prefstream dead-letters show {letter.id}",
            )


async def _nobody(needed: SchemaNeeded) -> Undecodable | None:
    raise AssertionError("without a registry no adapter asks for a schema")


def raw_record(message: Message) -> RawRecord:
    """A Kafka message as the pure core sees it."""
    return RawRecord(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        key=message.key,
        value=message.value,
        headers=tuple((name, value or b"") for name, value in message.headers or ()),
        timestamp_ms=int((message.timestamp or 0) * 1_000),
    )
