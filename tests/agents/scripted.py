"""What tests put in place of Kafka: a producer that acknowledges when it is told to, streams of given messages, a dead end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec
import pytest
from faust.types import Message

from agents.flushes import Flushes
from agents.metrics import Metrics
from agents.owned import Owned
from agents.partitions import Partitions
from agents.stamps import Changelog
from agents.store import Row, Shard
from agents.tenant_metrics import TenantLabels
from agents.tracing import OFF, Tracing
from agents.writer import Headers
from prefstream.dead_letters import DeadLetter, Origin
from prefstream.events import Event
from prefstream.topics import TopicNames
from streams.evidence import evidence_of, is_impression
from streams.flush import FlushPolicy
from streams.forgetting import Hiding, hiding
from streams.records import Arrival, encode_event
from streams.tokens import estimate_event_tokens

NAMES = TopicNames("t")
TABLES = (NAMES.pending, NAMES.history, NAMES.summaries)
HIDING = hiding("a secret of sixteen")
KEPT_AN_HOUR = Changelog("T9", 3_600_000)
POLICY = FlushPolicy(
    max_events=3,
    max_tokens=10_000,
    max_age_seconds=10.0,
    backoff_seconds=1.0,
    max_backoff_seconds=300.0,
    impressions_per_event=1,
)


class Batch:
    """The rows of one batch; ``acknowledge`` and ``fail`` say what became of it."""

    def __init__(self, max_records: int) -> None:
        self.rows: list[Row] = []
        self.headers: list[Headers] = []
        self.delivery: asyncio.Future[SimpleNamespace] = asyncio.get_running_loop().create_future()
        self._max_records = max_records

    def append(self, *, timestamp: None, key: bytes | None, value: bytes | None, headers: Headers) -> object | None:
        if len(self.rows) == self._max_records:
            return None
        self.rows.append((key or b"", value))
        self.headers.append(headers)
        return self

    def acknowledge(self, offset: int) -> None:
        self.delivery.set_result(SimpleNamespace(offset=offset))

    def fail(self, error: Exception) -> None:
        self.delivery.set_exception(error)


class Lettered:
    """In place of the outbox: the dead letters, durable at once unless it ``is_held``; then ``acknowledge`` says when."""

    def __init__(self) -> None:
        self.is_held = False
        self.letters: list[DeadLetter] = []
        self._thens: list[Callable[[], None]] = []

    def refuse(self, letter: DeadLetter, then: Callable[[], None]) -> None:
        self.letters.append(letter)
        self._thens.append(then)
        if not self.is_held:
            self.acknowledge()

    def acknowledge(self) -> None:
        thens, self._thens = self._thens, []
        for then in thens:
            then()


class ScriptedProducer:
    """Acknowledges each batch at once, unless it ``is_held``: then the test does. ``sent`` queues the batches."""

    def __init__(self, *, is_held: bool = False, max_records: int = 1_000) -> None:
        self.is_held = is_held
        self.sent: asyncio.Queue[Batch] = asyncio.Queue()
        self.log: dict[tuple[str, int], list[Row]] = {}
        self.is_stopped = False
        self._max_records = max_records

    def create_batch(self) -> Batch:
        return Batch(self._max_records)

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[SimpleNamespace]:
        log = self.log.setdefault((topic, partition), [])
        if not self.is_held:
            batch.acknowledge(len(log))
        log.extend(batch.rows)
        self.sent.put_nowait(batch)
        return batch.delivery

    async def send_and_wait(self, topic: str, value: bytes, *, key: bytes, partition: int) -> None:
        self.log.setdefault((topic, partition), []).append((key, value))

    async def stop(self) -> None:
        self.is_stopped = True


class Stopped(asyncio.CancelledError):
    """The process is gone: no ``except Exception`` sees it, and the task that met it ends."""


def stops_recorded(monkeypatch: pytest.MonkeyPatch, *modules: str) -> list[str]:
    """Why ``stop_now`` was called in these modules, where it now ends the task instead of the process."""
    reasons: list[str] = []

    def stop_now(reason: str, error: BaseException | None = None) -> None:
        reasons.append(f"{reason}: {error}")
        raise Stopped

    for module in modules:
        monkeypatch.setattr(f"{module}.stop_now", stop_now)
    return reasons


async def until(condition: Callable[[], object]) -> None:
    """Let everybody else run until the condition holds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


async def others_run() -> None:
    """Give everybody else several turns, before saying that something did not happen."""
    for _ in range(20):
        await asyncio.sleep(0)


def stream_of(messages: Iterable[Message]) -> Any:
    """A Faust stream of these messages."""

    async def events() -> AsyncIterator[SimpleNamespace]:
        for message in messages:
            yield SimpleNamespace(message=message)

    return SimpleNamespace(events=events)


def message(topic: str, offset: int, value: bytes | None, key: bytes | None = None, partition: int = 0) -> Message:
    return Message(topic, partition, offset, 1_700_000_000.25, 0, [("h", b"1"), ("none", None)], key, value, None)


def arrival_of(event: Event, place: int, at_ms: int = 1_000_000) -> Arrival:
    """The event as intake passes it on, read at this offset of its source."""
    raw, is_faint = msgspec.Raw(encode_event(event)), is_impression(evidence_of(event))
    return Arrival(Origin("T1", 0, place), at_ms, estimate_event_tokens(event), event.id, raw, is_faint)


def every_flush(tracing: Tracing = OFF) -> Flushes:
    """Each turn has its line."""
    return Flushes(TenantLabels(), 0.0, lambda: 0.0, tracing)


def counted(metrics: Metrics) -> dict[str, float]:
    """Every counter that moved, by its name without the common parts and its label: ``{"calls stale": 1.0}``."""
    return {
        " ".join([sample.name.removeprefix("prefstream_").removesuffix("_total"), *sample.labels.values()]): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name.endswith("_total") and sample.value
    }


class Opened(NamedTuple):
    """One open partition, number 0, and what it stands on."""

    partitions: Partitions
    owned: Owned
    producer: ScriptedProducer
    pending: Shard
    history: Shard
    summaries: Shard

    @property
    def shards(self) -> dict[str, Shard]:
        """The tables' shards, by topic."""
        return dict(zip(TABLES, (self.pending, self.history, self.summaries), strict=True))

    async def close(self) -> None:
        await self.partitions.close()
        self.pending.close()
        self.history.close()
        self.summaries.close()


async def open_partition(
    directory: Path, monkeypatch: pytest.MonkeyPatch, policy: FlushPolicy = POLICY, hiding: Hiding = HIDING
) -> Opened:
    """Own partition 0, whose tables are in this directory."""
    producer = ScriptedProducer()

    async def start_producer(bootstrap_servers: str, **options: str) -> ScriptedProducer:
        return producer

    monkeypatch.setattr("agents.partitions.start_producer", start_producer)
    shards = {topic: Shard(directory / topic, KEPT_AN_HOUR) for topic in TABLES}
    partitions = Partitions("nowhere:1", NAMES, policy, hiding)
    await partitions.open(0, shards)
    owned = partitions.get(0)
    assert owned is not None
    return Opened(partitions, owned, producer, *shards.values())
