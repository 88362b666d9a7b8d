"""Workers that are asked to stop finish what is in flight, in turn under load; and do not wait in vain for a broker."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from agents.failstop import UNFINISHED_EXIT_CODE
from deploy.kafka.broker import Broker
from model_server.counting import Reply, Settings, answer
from tests.kafka.conftest import StartFlow
from tests.kafka.worker_process import Engine, Flow, Worker, applied, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

CAPACITY = 8
MAX_IN_FLIGHT = CAPACITY + CAPACITY // 4  # of one worker
USERS = [f"user-{number}" for number in range(60)]


class CountedEngine(ThreadingHTTPServer):
    """A counting engine in this process, which knows how often it was asked."""

    daemon_threads = True

    def __init__(self, delay_seconds: float) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.delay_seconds = delay_seconds
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.num_calls = 0
        self._lock = threading.Lock()

    def answer(self, body: bytes) -> Reply:
        """Count the call, and answer late."""
        with self._lock:
            self.num_calls += 1
        time.sleep(self.delay_seconds)
        return answer(body, Settings())


class _Answering(BaseHTTPRequestHandler):
    server: CountedEngine

    def do_POST(self) -> None:
        reply = self.server.answer(self.rfile.read(int(self.headers["Content-Length"])))
        content = json.dumps(reply.body).encode()
        self.send_response(reply.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with suppress(ConnectionError):  # whoever asked has stopped
            self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """Not to the terminal."""


@contextmanager
def counted_engine(delay_seconds: float) -> Iterator[CountedEngine]:
    """The engine, while it serves."""
    engine = CountedEngine(delay_seconds)
    thread = threading.Thread(target=engine.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield engine
    finally:
        engine.shutdown()
        engine.server_close()
        thread.join()


class Load:
    """Events of every user in turn, some hundred a second, until it is stopped."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        for number in count():
            if self._stopped.wait(0.01):
                return
            user = USERS[number % len(USERS)]
            event = {"type": "view", "user": user, "at": "2026-01-05T20:15:00Z", "item": {"id": str(number)}}
            self._flow.send("clicks", json.dumps(event).encode(), applied(user), key=user.encode())

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join()


@pytest.mark.parametrize(("drain_seconds", "redone"), [(20.0, range(1)), (0.05, range(1, 6 * MAX_IN_FLIGHT + 1))])
def test_two_workers_restarted_in_turn_under_load(start_flow: StartFlow, drain_seconds: float, redone: range) -> None:
    """Nothing is lost, and no call is made twice; with too little time to drain only those that were in flight are.

    Each restart makes two rebalances, and the group waits in each until the calls in flight have ended or the limit has passed:
    two restarts cut off at most six times what one worker has in flight.
    """
    flow = start_flow({"clicks": ("native", 4)})
    with counted_engine(delay_seconds=0.3) as engine:

        def start(number: int) -> Worker:
            # None is spared: each version is a call.
            settings: dict[str, Any] = {"flush_events": 5, "max_spared_events": 0, "drain_seconds": drain_seconds}
            return flow.start_worker(engine.url, f"disk-{number}", model_capacity=CAPACITY, **settings)

        workers = [start(0), start(1)]
        await_all(workers)
        with Load(flow):
            await_summaries(flow, 1)
            for number in (0, 1):
                assert workers[number].stop() == 0, workers[number].last_words()
                workers[number] = start(number)
                await_all(workers)
                await_summaries(flow, 20)
        flow.await_applied()
        for worker in workers:
            assert worker.stop() == 0, worker.last_words()
        flow.assert_accounted()
        assert engine.num_calls - flow.summaries.num_records in redone


def await_all(workers: list[Worker]) -> None:
    """Wait until all of them are ready at once."""
    until("workers that are all ready", lambda: all(worker.ready_status() == 200 for worker in workers))


def await_summaries(flow: Flow, num_new: int) -> None:
    """Wait until so many more versions are published."""
    enough = flow.summaries.num_records + num_new
    until("summaries", lambda: flow.summaries.poll(0.01) >= enough)


def worker_with_calls_in_flight(flow: Flow, engine: Engine, drain_seconds: float) -> Worker:
    """A worker that waits for the answer of an engine that does not answer soon."""
    worker = flow.start_worker(engine.url, drain_seconds=drain_seconds, flush_events=1)
    worker.await_ready()
    for user in USERS:
        event = {"type": "view", "user": user, "at": "2026-01-05T20:15:00Z", "item": {"id": "1"}}
        flow.send("clicks", json.dumps(event).encode(), applied(user))
    flow.producer.flush()
    until("calls in flight", lambda: worker.metric("prefstream_users_in_flight") > 0)
    return worker


def assert_heir_finishes(flow: Flow, engine: Engine) -> None:
    """Another worker on the same disk does what the first one left over."""
    heir = flow.start_worker(engine.url)
    flow.await_applied()
    assert heir.stop() == 0, heir.last_words()
    flow.assert_accounted()


def test_a_broker_that_is_away_is_not_waited_for(broker: Broker, start_flow: StartFlow, engine: Engine, tmp_path: Path) -> None:
    flow = start_flow({"clicks": ("native", 4)})
    with Engine(tmp_path, delay_seconds=0.7) as slow:
        worker = worker_with_calls_in_flight(flow, slow, drain_seconds=1)
        broker.kill()
        began = time.monotonic()
        assert worker.stop() == UNFINISHED_EXIT_CODE, worker.last_words()
        assert 9 <= time.monotonic() - began < 20  # a second for the calls, eight to commit and leave, and a busy machine
    assert "nothing is lost" in worker.last_words()
    broker.restart()
    assert_heir_finishes(flow, engine)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_a_drain_at_once(
    start_flow: StartFlow, engine: Engine, tmp_path: Path, number: signal.Signals
) -> None:
    flow = start_flow({"clicks": ("native", 4)})
    with Engine(tmp_path, delay_seconds=60) as asleep:
        worker = worker_with_calls_in_flight(flow, asleep, drain_seconds=60)
        worker.process.send_signal(number)
        worker.process.send_signal(number)  # the same one, which came twice
        until("stopping worker", lambda: "stopping" in worker.log.read_text())
        time.sleep(1.5)
        worker.assert_running()
        worker.process.send_signal(number)
        assert worker.process.wait(10) == UNFINISHED_EXIT_CODE
    assert f"a second signal, {number.name}" in worker.last_words()
    assert_heir_finishes(flow, engine)


def test_the_end_of_a_dead_workers_session_is_not_waited_for(engine: Engine, start_flow: StartFlow) -> None:
    flow = start_flow({"native": ("native", 1)})
    dead = flow.start_worker(engine.url, session_timeout_seconds=60)
    dead.await_ready()
    dead.kill()
    joining = flow.start_worker(engine.url, session_timeout_seconds=60)
    until("a start", lambda: "worker started" in joining.last_words())
    time.sleep(2)  # the join itself says nothing
    assert joining.stop(within_seconds=10) == 0
