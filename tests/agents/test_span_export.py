"""Spans reach a collector that takes them; one that does not costs spans, which are counted, and nobody else anything."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from structlog.testing import capture_logs

import agents.span_export
from agents.metrics import Metrics
from agents.span_export import SpanExport
from tests.agents.collector import Collector
from tests.agents.scripted import counted

TAKES = "the collector takes spans again"


class Exporting:
    """An export, and what it counts."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self.metrics = Metrics()
        self.export = SpanExport(url, self.metrics, token=token)
        self._provider = TracerProvider(shutdown_on_exit=False)
        self._provider.add_span_processor(self.export)
        self.export.open()

    def end_spans(self, number: int) -> None:
        for one in range(number):
            self._provider.get_tracer("t").start_span(f"span {one}").end()

    def counts(self) -> dict[str, float]:
        return {name.removeprefix("spans "): value for name, value in counted(self.metrics).items()}


@pytest.fixture(autouse=True)
def _in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents.span_export, "GATHER_SECONDS", 0.02)
    monkeypatch.setattr(agents.span_export, "MAX_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(agents.span_export, "TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(agents.span_export, "CLOSE_SECONDS", 0.3)
    monkeypatch.setattr(agents.span_export, "MAX_WAITING", 20)
    monkeypatch.setattr(agents.span_export, "MAX_BATCH", 8)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector().served() as collector:
        yield collector


@pytest.fixture
async def exporting(collector: Collector) -> AsyncIterator[Exporting]:
    exporting = Exporting(collector.url)
    yield exporting
    await exporting.export.close()


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


async def test_spans_arrive_as_protobuf_and_are_counted(collector: Collector, exporting: Exporting) -> None:
    exporting.end_spans(18)
    await until(lambda: exporting.counts() == {"exported": 18})
    assert sorted(span.name for span in collector.spans) == sorted(f"span {number}" for number in range(18))


async def test_a_token_goes_along(collector: Collector) -> None:
    exporting = Exporting(collector.url, "sesame")
    exporting.end_spans(1)
    await until(exporting.counts)
    await exporting.export.close()
    assert collector.authorizations == {"Bearer sesame"}


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_collector_that_is_away_gets_the_newest_when_it_is_back(
    collector: Collector, exporting: Exporting, status: int
) -> None:
    collector.status = status
    with capture_logs() as lines:
        exporting.end_spans(10)
        await until(lambda: collector.num_requests > 2)
        exporting.end_spans(50)
        collector.status = 200
        await until(lambda: exporting.counts() == {"exported": 20, "dropped": 40})
    assert sorted(span.name for span in collector.spans) == sorted(f"span {number}" for number in range(30, 50))
    assert [(line["log_level"], line.get("why")) for line in lines] == [("warning", f"HTTP {status}"), ("info", None)]


@pytest.mark.parametrize("status", [301, 400, 401, 404, 500])
async def test_what_it_refuses_is_not_sent_again(collector: Collector, exporting: Exporting, status: int) -> None:
    collector.status = status
    with capture_logs() as lines:
        exporting.end_spans(2)
        await until(lambda: exporting.counts() == {"refused": 2})
        exporting.end_spans(1)
        await until(lambda: exporting.counts() == {"refused": 3})
    assert [line["why"] for line in lines] == [f"HTTP {status}"]


async def test_a_collector_that_does_not_answer_holds_up_nobody(collector: Collector, exporting: Exporting) -> None:
    collector.may_answer.clear()
    exporting.end_spans(100)
    await until(lambda: collector.num_requests)
    began = time.monotonic()
    exporting.end_spans(100)
    assert time.monotonic() - began < 0.1
    await exporting.export.close()
    assert time.monotonic() - began < 2
    assert exporting.counts() == {"dropped": 200}


async def test_where_nobody_listens_the_end_comes_at_once() -> None:
    exporting = Exporting("http://127.0.0.1:9")
    exporting.end_spans(3)
    with capture_logs() as lines:
        await asyncio.sleep(0.1)
        await exporting.export.close()
    assert exporting.counts() == {"dropped": 3}
    assert [line["why"] for line in lines] == ["ClientConnectorError"]


async def test_what_ended_last_is_sent_at_the_end(collector: Collector, exporting: Exporting) -> None:
    exporting.end_spans(12)
    await exporting.export.close()
    assert (exporting.counts(), len(collector.spans)) == ({"exported": 12}, 12)


async def test_a_defect_of_the_export_costs_spans_and_no_worker(
    collector: Collector, exporting: Exporting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encode(batch: list[ReadableSpan]) -> None:
        raise KeyError

    monkeypatch.setattr(agents.span_export, "encode_spans", encode)
    exporting.end_spans(2)
    await until(lambda: exporting.counts() == {"refused": 2})
    monkeypatch.undo()
    exporting.end_spans(1)
    await until(lambda: exporting.counts() == {"refused": 2, "exported": 1})
