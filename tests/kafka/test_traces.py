"""Events are followed across a real broker to the record of their summary, and a collector that fails holds up nothing."""

from __future__ import annotations

import json
import secrets
import time
from datetime import datetime
from typing import Any

import pytest

from tests.agents.collector import Collector, attributes_of
from tests.kafka.conftest import StartFlow
from tests.kafka.test_audit import audit_json
from tests.kafka.worker_process import Engine, Flow, Worker, applied, is_barrier, read_all, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

USER, TITLE, TEXT = "canary-user-7f3a", "Canary Title 7f3a", "canary text 7f3a"
Producer = tuple[bytes, bytes]  # trace, span


def send_rating(flow: Flow, number: int, *, is_traced: bool) -> Producer:
    producer = secrets.token_bytes(16), secrets.token_bytes(8)
    item = {"id": f"{TITLE} {number}", "title": f"{TITLE} {number}", "attributes": {"genre": [TEXT]}}
    at = datetime.now().astimezone().isoformat()
    value = json.dumps({"type": "rating", "user": USER, "at": at, "item": item, "value": 5}).encode()
    traceparent = f"00-{producer[0].hex()}-{producer[1].hex()}-01".encode()
    headers = [("traceparent", traceparent)] if is_traced else []
    flow.send("native", value, applied(USER), key=USER.encode(), headers=headers, partition=0)
    return producer


def traceparent_of(record: Any) -> tuple[bytes, bytes] | None:
    """The trace and the span that a record names."""
    carried = dict(record.headers).get("traceparent")
    return (bytes.fromhex(carried.decode()[3:35]), bytes.fromhex(carried.decode()[36:52])) if carried else None


def follows(flow: Flow, collector: Collector, worker: Worker) -> None:
    """Three events of a producer who traces, and two of one who does not, in one flush."""
    producers = [send_rating(flow, number, is_traced=True) for number in range(3)]
    for number in (3, 4):
        send_rating(flow, number, is_traced=False)
    flow.await_applied()
    until("flush", lambda: collector.named("flush"), explain=worker.last_words)
    intake, collect = collector.named("intake"), collector.named("collect")
    assert [(one.trace_id, one.parent_span_id) for one in intake] == producers
    assert [(one.trace_id, one.parent_span_id) for one in collect] == [(one.trace_id, one.span_id) for one in intake]
    (flush,), (call,), (write_back,) = collector.named("flush"), collector.named("chat"), collector.named("write back")
    assert [(link.trace_id, link.span_id) for link in flush.links] == [(one.trace_id, one.span_id) for one in collect]
    assert {(one.trace_id, one.parent_span_id) for one in (call, write_back)} == {(flush.trace_id, flush.span_id)}
    assert (
        call.end_time_unix_nano <= write_back.start_time_unix_nano < write_back.end_time_unix_nano <= flush.end_time_unix_nano
    )
    told = attributes_of(flush)
    assert (told["prefstream.outcome"], told["messaging.batch.message_count"]) == ("published", 5)
    events = read_all(flow.bootstrap_servers, flow.names.events)
    assert [traceparent_of(one) for one in events] == [(one.trace_id, one.span_id) for one in intake] + [None, None]
    (summary,) = (one for one in read_all(flow.bootstrap_servers, flow.names.summaries) if not is_barrier(one))
    assert traceparent_of(summary) == (write_back.trace_id, write_back.span_id)


def fails(flow: Flow, collector: Collector, worker: Worker) -> None:
    """It refuses spans, and then it does not answer; events are applied all the same, and the worker ends in order."""
    collector.status = 400
    send_rating(flow, 5, is_traced=True)
    flow.await_applied()
    until("count", lambda: worker.metric("prefstream_spans_total", outcome="refused") >= 2, explain=worker.last_words)
    collector.may_answer.clear()
    num_before = collector.num_requests
    send_rating(flow, 6, is_traced=True)
    until("question", lambda: collector.num_requests > num_before)
    send_rating(flow, 7, is_traced=True)
    flow.await_applied()
    assert (worker.ready_status(), worker.metric("prefstream_stalled_seconds")) == (200, 0)
    began = time.monotonic()
    assert worker.stop() == 0, worker.last_words()
    assert time.monotonic() - began < 20


def test_an_event_is_followed_to_its_summary_and_a_collector_that_fails_costs_spans_only(
    start_flow: StartFlow, engine: Engine
) -> None:
    flow = start_flow({"native": ("native", 1)})
    settings: dict[str, Any] = {"traces_ratio": 0, "flush_events": 5, "flush_age_seconds": 2, "max_spared_events": 0}
    with Collector().served() as collector:
        worker = flow.start_worker(engine.url, traces_url=collector.url, **settings)
        worker.await_ready()
        follows(flow, collector, worker)
        assert worker.metric("prefstream_spans_total", outcome="exported") == len(collector.spans) == 9
        fails(flow, collector, worker)
        sent = b"".join(request.SerializeToString() for request in collector.requests)
    assert [one for one in (USER, TITLE, TEXT, "7f3a") if one.encode() in sent or one in worker.log.read_text()] == []
    assert worker.log.read_text().count("the collector refuses spans") == 1
    flow.assert_accounted()
    assert audit_json(flow).verdict == "holds"
