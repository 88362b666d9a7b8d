"""Holes in a source on a real broker: what the broker left out is passed, whatever else is missing stops the worker.

Compaction, transaction markers and aborted transactions leave offsets without a record, and a commit has to pass them, also
across rebalances, kills and restarts. A message that was lost between the consumer and an agent leaves such an offset too.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple

import pytest
from aiokafka import AIOKafkaProducer
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from agents.failstop import EXIT_CODE
from streams.keys import murmur2_partition
from tests.kafka.conftest import StartFlow
from tests.kafka.worker_process import NUM_PARTITIONS, Engine, Flow, Place, Worker, applied, place_of, read_all, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

SLOWLY = ("tests.kafka.hindered_worker", "slow", "0.005")
COMPACTED_AT_ONCE = {
    "cleanup.policy": "compact",
    "max.compaction.lag.ms": "100",
    "min.cleanable.dirty.ratio": "0.001",
    "segment.ms": "100",
}


def event_of(user: str, number: int, event_id: str = "") -> bytes:
    item = {"id": str(number), "title": f"Film {number % 50}"}
    return json.dumps({"type": "click", "user": user, "at": "2026-01-05T20:15:00Z", "item": item, "id": event_id}).encode()


def committed(flow: Flow, topic: str, partition: int) -> int:
    """The offset that the workers have committed for a partition, 0 before the first."""
    consumer = KafkaConsumer(bootstrap_servers=flow.bootstrap_servers, group_id=flow.namespace, enable_auto_commit=False)
    offset = consumer.committed(TopicPartition(topic, partition))
    consumer.close()
    return offset or 0


def start(flow: Flow, engine: Engine, disk: str = "disk-1", command: tuple[str, ...] = ("agents",)) -> Worker:
    return flow.start_worker(engine.url, disk, command, flush_events=5)


def nothing() -> None:
    """What happens meanwhile, unless a test says so."""


def read_haltingly(flow: Flow, engine: Engine, meanwhile: Callable[[], None] = nothing) -> Worker:
    """A slow reader, joined by another, then killed; the other stops in order. Returns a third one, which reads on."""
    first = start(flow, engine, "disk-1", SLOWLY)
    first.await_ready()
    second = start(flow, engine, "disk-2", SLOWLY)
    second.await_ready()
    until("first worker, ready again", lambda: first.ready_status() == 200)
    meanwhile()
    flow.summaries.read_to_end()
    assert flow.num_missing() > 0
    first.kill()
    assert second.stop() == 0, second.last_words()
    return start(flow, engine)


def assert_applied_once(flow: Flow, worker: Worker) -> None:
    """All that is in the ledger is applied in time and counted once, the worker stops in order, and nobody found a hole."""
    flow.await_applied()
    assert worker.stop() == 0, worker.last_words()
    flow.assert_applied()
    assert [one.log.name for one in flow.workers if "HoleFound" in one.log.read_text()] == []


def num_holes(places: Iterable[Place]) -> list[int]:
    """How many offsets between a partition's first and last record hold nothing, by partition."""
    offsets: dict[int, list[int]] = {}
    for _, partition, offset in places:
        offsets.setdefault(partition, []).append(offset)
    return [max(found) - min(found) + 1 - len(found) for _, found in sorted(offsets.items())]


def compact(flow: Flow, topic: str) -> None:
    with KafkaAdminClient(bootstrap_servers=flow.bootstrap_servers) as admin:
        changed = admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, COMPACTED_AT_ONCE)])
        assert changed["topic"][topic] == "OK"


def fill(flow: Flow, topic: str) -> None:
    """An event into each partition: it ends a segment whose time has come, and all but the first are duplicates."""
    for partition in range(2):
        flow.producer.send(topic, value=event_of("filler", 0, "filler"), key=b"filler", partition=partition)
    flow.producer.flush()


def write_over(flow: Flow, topic: str, numbers: range, chance: random.Random) -> None:
    """Events into both partitions, most of them under keys that come again; compaction leaves a quarter, with holes between."""
    fill(flow, topic)
    for number in numbers:
        key = f"once-{number}" if number % 5 == 4 else f"again-{chance.randrange(100)}"
        flow.producer.send(topic, value=event_of(f"user-{number % 40}", number), key=key.encode(), partition=number % 2)
    flow.producer.flush()


def surviving(flow: Flow, topic: str, since: list[int]) -> dict[Place, str]:
    """The user of each record after these offsets, by place, when they are holes and of each key only the newest is left."""
    found: dict[Place, str] = {}

    def is_compacted() -> bool:
        fill(flow, topic)
        left = read_all(flow.bootstrap_servers, topic)
        records = [record for record in left if record.key != b"filler"]
        new = [record for record in records if record.offset >= since[record.partition]]
        found.clear()
        found.update({place_of(record): json.loads(record.value)["user"] for record in new})
        begins_in_a_hole = not {(record.partition, record.offset) for record in left} & set(enumerate(since))
        return begins_in_a_hole and max(Counter((record.partition, record.key) for record in records).values()) == 1

    until("compaction", is_compacted)
    return found


def test_what_compaction_leaves_out_is_passed(start_flow: StartFlow, engine: Engine, chance: random.Random) -> None:
    flow = start_flow({"compacted": ("native", 2)})
    (topic,) = flow.adapters
    compact(flow, topic)
    write_over(flow, topic, range(4_000), chance)
    found = surviving(flow, topic, [0, 0])
    assert min(num_holes(found)) > 1_000
    flow.ledger.fates.update({place: applied(user) for place, user in found.items()})
    flow.ledger.fates[topic, 0, -1] = applied("filler")  # one of those, whichever is left when it is read
    assert_applied_once(flow, read_haltingly(flow, engine))

    since = [committed(flow, topic, partition) for partition in range(2)]
    write_over(flow, topic, range(4_000, 5_000), chance)
    found = surviving(flow, topic, since)
    flow.ledger.fates.update({place: applied(user) for place, user in found.items()})
    assert_applied_once(flow, start(flow, engine))


End = Literal["commit", "abort"]


class Sent(NamedTuple):
    """An event on its way, of a user whose name says how its transaction ends."""

    user: str
    delivery: Any


class Transactions:
    """Two transactional producers that write to both partitions of a source, and keep the ledger."""

    def __init__(self, flow: Flow, topic: str) -> None:
        self._flow = flow
        self._topic = topic
        self._num_sent = 0
        self._runner = asyncio.Runner()
        self._producers = [self._runner.run(self._start(number)) for number in range(2)]

    async def _start(self, number: int) -> AIOKafkaProducer:
        name = f"{self._topic}-{number}"
        producer = AIOKafkaProducer(bootstrap_servers=self._flow.bootstrap_servers, transactional_id=name)
        await producer.start()
        return producer

    def write(self, *ends: End) -> None:
        """A transaction that ends like this, or two whose records alternate."""
        self.begin(*ends)()

    def begin(self, *ends: End) -> Callable[[], None]:
        """The same, not ended yet, so that nothing behind it can be read. Returns what ends it."""
        sent = self._runner.run(self._begin(ends))
        return lambda: self._runner.run(self._end(ends, sent))

    async def _begin(self, ends: tuple[End, ...]) -> list[Sent]:
        writers = list(zip(self._producers, ends, strict=False))
        for producer, _ in writers:
            await producer.begin_transaction()
        return [await self._send(producer, end) for _ in range(50) for producer, end in writers]

    async def _send(self, producer: AIOKafkaProducer, end: End) -> Sent:
        number = self._num_sent = self._num_sent + 1
        user = f"{end}-{number % 30}"
        return Sent(user, await producer.send(self._topic, event_of(user, number), partition=number // 2 % 2))

    async def _end(self, ends: tuple[End, ...], sent: list[Sent]) -> None:
        places = {place_of(await one.delivery): one.user for one in sent}  # all are in the log before any is aborted
        for producer, end in zip(self._producers, ends, strict=False):
            await (producer.commit_transaction() if end == "commit" else producer.abort_transaction())
        self._flow.ledger.fates.update({place: applied(user) for place, user in places.items() if user.startswith("commit")})

    def close(self) -> None:
        """Disconnect."""
        for producer in self._producers:
            self._runner.run(producer.stop())
        self._runner.close()


@pytest.fixture
def transactional(start_flow: StartFlow) -> Flow:
    """A flow with a source of two partitions."""
    return start_flow({"transactional": ("native", 2)})


@pytest.fixture
def transactions(transactional: Flow) -> Iterator[Transactions]:
    transactions = Transactions(transactional, *transactional.adapters)
    yield transactions
    transactions.close()


def test_markers_are_passed_and_what_was_aborted_is_never_applied(
    transactional: Flow, transactions: Transactions, engine: Engine
) -> None:
    flow = transactional
    for number in range(10):
        transactions.write("commit")
        transactions.write("abort")
        flow.send("transactional", event_of("plain", number), applied("plain"))
        transactions.write("commit", "abort")
    finish = transactions.begin("abort", "commit")
    flow.send("transactional", event_of("behind", 0), applied("behind"), partition=0)
    flow.ledger.settle()
    num_behind = len(flow.ledger.fates)
    worker = read_haltingly(flow, engine, finish)
    assert len(flow.ledger.fates) == num_behind + 50
    for ends in (("abort",), ("commit",), ("abort", "commit")):
        transactions.write(*ends)
    assert_applied_once(flow, worker)
    assert min(num_holes(flow.ledger.fates)) > 400
    users = {record.key.decode() for record in read_all(flow.bootstrap_servers, flow.names.events)}
    assert users == set(flow.ledger.events_by_user)


LOST = 30


@pytest.mark.parametrize("agent", ["intake", "collect"])
def test_a_message_lost_on_the_way_stops_the_worker_and_is_read_again(
    start_flow: StartFlow, engine: Engine, agent: str
) -> None:
    flow = start_flow({"native": ("native", 1)})
    (source,) = flow.adapters
    reads = {"intake": (source, 0), "collect": (flow.names.events, murmur2_partition(b"ada", NUM_PARTITIONS))}
    topic, partition = reads[agent]
    worker = start(flow, engine, command=("tests.kafka.hindered_worker", "lose", topic, str(partition), str(LOST)))
    worker.await_ready()
    for number in range(LOST // 2):
        flow.send("native", event_of("ada", number), applied("ada"))
    flow.await_applied()
    for number in range(LOST // 2, 2 * LOST):
        flow.send("native", event_of("ada", number), applied("ada"))
    flow.ledger.settle()
    until("end of the worker", lambda: not worker.is_running or committed(flow, topic, partition) > LOST)
    assert worker.process.poll() == EXIT_CODE, worker.last_words()
    assert f"{topic}/{partition}: expected offset {LOST}, got {LOST + 1}" in worker.log.read_text()
    assert committed(flow, topic, partition) <= LOST
    flow.summaries.read_to_end()
    assert flow.num_missing() > 0
    heir = start(flow, engine)
    flow.await_applied()
    assert heir.stop() == 0, heir.last_words()
    flow.assert_accounted()
