"""A source whose schema is not there waits for it, nothing of it is lost, and nobody else waits with it."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from typing import Any

import fastavro
import msgspec
import pytest
from faust.types import TP, Message

from agents.intake import Intake
from agents.metrics import Metrics
from agents.outbox import Outbox
from agents.progress import Progress
from agents.registry import Access, Registry
from agents.schemas import no_schemas
from prefstream.dead_letters import DeadLetter
from prefstream.sources import Mark
from streams.adapters.avro import unpack_avro
from streams.adapters.native import native
from streams.adapters.wire_format import framed, of_a_registry
from streams.records import decode_arrival, decode_event
from tests.agents.scripted import (
    NAMES,
    ScriptedProducer,
    counted,
    message,
    others_run,
    stops_recorded,
    stream_of,
    until,
)
from tests.agents.scripted_registry import AWAY, ScriptedRegistry

PLAYS, INBOX = TP("plays", 0), TP("inbox", 0)
ITEM = {"type": "record", "name": "Item", "fields": [{"name": "id", "type": "string"}]}
SCHEMA = {
    "type": "record",
    "name": "Click",
    "fields": [{"name": name, "type": "string"} for name in ("type", "user", "at")] + [{"name": "item", "type": ITEM}],
}
CLICK = {"type": "click", "at": "2026-01-05T20:15:00Z", "item": {"id": "1"}}


def play(offset: int, user: str, schema_id: int = 17, partition: int = 0) -> Message:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(SCHEMA), CLICK | {"user": user})
    return message("plays", offset, b"\0" + schema_id.to_bytes(4, "big") + stream.getvalue(), partition=partition)


def click(offset: int, user: str) -> Message:
    return message("inbox", offset, json.dumps(CLICK | {"user": user}).encode())


class Worker:
    """Intake of ``plays``, in Avro of a registry, and ``inbox``, writing to a scripted producer."""

    def __init__(self, server: ScriptedRegistry, outbox: Outbox, producer: ScriptedProducer) -> None:
        self.server, self.outbox, self.producer = server, outbox, producer
        self.progress, self.metrics, schemas = Progress(), Metrics(), no_schemas()
        self.registry = Registry(Access(server.address), schemas, self.metrics)
        adapters = {"plays": framed(unpack_avro(schemas["avro"], of_a_registry("avro")), native), "inbox": native}
        no_ends: Any = None  # nobody asks to be forgotten
        self.intake = Intake(adapters, outbox, self.progress, self.metrics, no_ends, obtain=self.registry.obtain)

    def begin(self, source: TP, *offsets: int) -> None:
        """Read the partition from the first of these offsets, which the broker handed over."""
        self.progress.start(source, offsets[0], Mark(topic_id=source.topic.upper()))
        self.progress.hand_over(source, offsets)

    async def run(self, *messages: Message) -> None:
        await self.intake.run(stream_of(messages))

    async def users(self) -> list[str]:
        """Whose events are written, in their order: there is one partition."""
        await self.outbox.flush()
        rows = self.producer.log.get((NAMES.events, 0), [])
        return [decode_event(decode_arrival(value)).user for _, value in rows if value is not None]

    async def letters(self) -> list[DeadLetter]:
        await self.outbox.flush()
        rows = self.producer.log.get((NAMES.dead_letters, 0), [])
        return [msgspec.json.decode(value, type=DeadLetter) for _, value in rows if value is not None]

    def num_waiting(self) -> float:
        found = self.metrics.registry.get_sample_value("prefstream_waiting_for_schemas", {"topic": "plays"})
        return found or 0


@pytest.fixture
async def worker(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Worker]:
    monkeypatch.setattr("agents.writer._LINGER_SECONDS", 0)
    monkeypatch.setattr("agents.registry._FIRST_WAIT_SECONDS", 0.0)
    producer, server = ScriptedProducer(), ScriptedRegistry()

    async def start_producer(bootstrap_servers: str) -> ScriptedProducer:
        return producer

    monkeypatch.setattr("agents.outbox.start_producer", start_producer)
    await server.server.start_server()
    server.keep(17, json.dumps(SCHEMA))
    outbox = Outbox("nowhere:1", NAMES, 1)
    await outbox.open()
    worker = Worker(server, outbox, producer)
    yield worker
    await worker.intake.close()
    await worker.registry.close()
    await outbox.close()
    await server.server.close()


async def test_a_schema_is_fetched_when_it_is_met(worker: Worker) -> None:
    worker.begin(PLAYS, 40, 41, 42)
    await worker.run(play(40, "ada"), play(41, "bob"), play(42, "eve"))
    await until(lambda: not worker.intake.waiting_topics)
    assert await worker.users() == ["ada", "bob", "eve"]
    assert (worker.server.asked, worker.progress.committable()) == (["/schemas/ids/17"], {PLAYS: 43})
    assert counted(worker.metrics)["source_records plays"] == 3


async def test_while_the_registry_is_away_its_source_waits_and_no_other(worker: Worker) -> None:
    worker.server.status = AWAY
    worker.begin(PLAYS, 40, 41, 42)
    worker.begin(INBOX, 7, 8)
    await worker.run(play(40, "ada"), click(7, "bob"), play(41, "eve"), click(8, "zoe"), play(42, "ada"))
    await until(lambda: len(worker.server.asked) > 3)
    assert await worker.users() == ["bob", "zoe"]
    assert (await worker.letters(), worker.progress.committable()) == ([], {INBOX: 9})
    assert (worker.intake.waiting_topics, worker.num_waiting()) == ({"plays"}, 1)
    worker.server.status = None
    await until(lambda: not worker.intake.waiting_topics)
    assert await worker.users() == ["bob", "zoe", "ada", "eve", "ada"]
    assert (await worker.letters(), worker.progress.committable()) == ([], {INBOX: 9, PLAYS: 43})
    assert worker.num_waiting() == 0


async def test_a_schema_that_is_not_there_is_a_letter_with_its_record_and_the_next_goes_on(worker: Worker) -> None:
    worker.begin(PLAYS, 40, 41, 42)
    gone = play(40, "ada", schema_id=18)
    await worker.run(gone, play(41, "bob"), play(42, "eve", schema_id=18))
    await until(lambda: not worker.intake.waiting_topics)
    assert await worker.users() == ["bob"]
    letters = sorted(await worker.letters(), key=lambda letter: letter.origin.offset)
    sentence = "schema 18: the registry has no /schemas/ids/18: register it, and replay"
    found = [(letter.origin.offset, letter.source, letter.reason, letter.message) for letter in letters]
    assert found == [(offset, "plays", "undecodable", sentence) for offset in (40, 42)]
    assert letters[0].value == gone.value
    assert counted(worker.metrics)["dead_letters undecodable"] == 2
    assert worker.progress.committable() == {PLAYS: 43}


async def test_partitions_of_a_topic_wait_by_themselves(worker: Worker) -> None:
    second = TP("plays", 1)
    worker.server.status = AWAY
    worker.begin(PLAYS, 40)
    worker.begin(second, 5)
    await worker.run(play(40, "ada"), play(5, "bob", partition=1))
    assert worker.num_waiting() == 2
    worker.server.status = None
    await until(lambda: not worker.intake.waiting_topics)
    assert sorted(await worker.users()) == ["ada", "bob"]
    assert worker.progress.committable() == {PLAYS: 41, second: 6}


@pytest.mark.parametrize("is_back", [True, False], ids=["it comes back", "another worker has it"])
async def test_what_waited_before_a_rebalance_is_not_taken_in_after_it(worker: Worker, is_back: bool) -> None:
    """It comes again, from what is committed; beside what waited it would look like a hole, or come twice."""
    worker.server.status = AWAY
    worker.begin(PLAYS, 40, 41)
    await worker.run(play(40, "ada"), play(41, "bob"))
    await until(lambda: len(worker.server.asked) > 1)
    worker.progress.stop([PLAYS])
    assert (worker.intake.waiting_topics, worker.num_waiting()) == (set(), 0)
    if is_back:
        worker.begin(PLAYS, 39, 40, 41)
        await worker.run(play(39, "eve"), play(40, "ada"))
        assert worker.num_waiting() == 1
    worker.server.status = None
    await until(lambda: not worker.intake.waiting_topics)
    assert await worker.users() == (["eve", "ada"] if is_back else [])
    assert worker.progress.committable() == ({PLAYS: 41} if is_back else {})


async def test_what_waited_is_let_go_when_its_partition_comes_back_before_anybody_looked(worker: Worker) -> None:
    worker.server.status = AWAY
    worker.begin(PLAYS, 40)
    await worker.run(play(40, "ada"))
    worker.begin(PLAYS, 39, 40)
    await worker.run(play(39, "eve"), play(40, "ada"))
    assert worker.num_waiting() == 1
    worker.server.status = None
    await until(lambda: not worker.intake.waiting_topics)
    assert (await worker.users(), worker.progress.committable()) == (["eve", "ada"], {PLAYS: 41})


async def test_a_hole_in_what_waits_stops_the_worker(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    stops = stops_recorded(monkeypatch, "agents.failstop")
    worker.begin(PLAYS, 40, 41, 42)
    await worker.run(play(40, "ada"), play(42, "bob"))
    await until(lambda: stops)
    assert stops[0].startswith("intake met something unexpected: plays/0: expected offset 41, got 42")
    assert worker.progress.committable() == {PLAYS: 41}


async def test_a_worker_that_stops_waits_no_more(worker: Worker) -> None:
    worker.server.status = AWAY
    worker.begin(PLAYS, 40)
    await worker.run(play(40, "ada"))
    await worker.intake.close()
    worker.server.status = None
    await others_run()
    assert (worker.intake.waiting_topics, worker.num_waiting()) == (set(), 0)
    assert (await worker.users(), worker.progress.committable()) == ([], {})
