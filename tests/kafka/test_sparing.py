"""On a real broker: what says nothing new costs no call, is counted to the last event, and survives a kill."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from prefstream import cli
from tests.kafka.conftest import StartFlow
from tests.kafka.worker_process import Engine, Flow, applied, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

NUM_IMPRESSIONS = 100
SETTINGS: Any = {"flush_events": 10, "flush_age_seconds": 1.0, "max_spared_events": 60}


def send(flow: Flow, kind: str, number: int, **fields: object) -> None:
    """One event of ada's, a film of its own each."""
    item = {"id": f"{kind}{number}", "title": f"{kind.title()} {number}"}
    event = {"type": kind, "user": "ada", "at": "2026-01-05T20:15:00Z", "domain": "films", "item": item} | fields
    flow.send("shop", json.dumps(event).encode(), applied("ada"), key=b"ada")


def send_impressions(flow: Flow, numbers: range) -> None:
    for number in numbers:
        send(flow, "skip", number)


def test_two_hundred_impressions_cost_five_calls_at_most_and_the_audit_holds(start_flow: StartFlow, engine: Engine) -> None:
    """As any other events they would cost twenty. A worker is killed among them, and its successor goes on where it was."""
    flow = start_flow({"shop": ("native", 2)})
    worker = flow.start_worker(engine.url, **SETTINGS)
    worker.await_ready()
    for number in range(10):
        send(flow, "rating", number, value=5)
    flow.await_applied()
    asked = worker.metric("prefstream_calls_total")
    send_impressions(flow, range(NUM_IMPRESSIONS))
    flow.await_applied()
    until("worker at rest", lambda: worker.metric("prefstream_pending_events") == 0)
    assert worker.metric("prefstream_calls_total") - asked <= 2
    assert worker.metric("prefstream_spared_events_total") >= 40
    send_impressions(flow, range(NUM_IMPRESSIONS, NUM_IMPRESSIONS + 30))
    worker.kill()
    successor = flow.start_worker(engine.url, **SETTINGS)
    successor.await_ready()
    send_impressions(flow, range(NUM_IMPRESSIONS + 30, 2 * NUM_IMPRESSIONS))
    flow.await_applied()
    until("worker at rest", lambda: successor.metric("prefstream_pending_events") == 0)
    assert successor.metric("prefstream_calls_total") <= 3
    flow.assert_accounted()
    flow.summaries.read_to_end()
    summary = flow.summaries.current["ada"]
    assert (flow.summaries.faults, summary["num_events"]) == ([], 10 + 2 * NUM_IMPRESSIONS)
    assert summary["tally"]["num_events"] == summary["num_events"]
    assert '"Rating 9"' in summary["text"]
    environment = {"PREFSTREAM_BOOTSTRAP_SERVERS": flow.bootstrap_servers, "PREFSTREAM_NAMESPACE": flow.namespace}
    result = CliRunner().invoke(cli.app, ["audit", "--wait", "20"], env=environment)
    assert result.exit_code == 0, result.output
