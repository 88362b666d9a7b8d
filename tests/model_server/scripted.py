"""A real HTTP server that plays a script: one step per request, in order. What tests talk to instead of a model."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Literal, Self

import msgspec
from aiohttp import web
from msgspec import Struct


class Reply(Struct, frozen=True):
    """Answer with these bytes, after ``release`` is set if there is one; one that nobody sets is a server that hangs."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = {}
    release: asyncio.Event | None = None


def says(
    text: str | None, finish_reason: str | None = "stop", release: asyncio.Event | None = None, *, num_tokens: int = 7
) -> Reply:
    """A chat completion as vLLM writes it: 30 prompt tokens, 16 of them cached, and those of the answer."""
    usage = {"prompt_tokens": 30, "completion_tokens": num_tokens, "prompt_tokens_details": {"cached_tokens": 16}}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
    return Reply(body=msgspec.json.encode({"id": "1", "choices": [choice], "usage": usage}), release=release)


Step = Reply | Literal["disconnect"]


class ScriptedServer:
    """``async with ScriptedServer(says("hello"), "disconnect") as server``.

    A request after the script's end gets what ``otherwise`` makes of its path and body: a 500, if nothing else is said.
    """

    def __init__(self, *steps: Step, otherwise: Callable[[str, bytes], Step] = lambda path, body: Reply(500)) -> None:
        self.requests: list[tuple[web.BaseRequest, bytes]] = []
        self.arrivals: asyncio.Queue[None] = asyncio.Queue()
        self.hung_up = asyncio.Event()
        self._steps = deque(steps)
        self._otherwise = otherwise

    async def __aenter__(self) -> Self:
        # With handler_cancellation the script learns that its caller hung up.
        self._runner = web.ServerRunner(web.Server(self._answer, handler_cancellation=True), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}".format(*self._runner.addresses[0])
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request, body))
        self.arrivals.put_nowait(None)
        step = self._steps.popleft() if self._steps else self._otherwise(request.path, body)
        if step == "disconnect":
            request.protocol.force_close()
            return web.Response()
        try:
            await (step.release.wait() if step.release else asyncio.sleep(0))
        except asyncio.CancelledError:
            self.hung_up.set()
            raise
        return web.Response(status=step.status, body=step.body, headers=step.headers)
