"""A real vLLM that is killed in the middle of a call, and one that is told to end while calls are in flight."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from streams.evolution.records import CallResult, Completion, Unavailable
from tests.model.asking import ENDLESS, PROFILE_READ, client_of, short
from tests.model.test_calls import running
from tests.model.vllm_process import Vllm

# Long enough for a few calls beside it, short enough to be finished in the time that the server has to drain.
LONG = replace(ENDLESS, max_tokens=600)
NUM_NEW = 5


async def test_a_server_that_is_killed_in_the_middle_of_a_call(server: Vllm) -> None:
    async with client_of(server.url, timeout_seconds=60.0) as client:
        call = asyncio.create_task(client.evolve(ENDLESS, request_id="killed"))
        await running(server, 1)
        # Only what our command runs vLLM through: all the others have to end with it.
        (between,) = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
        os.kill(int(between), signal.SIGKILL)
        assert await asyncio.to_thread(server.await_end) == 128 + signal.SIGKILL
        result = await call
        assert isinstance(result, Unavailable)
        assert result.reason == "disconnected"
        assert result.is_cut_short
        assert not await client.is_ready()
        gone = await client.evolve(short(1), request_id="refused")
        assert isinstance(gone, Unavailable)
        assert (gone.reason, gone.is_cut_short) == ("connection", False)
        server.start()
        assert await client.is_ready()
        assert isinstance(await client.evolve(short(2), request_id="back"), Completion)


async def test_a_server_that_drains_finishes_what_it_has_and_answers_nothing_new(
    server: Vllm, tell: Callable[[str], None]
) -> None:
    async with client_of(server.url) as client:
        call = asyncio.create_task(client.evolve(LONG, request_id="in-flight"))
        await running(server, 1)
        server.terminate()
        trap = await first_abort(server)
        refused = [await client.evolve(short(number), request_id=f"new-{number}") for number in range(NUM_NEW)]
        assert not call.done(), "the call in flight ended too early to see anything"
        in_flight = await call
    tell(f"a draining vLLM answers tokens with HTTP 200, abort and no text, and chats so: {', '.join(map(said_of, refused))}")
    assert trap["choices"][0]["text"] == "", "vLLM says something while it drains"
    # What makes prompts of chats is gone before the engine is: then a chat gets a 500 that says so, the last on its connection.
    reasons = {result.reason if isinstance(result, Unavailable) else type(result).__name__ for result in refused}
    assert reasons <= {"draining", "disconnected"}
    assert isinstance(in_flight, Completion)
    assert in_flight.finish_reason in ("stop", "length")
    assert in_flight.text
    assert await asyncio.to_thread(server.await_end) == 0, server.last_words()


def said_of(result: CallResult) -> str:
    return f"{result.reason} ({result.message})" if isinstance(result, Unavailable) else type(result).__name__


async def first_abort(server: Vllm) -> dict[str, Any]:
    """What vLLM itself answers to a new call for which it needs no template, once it drains: HTTP 200."""
    body = {"model": PROFILE_READ.served_name, "prompt": [1, 2, 3, 4], "max_tokens": 4}
    async with asyncio.timeout(20):
        while True:
            status, answer = await asyncio.to_thread(server.post, "/v1/completions", body)
            assert status == 200, answer
            if answer["choices"][0]["finish_reason"] == "abort":
                return answer
