"""The meter: passes calls on to the model server unchanged, and notes of each what was asked, when, and what came back.

Place: between whoever calls (a worker, or a benchmark's own callers) and the engine. Both sides of a comparison go through one,
so it costs both the same, and what is counted is counted in one place, by no code of the side that is measured.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import msgspec
from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web
from msgspec import Struct

CALLS = "/v1/chat/completions"
_PASSED_ON = ("Content-Type", "Authorization", "X-Request-Id")
_PASSED_BACK = ("Content-Type", "Retry-After")


class _Choice(Struct, frozen=True):
    finish_reason: str | None = None


class _Details(Struct, frozen=True):
    cached_tokens: int | None = None


class Usage(Struct, frozen=True):
    """The engine's own count of one call's tokens."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Details | None = None


class _Reply(Struct, frozen=True):
    choices: tuple[_Choice, ...]
    usage: Usage = Usage()


class Answer(Struct, frozen=True):
    """A call that was answered. ``body`` is the request, to the byte; instants are of ``time.monotonic``."""

    body: bytes
    began: float
    ended: float
    finish_reason: str
    usage: Usage


class Meter:
    """``async with Meter(engine_url, noted) as meter``: give ``meter.url`` to the callers.

    Calls wait at the meter until it is opened. ``noted`` is called after each answer.
    """

    def __init__(self, engine_url: str, noted: Callable[[], object]) -> None:
        self.asked: list[bytes] = []
        self.answers: list[Answer] = []
        self.failures: list[str] = []
        self.changes: list[tuple[float, int]] = []  # when how many calls were open from then on
        self._engine_url = engine_url
        self._noted = noted
        self._num_open = 0
        self._came = asyncio.Event()
        self._is_open = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._session = ClientSession(
            connector=TCPConnector(limit=0, keepalive_timeout=4.0), timeout=ClientTimeout(None), auto_decompress=False
        )
        # With handler_cancellation a caller that hangs up hangs up on the engine too.
        self._runner = web.ServerRunner(web.Server(self._pass_on, handler_cancellation=True), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}".format(*self._runner.addresses[0])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        await self._session.close()

    def open(self) -> None:
        """Let the calls pass, those that wait first."""
        self._is_open.set()

    async def wait(self, seconds: float) -> None:
        """Until the next answer or failure, at most so long."""
        self._came.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._came.wait()
        except TimeoutError:
            return

    async def _pass_on(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        if request.path != CALLS:
            return await self._forward(request, body)
        await self._is_open.wait()
        self.asked.append(body)
        began = self._opened(1)
        try:
            response = await self._forward(request, body)
        finally:
            ended = self._opened(-1)
        self._note(body, response, began, ended)
        return response

    def _opened(self, change: int) -> float:
        """Note that a call begins (1) or ends (-1). Returns when."""
        now = time.monotonic()
        self._num_open += change
        self.changes.append((now, self._num_open))
        return now

    async def _forward(self, request: web.BaseRequest, body: bytes) -> web.Response:
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        try:
            async with self._session.request(
                request.method, self._engine_url + request.path_qs, data=body or None, headers=headers
            ) as answer:
                kept = {name: answer.headers[name] for name in _PASSED_BACK if name in answer.headers}
                return web.Response(status=answer.status, body=await answer.read(), headers=kept)
        except ClientError as error:
            return web.Response(status=502, text=f"{type(error).__name__}")

    def _note(self, body: bytes, response: web.Response, began: float, ended: float) -> None:
        content = response.body if isinstance(response.body, bytes) else b""
        try:
            reply = msgspec.json.decode(content, type=_Reply)
        except msgspec.MsgspecError:
            self.failures.append(f"HTTP {response.status}: {content[:200]!r}")
        else:
            reason = reply.choices[0].finish_reason or "" if reply.choices else ""
            self.answers.append(Answer(body, began, ended, reason, reply.usage))
            self._noted()
        self._came.set()

    def open_seconds(self, begin: float, end: float) -> dict[int, float]:
        """For how many seconds between two instants so many calls were open, by their number."""
        seconds: dict[int, float] = {}
        ends = [at for at, _ in self.changes[1:]] + [end]
        for (at, number), until in zip(self.changes, ends, strict=True):
            inside = min(until, end) - max(at, begin)
            if inside > 0:
                seconds[number] = seconds.get(number, 0.0) + inside
        return seconds
