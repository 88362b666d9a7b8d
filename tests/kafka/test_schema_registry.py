"""A worker and a registry that is away: its source waits, the others go on, and in the end every record is accounted for."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Iterator
from typing import Any

import fastavro
import pytest
from typer.testing import CliRunner

from prefstream import cli
from tests.agents.scripted_registry import AWAY, ScriptedRegistry
from tests.kafka.conftest import StartFlow
from tests.kafka.worker_process import Engine, applied, refused, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

NUM_PLAYS = 5_000  # more than Faust buffers for a topic
ITEM = {"type": "record", "name": "Item", "fields": [{"name": "id", "type": "string"}]}
SCHEMA = {
    "type": "record",
    "name": "Click",
    "fields": [{"name": name, "type": "string"} for name in ("type", "user", "at")] + [{"name": "item", "type": ITEM}],
}
CLICK = {"type": "click", "at": "2026-01-05T20:15:00Z", "item": {"id": "1"}}


def play(user: str, schema_id: int = 17) -> bytes:
    stream = io.BytesIO(b"\0" + schema_id.to_bytes(4, "big"))
    stream.seek(0, io.SEEK_END)
    fastavro.schemaless_writer(stream, fastavro.parse_schema(SCHEMA), CLICK | {"user": user})
    return stream.getvalue()


@pytest.fixture
def registry() -> Iterator[ScriptedRegistry]:
    """A scripted registry that is served from a thread of its own."""
    found = ScriptedRegistry()
    found.keep(17, json.dumps(SCHEMA))
    loop = asyncio.new_event_loop()
    loop.run_until_complete(found.server.start_server())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield found
    asyncio.run_coroutine_threadsafe(found.server.close(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_registry_that_is_away_costs_nothing_but_time(
    start_flow: StartFlow, engine: Engine, registry: ScriptedRegistry
) -> None:
    flow = start_flow({"plays": ("confluent-avro+native", 2), "clicks": ("native", 1)})
    topic = f"{flow.namespace}-plays"
    # A worker that took this for a stall would end itself within four seconds.
    given: dict[str, Any] = {"schema_registry": registry.address, "stalled_after_seconds": 2, "give_up_after_seconds": 2}
    registry.status = AWAY
    first = flow.start_worker(engine.url, **given)
    first.await_ready()
    for number in range(NUM_PLAYS):
        flow.send("plays", play(f"u{number % 50}"), applied(f"u{number % 50}"), partition=number % 2)
    flow.producer.flush()
    until("two partitions waiting", lambda: first.metric("prefstream_waiting_for_schemas", topic=topic) == 2)
    for number in range(20):
        flow.send("clicks", json.dumps(CLICK | {"user": f"c{number}"}).encode(), applied(f"c{number}"))
    flow.producer.flush()
    flow.ledger.settle()
    until("summary of whoever clicked", lambda: flow.summaries.poll() >= 0 and flow.num_missing() == NUM_PLAYS)
    until("fifth question", lambda: first.metric("prefstream_unanswered_schema_requests_total") >= 5)
    assert first.is_running, first.last_words()
    first.kill()
    second = flow.start_worker(engine.url, **given)
    second.await_ready()
    until("two partitions waiting", lambda: second.metric("prefstream_waiting_for_schemas", topic=topic) == 2)
    registry.status = None
    flow.send("plays", play("nobody", schema_id=18), refused("undecodable"))
    flow.await_applied()
    until("letter", flow.letter_reasons)
    flow.assert_accounted()
    assert second.metric("prefstream_waiting_for_schemas", topic=topic) == 0


def test_what_met_no_schema_is_replayed_when_it_is_registered(
    start_flow: StartFlow, engine: Engine, registry: ScriptedRegistry
) -> None:
    flow = start_flow({"plays": ("confluent-avro+native", 1)})
    flow.start_worker(engine.url, schema_registry=registry.address).await_ready()
    flow.send("plays", play("ada", schema_id=18), refused("undecodable"))
    flow.producer.flush()
    flow.ledger.settle()
    until("letter", flow.letter_reasons)
    registry.keep(18, json.dumps(SCHEMA))
    environment = {"PREFSTREAM_BOOTSTRAP_SERVERS": flow.bootstrap_servers, "PREFSTREAM_NAMESPACE": flow.namespace}
    flow.start_worker(engine.url, disk="other", schema_registry=registry.address).await_ready()  # asks again at once
    flow.workers[0].kill()
    replayed = CliRunner().invoke(cli.app, ["dead-letters", "replay", "--all", "--yes"], env=environment)
    assert replayed.exit_code == 0, replayed.output
    until("summary of ada", lambda: flow.summaries.poll() and flow.summaries.events_by_user == {"ada": 1})
