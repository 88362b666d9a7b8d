"""Our client and a real vLLM: what it computes, what it shares between calls, what it leaves, and what it turns away."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from model_server.replicas import Replicas
from streams.evolution.dialects import dialect_of
from streams.evolution.records import Completion, Unavailable
from tests.model.asking import ENDLESS, PROFILE_READ, ask_all, ask_updates, client_of, short, updates
from tests.model.vllm_process import Vllm

POLL_SECONDS = 0.05
BLOCK_TOKENS = 128  # of the KV cache on a CPU: what is shared is shared in these steps


async def running(server: Vllm, num: int, within_seconds: float = 30.0) -> None:
    """Return as soon as the server computes so many calls."""
    async with asyncio.timeout(within_seconds):
        while await asyncio.to_thread(lambda: server.num_running) != num:
            await asyncio.sleep(POLL_SECONDS)


def finished(server: Vllm) -> float:
    """How many calls it has answered to their end."""
    return sum(server.metric("vllm:request_success_total", finished_reason=reason) for reason in ("stop", "length"))


async def test_a_cancelled_call_is_left_by_the_server_long_before_its_end(server: Vllm) -> None:
    async with client_of(server.url) as client:
        before = finished(server)
        call = asyncio.create_task(client.evolve(ENDLESS, request_id="cancelled"))
        await running(server, 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await running(server, 0, within_seconds=5.0)
        assert client.num_in_flight == 0
        written = server.metric("vllm:generation_tokens_total")
        answer = await client.evolve(short(1), request_id="next")
    assert isinstance(answer, Completion)
    assert finished(server) == before + 1, "the cancelled call was answered to its end"
    assert server.metric("vllm:generation_tokens_total") - written == answer.completion_tokens, "it was written on"


async def test_a_call_that_takes_too_long_is_left_by_the_server_too(server: Vllm) -> None:
    async with client_of(server.url, timeout_seconds=1.0) as client:
        result = await client.evolve(ENDLESS, request_id="late")
    assert result == Unavailable("timeout", "no answer in time")
    await running(server, 0, within_seconds=5.0)


async def test_what_all_prompts_begin_with_is_computed_once(server: Vllm) -> None:
    first, second = updates(6)[0], updates(6)[3]
    assert first.evidence != second.evidence, "two people"
    dialect = dialect_of("plain")
    async with client_of(server.url) as client:
        await ask_updates(client, dialect, [first])
        hits = server.metric("vllm:prefix_cache_hits_total")
        (asked,) = await ask_updates(client, dialect, [second])
    assert isinstance(asked.result, Completion)
    assert asked.result.cached_tokens >= BLOCK_TOKENS, "the constant turn is shorter than a block of the cache"
    assert server.metric("vllm:prefix_cache_hits_total") - hits == asked.result.cached_tokens
    assert asked.result.prompt_tokens > asked.result.cached_tokens


async def test_more_calls_than_it_takes_are_turned_away_and_all_answered_in_the_end(server: Vllm) -> None:
    assert PROFILE_READ.server is not None
    most = 2 * PROFILE_READ.server.max_num_queued_requests
    rejected = server.metric("vllm:admission_rejections_total")
    unanswered = list(range(most))
    async with Replicas([client_of(server.url, capacity=most)], chance=Random(0)) as replicas:
        while unanswered:
            results = await ask_all(replicas, [short(number) for number in unanswered])
            away = {
                number: result for number, result in zip(unanswered, results, strict=True) if isinstance(result, Unavailable)
            }
            assert {result.reason for result in away.values()} <= {"overloaded"}
            assert sum(isinstance(result, Completion) for result in results) + len(away) == len(results)
            unanswered = list(away)
            await asyncio.sleep(max((result.retry_after_seconds or 0.0 for result in away.values()), default=0.0))
        capacity = replicas.standings()[0].capacity
    assert server.metric("vllm:admission_rejections_total") > rejected, "the server had room for all of them"
    assert capacity <= most // 2 + 1
