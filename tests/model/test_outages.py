"""A real vLLM that is killed in the middle of a call, and comes back."""

from __future__ import annotations

import asyncio

from streams.evolution.records import Completion, Unavailable
from tests.model.asking import ENDLESS, client_of, short
from tests.model.test_calls import running
from tests.model.vllm_process import Vllm


async def test_a_server_that_is_killed_in_the_middle_of_a_call(server: Vllm) -> None:
    async with client_of(server.url, timeout_seconds=60.0) as client:
        call = asyncio.create_task(client.evolve(ENDLESS, request_id="killed"))
        await running(server, 1)
        await asyncio.to_thread(server.kill)
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
