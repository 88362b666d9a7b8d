"""Whatever a worker says from INFO on, in either format, it says nothing of who people are or what they like."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from model_server.counting import Reply
from tests.kafka.conftest import StartFlow
from tests.kafka.test_poison import HASTE, Model
from tests.kafka.worker_process import Flow, Worker, applied, read_all, refused, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

# Each stands for one thing that nobody may read in a log; the others are made of them.
USER, TITLE, TEXT, SECRET = "canary-user-7f3a", "Canary Title 7f3a", "canary text 7f3a", "canary-secret-7f3a"
QUOTED: dict[str, object] = {"error": {"message": f"not with {USER}, {TITLE}, {TEXT}", "type": "BadRequestError"}}


def event(type_: str, user: str = USER, **more: object) -> bytes:
    return json.dumps({"type": type_, "user": user, "at": datetime.now().astimezone().isoformat(), **more}).encode()


def rating(title: str, user: str = USER) -> bytes:
    return event("rating", user, item={"id": f"{title}-id", "title": title, "attributes": {"genre": [TEXT]}}, value=5)


def send_good(flow: Flow) -> None:
    headers = [("traceparent", SECRET.encode()), ("from", USER.encode())]
    for number in range(5):
        flow.send("native", rating(f"{TITLE} {number}"), applied(USER), key=USER.encode(), headers=headers)
    flow.send("native", event("post", text=f"{TEXT} me@example.com"), applied(USER))
    flow.send("native", event("search", query=TEXT), applied(USER))


def send_bad(flow: Flow) -> None:
    """What ends as a dead letter."""
    flow.send("native", rating(TITLE)[:-3], refused("undecodable"), key=USER.encode())
    flow.send("native", event(TEXT), refused("unknown_type"))
    flow.send("native", event("rating", item={"id": TITLE}, value=TEXT), refused("invalid"))


def command_everything(flow: Flow) -> None:
    asked: dict[str, dict[str, str]] = {"pin": {"statement": TEXT}, "never": {"subject": TEXT}, "forget": {}}
    for type_, more in asked.items():
        flow.producer.send(flow.names.inbox, key=USER.encode(), value=event(type_, **more)).get(timeout=30)


def num_receipts(flow: Flow) -> int:
    return len(read_all(flow.bootstrap_servers, flow.names.receipts))


def meets(flow: Flow, worker: Worker, model: Model, status: int, result: str) -> None:
    """An event whose call the model answers so, and in words that quote everything."""
    before = worker.metric("prefstream_calls_total", result=result)
    model.trouble = Reply(status, QUOTED)
    flow.send("native", rating(f"{TITLE} {status}"), applied(USER))
    until("call", lambda: worker.metric("prefstream_calls_total", result=result) > before, explain=worker.last_words)


def go_through_everything(flows: dict[Flow, Worker], model: Model) -> None:
    """Good events and bad ones, a model that quotes what it refuses and is away, commands, and an end."""
    for flow, worker in flows.items():
        worker.await_ready()
        send_good(flow)
        send_bad(flow)
        flow.await_applied()
    model.for_all = True
    for flow, worker in flows.items():
        for status, result in ((400, "refused"), (500, "unavailable"), (403, "unavailable")):
            meets(flow, worker, model, status, result)
    model.trouble = None
    for flow, worker in flows.items():
        flow.await_applied()
        command_everything(flow)
        until("receipts", lambda: num_receipts(flow) == 3, explain=worker.last_words)  # noqa: B023
        assert worker.stop() == 0, worker.last_words()


def test_no_line_says_who_or_what(start_flow: StartFlow) -> None:
    formats = {name: start_flow({"native": ("native", 1)}) for name in ("console", "json")}
    settings: dict[str, Any] = HASTE | {"log_flushes_seconds": 0, "model_api_key": SECRET, "forget_key": SECRET}
    with Model().served() as model:
        workers = {flow: flow.start_worker(model.url, log_format=name, **settings) for name, flow in formats.items()}
        go_through_everything(workers, model)
    said = {name: workers[flow].log.read_text() for name, flow in formats.items()}
    canaries = (USER, TITLE, TEXT, SECRET, "7f3a")
    for text in said.values():
        assert [canary for canary in canaries if canary.lower() in text.lower()] == []
        words = ("worker started", "flush", "published", "refused", "unavailable", "became a dead letter", "worker stopped")
        assert [word for word in words if word not in text] == []
    lines = [json.loads(line) for line in said["json"].splitlines()]
    assert all([*line][:4] == ["timestamp", "level", "logger", "event"] for line in lines)
    published = [line for line in lines if line["event"] == "flush" and line["outcome"] == "published"]
    assert sum(line["num_new_events"] for line in published) == 10
