"""A worker that stands still behind a healthy face is seen, leaves the ready ones, and ends; the next one goes on."""

from __future__ import annotations

import json

import pytest

from tests.kafka.conftest import StartFlow
from tests.kafka.worker_process import Engine, applied, get, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

STALLED_SECONDS = 6
RATING = {"type": "rating", "user": "ada", "at": "2026-01-05T20:15:00Z", "item": {"id": "1", "title": "Heat"}, "value": 5}


def test_a_worker_that_gets_on_with_nothing_is_not_ready_and_ends_itself(start_flow: StartFlow, engine: Engine) -> None:
    flow = start_flow({"native": ("native", 1)})
    command = ("tests.kafka.hindered_worker", "hold", flow.names.events)
    worker = flow.start_worker(
        engine.url, command=command, stalled_after_seconds=STALLED_SECONDS, give_up_after_seconds=STALLED_SECONDS
    )
    worker.await_ready()
    flow.send("native", json.dumps(RATING).encode(), applied("ada"))
    flow.producer.flush()
    until("a worker that is not ready", lambda: worker.ready_status() == 503)
    assert "stalled: fetch" in get(worker.port, "/readyz")[1]
    assert get(worker.port, "/progressz")[0] == 503
    assert get(worker.port, "/healthz")[0] == 200
    assert worker.metric("prefstream_stalled_seconds", duty="read") >= STALLED_SECONDS
    assert worker.process.wait(60) == 70
    assert "fetch had work and got on with none of it" in worker.last_words()
    flow.start_worker(engine.url).await_ready()
    flow.await_applied()
    flow.assert_accounted()


def test_a_recovery_that_stops_without_a_word_ends_the_worker_and_the_next_one_goes_on(
    start_flow: StartFlow, engine: Engine
) -> None:
    flow = start_flow({"native": ("native", 1)})
    flow.send("native", json.dumps(RATING).encode(), applied("ada"))
    command = ("tests.kafka.stuck_worker",)
    worker = flow.start_worker(
        engine.url, command=command, stalled_after_seconds=STALLED_SECONDS, give_up_after_seconds=STALLED_SECONDS
    )
    until("worker that serves", lambda: worker.ready_status() == 503)
    assert "the tables are not recovered" in get(worker.port, "/readyz")[1]
    until("worker that has stalled", lambda: get(worker.port, "/progressz")[0] == 503)
    assert "stalled: recover" in get(worker.port, "/progressz")[1]
    assert worker.process.wait(60) == 70
    assert "recover had work and got on with none of it" in worker.last_words()
    flow.start_worker(engine.url).await_ready()
    flow.await_applied()
    flow.assert_accounted()


def test_an_idle_worker_and_one_whose_model_is_away_are_ready(start_flow: StartFlow) -> None:
    flow = start_flow({"native": ("native", 1)})
    worker = flow.start_worker("http://127.0.0.1:1", stalled_after_seconds=3, give_up_after_seconds=600)
    worker.await_ready()
    flow.send("native", json.dumps(RATING).encode(), applied("ada"))
    flow.producer.flush()
    until("calls that come to nothing", lambda: worker.metric("prefstream_calls_total", result="unavailable") > 3)
    assert worker.metric("prefstream_pending_oldest_age_seconds") > 3
    assert worker.metric("prefstream_stalled_seconds") < 3
    assert worker.ready_status() == 200
