"""A worker with a name of its own that comes back in time finds its partitions, and nobody else notices that it was away."""

from __future__ import annotations

import json

import pytest

from tests.kafka.conftest import StartFlow
from tests.kafka.worker_process import Engine, Worker, applied, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

SESSION_SECONDS = 30


def rating(user: str) -> bytes:
    item = {"id": "1", "title": "Fargo (1996)", "attributes": {"genre": ["crime", "drama"]}}
    event = {"type": "rating", "user": user, "at": "2026-01-05T20:15:00Z", "domain": "films", "item": item, "value": 5}
    return json.dumps(event).encode()


def num_owned(worker: Worker) -> float:
    return worker.metric("prefstream_owned_partitions")


@pytest.mark.parametrize("is_killed", [False, True], ids=["stopped", "killed"])
def test_a_restart_moves_no_partition(engine: Engine, start_flow: StartFlow, is_killed: bool) -> None:
    flow = start_flow({"native": ("native", 2)})

    def start(name: str) -> Worker:
        return flow.start_worker(engine.url, name, instance=name, session_timeout_seconds=SESSION_SECONDS)

    one, two = start("one"), start("two")
    until("two owners", lambda: num_owned(one) == num_owned(two) == 2, explain=two.last_words)
    rebalances = two.metric("prefstream_rebalance_seconds_count")
    for number in range(20):
        flow.send("native", rating(f"before-{number}"), applied(f"before-{number}"))
    flow.await_applied()
    if is_killed:
        one.kill()
    else:
        assert one.stop() == 0
    for number in range(20):
        flow.send("native", rating(f"between-{number}"), applied(f"between-{number}"))
    again = start("one")
    until("its partitions", lambda: num_owned(again) == 2, explain=again.last_words)
    flow.await_applied()
    flow.assert_accounted()
    assert num_owned(two) == 2
    assert two.metric("prefstream_rebalance_seconds_count") == rebalances
    assert {again.stop(), two.stop()} == {0}
