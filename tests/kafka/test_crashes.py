"""Crashes and outages on a real broker: a worker killed, a model away, a broker restarted; nothing is lost or doubled."""

from __future__ import annotations

import json
import random
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from agents.failstop import EXIT_CODE
from deploy.kafka.broker import Broker
from deploy.kafka.node import free_port
from model_server.breaker import MAX_CONSECUTIVE
from tests.kafka.conftest import StartFlow
from tests.kafka.worker_process import (
    NUM_PARTITIONS,
    Engine,
    Flow,
    Worker,
    applied,
    is_barrier,
    read_all,
    refused,
    until,
)

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

SOURCES = {"native": ("native", 3)}
USERS = [f"user-{number}|\0é" for number in range(50)]


def send_rounds(flow: Flow, rounds: range) -> None:
    """One event of every user in each round; every tenth record cannot be read."""
    for round_ in rounds:
        for index, user in enumerate(USERS):
            item = {"id": f"{round_}-{index}", "title": f"Film {index}"}
            event = {"type": "rating", "user": user, "at": "2026-01-05T20:15:00Z", "item": item, "value": 4}
            flow.send("native", json.dumps(event).encode(), applied(user), key=str(index).encode())
            if index % 10 == 0:
                flow.send("native", b"{", refused("undecodable"), key=str(index).encode())
    flow.producer.flush()


def assert_all_applied(flow: Flow, worker: Worker) -> None:
    """What was sent is applied in time, the worker stops in order, and every record is accounted for."""
    flow.await_applied()
    assert worker.stop() == 0, worker.last_words()
    flow.assert_accounted()


@pytest.fixture(scope="module")
def unhurried_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine that takes a tenth of a second, so that there is a middle of a load to be killed in."""
    with Engine(tmp_path_factory.mktemp("unhurried"), delay_seconds=0.1) as engine:
        yield engine


def await_summaries(flow: Flow, num_new: int) -> None:
    """Wait until so many more versions are published."""
    enough = flow.summaries.num_records + num_new
    until("summaries", lambda: flow.summaries.poll(0.01) >= enough)


def await_some_point(flow: Flow, worker: Worker, chance: random.Random) -> None:
    """Wait for a point in the life of a worker that has just been started: it joins, it is ready, it publishes."""
    point = chance.choice(["joining", "ready", "publishing"])
    sys.stdout.write(f"killed again while {point}\n")
    match point:
        case "joining":
            until("worker that serves", lambda: worker.ready_status() == 503)
        case "ready":
            worker.await_ready()
        case "publishing":
            await_summaries(flow, 1)


@pytest.mark.parametrize("disk_is_lost", [False, True], ids=["disk kept", "disk lost"])
def test_a_worker_killed_twice_in_the_middle_of_a_load(
    start_flow: StartFlow, unhurried_engine: Engine, disk_is_lost: bool, chance: random.Random
) -> None:
    flow = start_flow(SOURCES)

    def start(number: int) -> Worker:
        disk = f"disk-{number if disk_is_lost else 0}"
        return flow.start_worker(unhurried_engine.url, disk, flush_events=5, model_capacity=8)

    worker = start(0)
    worker.await_ready()
    send_rounds(flow, range(25))
    await_summaries(flow, chance.randrange(1, 100))
    worker.kill()
    worker = start(1)
    await_some_point(flow, worker, chance)
    worker.kill()
    flow.ledger.settle()
    flow.summaries.read_to_end()
    assert flow.num_missing() > 0
    worker = start(2)
    worker.await_ready()
    send_rounds(flow, range(25, 27))
    assert_all_applied(flow, worker)


def test_a_worker_that_slept_through_its_session_cannot_write_over_its_heir(
    start_flow: StartFlow, unhurried_engine: Engine
) -> None:
    """SIGSTOP in the middle of a load, another takes over, SIGCONT: what the sleeper still sends is refused by the broker."""
    flow = start_flow(SOURCES)
    sleeper, heir = None, None
    try:
        sleeper = flow.start_worker(unhurried_engine.url, "disk-0", flush_events=5, model_capacity=8)
        sleeper.await_ready()
        send_rounds(flow, range(20))
        await_summaries(flow, 5)
        sleeper.process.send_signal(signal.SIGSTOP)
        heir = flow.start_worker(unhurried_engine.url, "disk-1", flush_events=5, model_capacity=8)
        heir.await_ready()
        send_rounds(flow, range(20, 25))
        await_summaries(flow, 5)
    finally:
        if sleeper is not None:
            sleeper.process.send_signal(signal.SIGCONT)
    flow.await_applied()
    # Usually it has something to send, is refused and ends; it may also notice first, and join again.
    assert sleeper.process.poll() in (None, EXIT_CODE)
    if sleeper.is_running:
        assert sleeper.stop() == 0, sleeper.last_words()
    else:
        assert "ProducerFenced" in sleeper.last_words()
    assert_all_applied(flow, heir)


def test_fences_renewed_under_load_lose_nothing(start_flow: StartFlow, unhurried_engine: Engine) -> None:
    flow = start_flow(SOURCES)
    worker = flow.start_worker(unhurried_engine.url, flush_events=5, model_capacity=8, fence_renewal_seconds=1)
    worker.await_ready()

    def num_barriers() -> int:
        return sum(map(is_barrier, read_all(flow.bootstrap_servers, flow.names.pending)))

    for round_ in range(4):
        send_rounds(flow, range(5 * round_, 5 * round_ + 5))
        enough = num_barriers() + NUM_PARTITIONS
        until("renewal of every fence", partial(lambda enough: num_barriers() >= enough, enough))
    assert_all_applied(flow, worker)


class _Failing(BaseHTTPRequestHandler):
    """A model server that answers a prompt of one token, as a canary is, and no other."""

    server: _FailingServer

    def do_POST(self) -> None:
        prompt = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        is_canary = prompt["max_tokens"] == 1
        if not is_canary:
            self.server.prompts.append(prompt)
        choice = {"message": {"content": "y"}, "finish_reason": "length"}
        body = json.dumps({"choices": [choice]}).encode()
        self.send_response(200 if is_canary else 500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Not to the terminal."""


class _FailingServer(ThreadingHTTPServer):
    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Failing)
        self.prompts: list[object] = []  # those of users


@contextmanager
def failing_model(port: int) -> Iterator[list[object]]:
    """Something at this port that answers every user's call with 500; the calls that came."""
    server = _FailingServer(port)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.prompts
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_model_that_is_away_costs_nothing_but_time(start_flow: StartFlow, tmp_path: Path) -> None:
    port = free_port()
    flow = start_flow(SOURCES)
    worker = flow.start_worker(f"http://127.0.0.1:{port}", max_backoff_seconds=0.5)
    worker.await_ready()
    send_rounds(flow, range(1))
    until("refused connections", lambda: worker.metric("prefstream_calls_total", result="unavailable") >= 1)
    with failing_model(port) as prompts:
        send_rounds(flow, range(1, 2))
        # A server that fails canaries too would get no user's prompt.
        until("users' calls answered by 500", lambda: len(prompts) >= MAX_CONSECUTIVE + 1)
    until("pending events", lambda: worker.metric("prefstream_pending_events") == 2 * len(USERS))
    assert worker.ready_status() == 200
    with Engine(tmp_path, port=port):
        flow.await_applied()
        # All that waited went into one call: nobody was tried in vain, given up, or put off.
        assert {summary["version"] for summary in flow.summaries.current.values()} == {1}
        assert worker.metric("prefstream_calls_total", result="refused") == 0
        assert worker.metric("prefstream_rejected_rewrites_total") == 0
        assert_all_applied(flow, worker)


def test_a_model_that_goes_away_under_load_is_waited_for(start_flow: StartFlow, tmp_path: Path) -> None:
    flow = start_flow(SOURCES)
    with Engine(tmp_path, delay_seconds=0.05) as engine:
        worker = flow.start_worker(engine.url)
        worker.await_ready()
        send_rounds(flow, range(10))
        until("first summaries", flow.summaries.poll)
        engine.kill()
        send_rounds(flow, range(10, 12))  # all that was sent before may be applied already
        until("outage noticed", lambda: worker.metric("prefstream_calls_total", result="unavailable") >= 1)
    with Engine(tmp_path, port=engine.port):
        assert_all_applied(flow, worker)


def test_two_of_three_replicas_killed_under_load_fail_nobody(start_flow: StartFlow, tmp_path: Path) -> None:
    flow = start_flow(SOURCES)
    with ExitStack() as stack:
        engines = [stack.enter_context(Engine(tmp_path, delay_seconds=0.05)) for _ in range(3)]
        urls = ",".join(engine.url for engine in engines)
        # None is spared: there is always a call to be cut off.
        worker = flow.start_worker(urls, flush_events=5, max_spared_events=0, model_capacity=4, log_level="DEBUG")
        worker.await_ready()
        for number, engine in enumerate(engines[:2], 1):
            send_rounds(flow, range(10 * number, 10 * number + 10))
            until("a call there", partial(worker.metric, "prefstream_replica_calls_in_flight", replica=str(number)))
            engine.kill()
            until("a failed canary", partial(worker.metric, "prefstream_replica_failed_canaries_total", replica=str(number)))
        flow.await_applied()
        assert worker.metric("prefstream_calls_total", result="unavailable") == 0
        assert worker.metric("prefstream_replica_places", replica="3") == 4
        assert_all_applied(flow, worker)


@pytest.mark.parametrize("how", ["restart", "kill"])
def test_a_broker_that_comes_back_is_all_a_worker_needs(
    broker: Broker, start_flow: StartFlow, engine: Engine, how: str
) -> None:
    flow = start_flow(SOURCES)
    worker = flow.start_worker(engine.url)
    worker.await_ready()
    send_rounds(flow, range(20))
    until("first summaries", flow.summaries.poll)
    if how == "kill":
        broker.kill()
    broker.restart()
    send_rounds(flow, range(20, 30))
    assert_all_applied(flow, worker)
