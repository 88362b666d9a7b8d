"""What a worker found, took and let go of balances at every scrape, also while partitions come and go under load."""

from __future__ import annotations

import json
from collections import Counter
from itertools import count

import pytest

from tests.kafka.balance import scraped, unaccounted
from tests.kafka.conftest import StartFlow
from tests.kafka.worker_process import Engine, Flow, Worker, applied, get, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

NUM_USERS = 50


class Scrapes:
    """Every scrape of every worker: what did not balance, and what was seen of each counter at most."""

    def __init__(self) -> None:
        self.differences: list[int] = []
        self.num_known = 0
        self.most: Counter[str] = Counter()

    def look(self, worker: Worker) -> None:
        """One scrape. A worker in a rebalance does not know what waits, and tells nothing."""
        found = scraped(get(worker.port, "/metrics")[1])
        for (name, _), value in found.items():
            self.most[name] = max(self.most[name], int(value))
        difference = unaccounted(found)
        self.num_known += difference is not None
        if difference:
            self.differences.append(difference)


def send(flow: Flow, number: int) -> None:
    for index in range(NUM_USERS):
        item = {"id": str(number), "title": f"Film {number}"}
        rating = {"type": "rating", "user": f"user-{index}", "at": "2026-01-05T20:15:00Z", "item": item, "value": 5}
        flow.send("native", json.dumps(rating).encode(), applied(f"user-{index}"))
    flow.producer.flush()


def test_what_workers_owe_balances_while_partitions_come_and_go(start_flow: StartFlow, engine: Engine) -> None:
    flow, scrapes = start_flow({"native": ("native", 2)}), Scrapes()
    first = flow.start_worker(engine.url, disk="first", flush_age_seconds=15)
    first.await_ready()
    send(flow, 0)

    def holds_something() -> bool:
        scrapes.look(first)
        return first.metric("prefstream_pending_events") > 0

    until("pending events", holds_something)
    second = flow.start_worker(engine.url, disk="second", flush_age_seconds=15)
    numbers = count(1)

    def is_shared() -> bool:
        send(flow, next(numbers))  # so that something waits whenever the group rebalances
        for worker in (first, second):
            scrapes.look(worker)
        return 0 < second.metric("prefstream_owned_partitions") < 4

    until("shared partitions", is_shared)
    send(flow, next(numbers))
    first.process.terminate()

    def has_all() -> bool:
        scrapes.look(second)
        return not first.is_running and second.metric("prefstream_owned_partitions") == 4

    until("heir of all partitions", has_all)
    flow.await_applied()
    scrapes.look(second)
    assert scrapes.num_known > 10
    assert scrapes.differences == []
    assert scrapes.most["released_events_total"] > 0
    assert scrapes.most["restored_events_total"] > 0
