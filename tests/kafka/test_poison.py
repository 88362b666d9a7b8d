"""One event with which no rewrite succeeds, on a real broker: it is found and given up, and nobody and nothing else is."""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Event, Thread
from typing import Any

import msgspec
import pytest

from deploy.kafka.node import free_port
from model_server.counting import Reply, Settings, answer
from tests.kafka.conftest import StartFlow
from tests.kafka.test_audit import audit_json
from tests.kafka.worker_process import Flow, Worker, applied, read_all, refused, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

SOURCES = {"native": ("native", 3)}
POISON = "Nobody Writes About This"
# Others' events say nothing new: spared, no answer would show that the model works for anybody.
HASTE: dict[str, Any] = {"max_backoff_seconds": 0.2, "flush_age_seconds": 0.3, "max_spared_events": 0}

NO_TROUBLE = None
REFUSED = Reply(400, {"error": {"message": "cannot be tokenised", "type": "BadRequestError", "code": 400}})
BROKEN = Reply(500, {})
EMPTY = Reply(200, {"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]})


class Model:
    """The counting engine, but for the prompts that say the poisonous title, or for all: those get ``trouble``, or are held."""

    def __init__(self) -> None:
        self.trouble: Reply | None = NO_TROUBLE
        self.for_all = False
        self.may_answer = Event()
        self.may_answer.set()
        self.num_poisonous = 0
        self.num_held = 0
        self.url = f"http://127.0.0.1:{free_port()}"

    def answer(self, body: bytes) -> Reply:
        """What one request gets."""
        is_poisonous = POISON in json.loads(body)["messages"][-1]["content"]
        self.num_poisonous += is_poisonous
        if is_poisonous:
            self.num_held += 1
            self.may_answer.wait()
            self.num_held -= 1
        return self.trouble if self.trouble and (is_poisonous or self.for_all) else answer(body, Settings())

    @contextmanager
    def served(self) -> Iterator[Model]:
        """Listening, until the end."""
        model = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                reply = model.answer(self.rfile.read(int(self.headers["Content-Length"])))
                body = msgspec.json.encode(reply.body)
                self.send_response(reply.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                """Not to the terminal."""

        server = ThreadingHTTPServer(("127.0.0.1", int(self.url.rsplit(":", 1)[1])), Handler)
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self.may_answer.set()
            server.shutdown()
            server.server_close()
            thread.join()


@pytest.fixture
def model() -> Iterator[Model]:
    """A model that has no trouble yet."""
    with Model().served() as model:
        yield model


def rating(user: str, title: str = "Fargo (1996)") -> bytes:
    item = {"id": title, "title": title, "attributes": {"genre": ["crime", "drama"]}}
    at = datetime.now().astimezone().isoformat()
    return json.dumps({"type": "rating", "user": user, "at": at, "item": item, "value": 5}).encode()


def send_poisoned(flow: Flow, user: str, places: set[int], num_events: int = 20) -> None:
    """Events of this user, in one partition, of which those at these places are poison."""
    for n in range(num_events):
        title, fate = (POISON, refused("poison")) if n in places else (f"Film {n}", applied(user))
        flow.send("native", rating(user, title), fate, partition=1)


def others_go_on(flow: Flow, until_what: str, holds: Callable[[], object]) -> None:
    """Somebody else has an event every tenth of a second, until this holds."""
    numbers = count()
    after = time.monotonic()

    def holds_now() -> object:
        nonlocal after
        if time.monotonic() >= after:
            after = time.monotonic() + 0.1
            user = f"other-{next(numbers) % 20}"
            flow.send("native", rating(user), applied(user))
        return holds()

    until(until_what, holds_now)


def has_called_or_given_up(flow: Flow, model: Model, num_calls: int) -> bool:
    return model.num_poisonous >= num_calls or bool(letters_of(flow))


def has_summary(flow: Flow, user: str) -> bool:
    flow.summaries.poll(0.01)
    return user in flow.summaries.current


def num_letters(worker: Worker) -> float:
    return worker.metric("prefstream_dead_letters_total", reason="poison")


def rows_of_failures(flow: Flow) -> dict[str, list[Any]]:
    """The rows ``f`` of the pending table, from its changelog, read with msgpack alone."""
    rows = {record.key: record.value for record in read_all(flow.bootstrap_servers, flow.names.pending)}
    return {key[3:].decode(): msgspec.msgpack.decode(value) for key, value in rows.items() if key[:1] == b"f" and value}


def letters_of(flow: Flow) -> dict[bytes, dict[str, Any]]:
    return {one.key: json.loads(one.value) for one in read_all(flow.bootstrap_servers, flow.names.dead_letters)}


def end(flow: Flow, worker: Worker) -> None:
    """Everything is applied or a dead letter, exactly once, nothing waits, and the audit finds the same."""
    flow.await_applied()
    assert worker.stop() == 0, worker.last_words()
    flow.assert_accounted()
    assert flow.pending_rows() == []
    found = audit_json(flow)
    assert (found.verdict, found.findings) == ("holds", ())
    assert sum(one.poison for one in found.partitions) == sum(fate == refused("poison") for fate in flow.ledger.fates.values())


@pytest.mark.parametrize(
    ("trouble", "message", "attempts"),
    [
        (REFUSED, "refused: HTTP 400: cannot be tokenised", 3),
        (EMPTY, "rejected: empty: the answer has no words", 3),
        (BROKEN, "unanswered: server_error: HTTP 500", 8),
    ],
    ids=["refused", "rejected", "server error"],
)
def test_the_one_event_is_given_up_and_its_user_goes_on(
    start_flow: StartFlow, model: Model, chance: random.Random, trouble: Reply, message: str, attempts: int
) -> None:
    model.trouble = trouble
    flow = start_flow(SOURCES)
    worker = flow.start_worker(model.url, **HASTE)
    worker.await_ready()
    place = chance.randrange(20)
    send_poisoned(flow, "ada", {place})
    others_go_on(flow, "dead letter", lambda: num_letters(worker))
    flow.send("native", rating("ada", "Heat (1995)"), applied("ada"), partition=1)
    end(flow, worker)
    ((key, letter),) = letters_of(flow).items()
    assert (letter["reason"], letter["message"], letter["attempts"]) == ("poison", message, attempts)
    assert key.decode() == "/".join(map(str, letter["origin"]))
    assert letter["is_event"]
    assert [(user, row[0]) for user, row in rows_of_failures(flow).items()] == [("ada", 1)]
    sys.stdout.write(f"{model.num_poisonous} calls with the event at place {place}\n")


def test_poison_in_the_middle_of_poison(start_flow: StartFlow, model: Model, chance: random.Random) -> None:
    """Several events of several users, some beside each other."""
    model.trouble = EMPTY
    flow = start_flow(SOURCES)
    worker = flow.start_worker(model.url, **HASTE)
    worker.await_ready()
    poison = {user: set(chance.sample(range(30), 3)) | {7, 8} for user in ("ada", "bob", "eve")}
    for user, places in poison.items():
        send_poisoned(flow, user, places, 30)
    num_poison = sum(map(len, poison.values()))
    others_go_on(flow, "dead letters", lambda: num_letters(worker) == num_poison)
    end(flow, worker)
    assert {user: row[0] for user, row in rows_of_failures(flow).items()} == {user: len(at) for user, at in poison.items()}


@pytest.mark.parametrize("disk_is_lost", [False, True], ids=["disk kept", "disk lost"])
def test_a_worker_killed_in_the_middle_of_the_search(
    start_flow: StartFlow, model: Model, chance: random.Random, disk_is_lost: bool
) -> None:
    model.trouble = EMPTY
    flow = start_flow(SOURCES)
    send_poisoned(flow, "ada", {chance.randrange(20)})
    for life in range(3):
        worker = flow.start_worker(model.url, f"disk-{life if disk_is_lost else 0}", **HASTE)
        num_calls = model.num_poisonous + chance.randrange(1, 7)  # up to three failures: a rejected answer is asked for twice
        others_go_on(flow, "calls", partial(has_called_or_given_up, flow, model, num_calls))
        sys.stdout.write(f"killed after {model.num_poisonous} calls with the event\n")
        worker.kill()
    worker = flow.start_worker(model.url, "disk-3" if disk_is_lost else "disk-0", **HASTE)
    others_go_on(flow, "dead letter", lambda: letters_of(flow))
    end(flow, worker)
    assert [(user, row[0]) for user, row in rows_of_failures(flow).items()] == [("ada", 1)]


def test_a_call_that_hangs_holds_back_nobody_else(start_flow: StartFlow, model: Model) -> None:
    model.trouble = BROKEN
    model.may_answer.clear()
    flow = start_flow(SOURCES)
    worker = flow.start_worker(model.url, **HASTE)
    worker.await_ready()
    flow.send("native", rating("ada", POISON), refused("poison"))
    until("call that hangs", lambda: model.num_held == 1)
    delays = []
    for n in range(20):
        sent, user = time.monotonic(), f"other-{n}"
        flow.send("native", rating(user), applied(user))
        until("summary beside the call that hangs", partial(has_summary, flow, user))
        delays.append(time.monotonic() - sent)
    assert model.num_held == 1
    sys.stdout.write(f"delays beside it: median {statistics.median(delays):.2f} s, longest {max(delays):.2f} s\n")
    model.may_answer.set()
    others_go_on(flow, "dead letter", lambda: num_letters(worker))
    end(flow, worker)


@pytest.mark.parametrize("when", ["writing", "reading"])
def test_an_event_that_meets_a_defect_is_given_up_and_stops_no_worker(
    start_flow: StartFlow, model: Model, chance: random.Random, when: str
) -> None:
    """Of two workers neither ends, and whoever else there is has summaries meanwhile."""
    flow = start_flow(SOURCES)
    command = ("tests.kafka.defective_worker", when, POISON)
    workers = [flow.start_worker(model.url, f"disk-{n}", command, **HASTE) for n in range(2)]
    for worker in workers:
        worker.await_ready()
    send_poisoned(flow, "ada", {chance.randrange(20)})
    others_go_on(flow, "dead letter", lambda: sum(map(num_letters, workers)))
    flow.send("native", rating("ada", "Heat (1995)"), applied("ada"), partition=1)
    flow.await_applied()
    assert sum(one.metric("prefstream_failed_calls_total", kind="unprocessable") for one in workers) >= 3
    assert workers[0].stop() == 0, workers[0].last_words()
    end(flow, workers[1])
    (letter,) = letters_of(flow).values()
    assert letter["message"].startswith("unprocessable: a defect of this version: ZeroDivisionError in call, line ")
    assert [(user, row[0]) for user, row in rows_of_failures(flow).items()] == [("ada", 1)]
    logs = "".join(worker.log.read_text() for worker in workers)
    assert logs.count("met a defect of this version: please report it") >= 1
    assert POISON not in logs


def test_a_model_that_refuses_everybody_costs_nobody_an_event(start_flow: StartFlow, model: Model) -> None:
    model.trouble, model.for_all = REFUSED, True
    flow = start_flow(SOURCES)
    worker = flow.start_worker(model.url, **HASTE)
    worker.await_ready()
    for n in range(10):
        send_poisoned(flow, f"user-{n}", set(), 10)
    flow.producer.flush()
    until("refusals", lambda: worker.metric("prefstream_calls_total", result="refused") > 150)
    model.trouble = NO_TROUBLE
    end(flow, worker)
    assert (letters_of(flow), rows_of_failures(flow)) == ({}, {})
