"""An event is followed from its producer's trace to the summary that it is in; who it is about is in no span."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import Message
from opentelemetry.sdk.trace import ReadableSpan

from agents.flushes import Flush, Flushes
from agents.spans import Spans
from agents.tenant_metrics import TenantLabels
from agents.trace_contexts import MAX_OF_A_USER
from agents.writer import Headers
from streams.evolution.records import CallResult, Completion, Refused, Unavailable
from streams.pending import Due
from tests.agents.scripted import message
from tests.agents.spans_kept import Kept, spans_to

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, NOT_SAMPLED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"
ADA = b"ada-the-canary"
GOOD = Completion("Loves canaries.", "stop", prompt_tokens=30, completion_tokens=3)


def places(span: ReadableSpan) -> tuple[str, str, str]:
    """Its trace, its parent, itself."""
    parent = f"{span.parent.span_id:016x}" if span.parent else ""
    return f"{span.context.trace_id:032x}", parent, f"{span.context.span_id:016x}"


def record(topic: str, offset: int, headers: Headers = (), key: bytes = ADA) -> Message:
    read = message(topic, offset, b"canary", key, 2)
    read.headers = [*headers]
    return read


def intake(spans: Spans, traceparent: str, offset: int = 7, **more: str) -> Headers:
    """What the records carry that are made of one of a producer who says so."""
    headers = {"traceparent": traceparent, **more}
    trace = spans.takes_in(record("clicks", offset, [(name, value.encode()) for name, value in headers.items() if value]))
    carried = trace.headers()
    trace.ended("forwarded")
    return carried


def collect(spans: Spans, headers: Headers, offset: int, outcome: str = "accepted") -> None:
    spans.collects(record("t.events", offset, headers)).ended(outcome)


def begin(spans: Spans, *offsets: int) -> Flush:
    owned: Any = SimpleNamespace(number=2)
    return Flushes(TenantLabels(), 0.0, time.monotonic, spans).begin(owned, Due(ADA, offsets, "size"))


def call(flush: Flush, result: CallResult = GOOD) -> None:
    flush.calls()
    flush.called(result, 0.1)


def test_an_event_is_followed_from_its_producer_to_the_record_of_its_summary() -> None:
    kept = Kept()
    spans = spans_to(kept)
    carried = intake(spans, SAMPLED, tracestate="vendor=1")
    collect(spans, carried, 41)
    flush = begin(spans, 41)
    http = flush.calls()
    flush.called(GOOD, 0.1)
    written = dict(flush.writes_back())
    flush.published()
    assert kept.names == [
        "intake clicks",
        "collect t.events",
        "chat counting",
        "write back t.summaries",
        "flush t.events",
    ]
    intake_span, collect_span, chat, write_back, flush_span = kept.spans
    assert places(intake_span)[:2] == (TRACE, SPAN)
    assert dict(carried) == {
        "traceparent": f"00-{TRACE}-{intake_span.context.span_id:016x}-01".encode(),
        "tracestate": b"vendor=1",
    }
    assert places(collect_span)[:2] == (TRACE, f"{intake_span.context.span_id:016x}")
    assert [link.context for link in flush_span.links] == [collect_span.context]
    assert flush_span.parent is None
    assert flush_span.context.trace_id != intake_span.context.trace_id
    for child, told in ((chat, http["traceparent"]), (write_back, written["traceparent"].decode())):
        assert child.parent == flush_span.context
        version, *place, flags = told.split("-")
        assert (version, tuple(place), int(flags, 16) & 1) == ("00", places(child)[::2], 1)


def test_what_a_span_says_has_no_user_and_no_text() -> None:
    kept = Kept()
    spans = spans_to(kept, 1.0)
    collect(spans, intake(spans, ""), 41)
    flush = begin(spans, 41)
    call(flush, Unavailable("timeout", "canary"))
    call(flush, Refused(400, "canary"))
    call(flush)
    flush.writes_back()
    flush.published()
    told = [(span.name, dict(span.attributes or {})) for span in kept.spans]
    assert told[0] == (
        "intake clicks",
        {
            "messaging.system": "kafka",
            "messaging.operation.name": "intake",
            "messaging.operation.type": "process",
            "messaging.destination.name": "clicks",
            "messaging.consumer.group.name": "t",
            "messaging.destination.partition.id": "2",
            "messaging.kafka.offset": 7,
            "prefstream.outcome": "forwarded",
        },
    )
    assert [attributes.get("error.type") for _, attributes in told] == [None, None, "timeout", "400", None, None, None]
    assert told[-1][1]["prefstream.outcome"] == "published"
    assert told[-1][1]["messaging.batch.message_count"] == 1
    assert "canar" not in "".join(span.to_json() for span in kept.spans)


@pytest.mark.parametrize("outcome", ["rejected", "refused", "unavailable", "unprocessable"])
def test_a_flush_without_a_version_has_failed(outcome: Any) -> None:
    kept = Kept()
    begin(spans_to(kept, 1.0), 41).ended(outcome, "why")
    (span,) = kept.spans
    assert (span.status.is_ok, (span.attributes or {})["error.type"]) == (False, "why")


def test_a_refused_record_has_failed_with_its_reason() -> None:
    kept = Kept()
    spans_to(kept, 1.0).takes_in(record("clicks", 7)).ended("undecodable", is_failure=True)
    assert (kept.spans[0].attributes or {})["error.type"] == "undecodable"


def test_what_the_producer_does_not_sample_is_not_followed() -> None:
    kept = Kept()
    spans = spans_to(kept, 1.0)
    assert intake(spans, NOT_SAMPLED) == ()
    collect(spans, (), 41)
    assert kept.spans == []


def test_where_the_producer_says_nothing_chance_decides_once_for_event_and_flush() -> None:
    kept = Kept()
    spans = spans_to(kept, 0.0)
    collect(spans, intake(spans, ""), 41)
    begin(spans, 41).published()
    assert kept.spans == []


@pytest.mark.parametrize(
    "headers",
    [
        [("traceparent", b"nonsense")],
        [("traceparent", b"\xff\xfe")],
        [("traceparent", SAMPLED.encode()), ("traceparent", SAMPLED.encode())],
        [("traceparent", None)],
    ],
    ids=["nonsense", "no text", "two of them", "empty"],
)
def test_a_header_that_cannot_be_read_is_none(headers: Any) -> None:
    kept = Kept()
    spans_to(kept, 1.0).takes_in(record("clicks", 7, headers)).ended("forwarded")
    (span,) = kept.spans
    assert span.parent is None


def test_a_cloudevent_may_carry_it_under_its_own_prefix() -> None:
    kept = Kept()
    spans_to(kept).takes_in(record("clicks", 7, [("ce_traceparent", SAMPLED.encode())])).ended("forwarded")
    assert f"{kept.spans[0].context.trace_id:032x}" == TRACE


def test_a_state_that_is_too_long_stays_behind() -> None:
    carried = dict(intake(spans_to(Kept()), SAMPLED, tracestate=f"v={'x' * 600}"))
    assert carried.keys() == {"traceparent"}


def test_a_flush_that_failed_is_linked_again_and_one_that_was_published_is_not() -> None:
    kept = Kept()
    spans = spans_to(kept, 1.0)
    collect(spans, intake(spans, SAMPLED), 41)
    begin(spans, 41).ended("unavailable", "timeout")
    flush = begin(spans, 41)
    flush.writes_back()
    flush.published()
    begin(spans, 41).published()
    assert [len(span.links) for span in kept.spans if span.name.startswith("flush")] == [1, 1, 0]


@pytest.mark.parametrize("outcome", ["duplicate", "redelivered", "filtered", "erased", "command"])
def test_only_what_is_pending_is_linked(outcome: str) -> None:
    kept = Kept()
    spans = spans_to(kept)
    collect(spans, intake(spans, SAMPLED), 41, outcome)
    begin(spans, 41).published()
    assert kept.names == ["intake clicks", "collect t.events"]


def test_events_that_were_given_up_do_not_keep_later_ones_from_being_linked() -> None:
    kept = Kept()
    spans = spans_to(kept)
    given_up = range(MAX_OF_A_USER)
    for offset in given_up:
        collect(spans, intake(spans, SAMPLED), offset)
    begin(spans, *given_up).ended("refused")  # and they become dead letters
    begin(spans, MAX_OF_A_USER).ended("stale")
    collect(spans, intake(spans, SAMPLED), MAX_OF_A_USER + 1)
    begin(spans, MAX_OF_A_USER + 1).ended("stale")
    assert len(kept.spans[-1].links) == 1


def test_who_is_forgotten_is_not_remembered() -> None:
    kept = Kept()
    spans = spans_to(kept)
    collect(spans, intake(spans, SAMPLED), 41)
    spans.forgets(record("t.events", 42))
    begin(spans, 41).published()
    assert kept.names == ["intake clicks", "collect t.events"]
    assert ADA not in repr(vars(spans._remembered)).encode()
