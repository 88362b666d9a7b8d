"""Span export: sends spans to a collector over OTLP/HTTP, and never makes anybody wait for it.

Place in the flow: behind :mod:`agents.spans`. Spans wait in a queue of bounded length, whose oldest are dropped and counted
while the collector is away, slow, or refuses them. Nothing else of the worker knows how it is.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Literal

import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from agents.metrics import Metrics

SpanOutcome = Literal["exported", "refused", "dropped"]

MAX_WAITING = 2_048
MAX_BATCH = 512
GATHER_SECONDS = 1.0
TIMEOUT_SECONDS = 10.0
MAX_PAUSE_SECONDS = 30.0
CLOSE_SECONDS = 2.0
# What the specification of OTLP says to try again; everything else that is no success is refused for good.
_RETRIABLE = (429, 502, 503, 504)

log = structlog.get_logger()


class SpanExport(SpanProcessor):
    """The way to one collector, at ``url`` (its root). It belongs to the event loop: spans end there."""

    def __init__(self, url: str, metrics: Metrics, *, token: str | None = None, ca_file: Path | None = None) -> None:
        self._url = f"{url}/v1/traces"
        self._headers = {"Content-Type": "application/x-protobuf"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._tls = ssl.create_default_context(cafile=ca_file)
        self._counts = metrics.spans
        self._waiting: deque[ReadableSpan] = deque()
        self._is_enough = asyncio.Event()
        self._pause_seconds = 0.0
        self._is_told = False
        self._task: asyncio.Task[None] | None = None

    def on_end(self, span: ReadableSpan) -> None:
        """Take up a span that ended, in place of the oldest one where there is no room."""
        if not span.context.trace_flags.sampled:
            return
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self._count("dropped", 1)
        self._waiting.append(span)
        if len(self._waiting) >= MAX_BATCH:
            self._is_enough.set()

    def open(self) -> None:
        """Begin to send."""
        self._task = asyncio.create_task(self._run(), name="spans")

    async def close(self) -> None:
        """Send what waits, for a moment; the rest is dropped."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS), self._session() as session:
                while self._waiting and not self._pause_seconds:
                    await self._send(session)
        self._count("dropped", len(self._waiting))
        self._waiting.clear()

    def _count(self, outcome: SpanOutcome, number: int) -> None:
        self._counts.labels(outcome).inc(number)

    def _session(self) -> ClientSession:
        connector, timeout = TCPConnector(ssl=self._tls), ClientTimeout(total=TIMEOUT_SECONDS)
        return ClientSession(headers=self._headers, connector=connector, timeout=timeout, cookie_jar=DummyCookieJar())

    async def _run(self) -> None:
        async with self._session() as session:
            while True:
                await self._gather()
                if self._waiting:
                    await self._send(session)

    async def _gather(self) -> None:
        """Until there is enough for a batch, or a second has passed; longer while the collector is away."""
        self._is_enough.clear()
        if self._pause_seconds:
            await asyncio.sleep(self._pause_seconds)
        elif len(self._waiting) < MAX_BATCH:
            with suppress(TimeoutError):
                async with asyncio.timeout(GATHER_SECONDS):
                    await self._is_enough.wait()

    async def _send(self, session: ClientSession) -> None:
        """Send the oldest spans; they wait again where that is worth trying once more."""
        batch = [self._waiting.popleft() for _ in range(min(MAX_BATCH, len(self._waiting)))]
        try:
            status = await self._post(session, batch)
        except asyncio.CancelledError:
            self._wait_again(batch)
            raise
        except (ClientError, OSError) as error:
            self._is_away(batch, type(error).__name__)
        except Exception as error:  # of whatever kind: a trace is not worth a worker
            self._refused(batch, f"a defect of this version: {type(error).__name__}")
        else:
            self._answered(batch, status)

    async def _post(self, session: ClientSession, batch: list[ReadableSpan]) -> int:
        body = await asyncio.to_thread(lambda: encode_spans(batch).SerializeToString())  # milliseconds, of nobody else's
        async with session.post(self._url, data=body, allow_redirects=False) as response:
            return response.status

    def _answered(self, batch: list[ReadableSpan], status: int) -> None:
        if status in _RETRIABLE:
            self._is_away(batch, f"HTTP {status}")
        elif status // 100 != 2:
            self._refused(batch, f"HTTP {status}")
        else:
            self._count("exported", len(batch))
            self._pause_seconds = 0.0
            if self._is_told:
                log.info("the collector takes spans again")
            self._is_told = False

    def _is_away(self, batch: list[ReadableSpan], why: str) -> None:
        self._pause_seconds = min(MAX_PAUSE_SECONDS, self._pause_seconds * 2 or GATHER_SECONDS)
        self._wait_again(batch)
        self._tell("the collector does not take spans now: they wait, and the oldest are dropped", why)

    def _refused(self, batch: list[ReadableSpan], why: str) -> None:
        self._count("refused", len(batch))
        self._tell("the collector refuses spans: check PREFSTREAM_TRACES_URL and PREFSTREAM_TRACES_TOKEN", why)

    def _wait_again(self, batch: list[ReadableSpan]) -> None:
        room = MAX_WAITING - len(self._waiting)
        kept = batch[-room:] if room else []
        self._count("dropped", len(batch) - len(kept))
        self._waiting.extendleft(reversed(kept))

    def _tell(self, what: str, why: str) -> None:
        """Once, for as long as it lasts."""
        if not self._is_told:
            log.warning(what, why=why)
        self._is_told = True
