"""More comes than the model can take, on a real broker: memory stays bounded, the backlog stays on its topic, and drains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from streams.backpressure import COLLECT_GATE
from tests.kafka.conftest import StartFlow
from tests.kafka.worker_process import Engine, Flow, Worker, applied, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

NUM_EVENTS = 16_000
PADDING = [("padding", b" " * 2_000)]  # so that a fetch, one MiB of each partition, brings few
MIB = 1 << 20
WORKER: dict[str, Any] = {"max_pending_mib": 1, "model_timeout_seconds": 60, "drain_seconds": 1}


def send_events(flow: Flow) -> None:
    """Events of a hundred ordinary users and of a hot one."""
    for number in range(NUM_EVENTS):
        user = "hot" if number % 10 == 0 else f"user-{number % 109}"
        event = {"type": "view", "id": f"{number:036}", "user": user, "at": "2026-01-05T20:15:00Z", "item": {"id": "1"}}
        flow.send("clicks", json.dumps(event).encode(), applied(user), headers=PADDING)
    flow.producer.flush()


def is_closed(worker: Worker, gate: str) -> bool:
    """Whether the worker reads nothing through this gate."""
    return worker.metric("prefstream_gate_closed", gate=gate) == 1


def num_unread(*workers: Worker) -> float:
    """How many records of the source and of the keyed topic these workers have not read."""
    return sum(worker.metric("prefstream_unread_records") for worker in workers)


def test_a_closed_gate_keeps_the_backlog_on_the_topic_through_a_rebalance_and_opens_by_itself(
    start_flow: StartFlow, tmp_path: Path
) -> None:
    flow = start_flow({"clicks": ("native", 4)})
    with Engine(tmp_path, delay_seconds=30) as engine:
        worker = flow.start_worker(engine.url, "disk-0", **WORKER)
        worker.await_ready()
        send_events(flow)
        until("closed gate", lambda: is_closed(worker, "intake"))
        until("known backlog", lambda: num_unread(worker) > NUM_EVENTS / 2)
        heir = flow.start_worker(engine.url, "disk-1", **WORKER)
        heir.await_ready()
        until("worker that is ready again", lambda: worker.ready_status() == 200)
        until("known backlog of both", lambda: num_unread(worker, heir) > NUM_EVENTS / 8)
        # What one fetch had brought when the gate closed comes on top; it is bounded by the size of a fetch.
        assert sum(one.metric("prefstream_pending_bytes") for one in (worker, heir)) < 2 * COLLECT_GATE.close_at * MIB
    with Engine(tmp_path, port=engine.port):
        flow.await_applied()
        until("empty backlog", lambda: num_unread(worker, heir) == 0)
        assert not any(is_closed(one, gate) for one in (worker, heir) for gate in ("intake", "collect"))
        for one in (worker, heir):
            assert one.stop() == 0, one.last_words()
    flow.assert_accounted()
