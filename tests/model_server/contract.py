"""What the client promises whoever answers, for any engine with an address: alone, and as the only one of its replicas.

A subclass whose name begins with ``Test`` has a fixture ``engine`` that says which one. Nothing here scripts an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from random import Random
from typing import Literal

import pytest
from msgspec import Struct
from msgspec.structs import replace

from model_server.client import CallOptions, ModelClient
from model_server.replicas import Replicas
from prefstream.events import Item, Rating
from prefstream.summaries import Tally
from streams.evidence import evidence_of
from streams.evolution.guards import Accepted, GuardLimits, Rejected, judge
from streams.evolution.plain import write_prompt
from streams.evolution.records import Completion, Prompt, Refused, Unavailable
from streams.tally import fold

Front = Literal["client", "replicas"]

OLD = 'Loves drama. Favourites: "Heat (1995)".'


class Engine(Struct, frozen=True):
    """A server, the model it serves, and a prompt that it refuses to read."""

    url: str
    model: str
    unreadable: Prompt


def prompt_of_an_update(max_tokens: int = 0) -> Prompt:
    """The prompt of one update, for an answer of so many tokens; of a summary, when nothing is said."""
    item = Item("1", "Fargo (1996)", {"genre": ("crime", "drama")})
    evidence = [evidence_of(Rating(user="ada", at=datetime(2026, 1, 5, tzinfo=UTC), item=item, value=5))]
    prompt = write_prompt(OLD, fold(Tally(), evidence), evidence)
    return replace(prompt, max_tokens=max_tokens or prompt.max_tokens)


def client_of(engine: Engine, *, capacity: int = 4, timeout_seconds: float = 40.0) -> ModelClient:
    """A client of the engine, still to be opened."""
    return ModelClient(engine.url, CallOptions(engine.model), timeout_seconds=timeout_seconds, capacity=capacity)


@asynccontextmanager
async def calling(engine: Engine, front: Front, *, capacity: int = 4) -> AsyncIterator[ModelClient | Replicas]:
    """What calls the engine, opened."""
    client = client_of(engine, capacity=capacity)
    async with client if front == "client" else Replicas([client], chance=Random(0)) as opened:
        yield opened


@pytest.mark.parametrize("front", ["client", "replicas"])
class ClientContract:
    """The promises."""

    async def test_an_update_is_answered_and_counted(self, engine: Engine, front: Front) -> None:
        async with calling(engine, front) as client:
            completion = await client.evolve(prompt_of_an_update(), request_id="1")
        assert isinstance(completion, Completion)
        assert completion.text
        assert completion.finish_reason in ("stop", "length")
        assert completion.prompt_tokens > 0
        assert completion.completion_tokens > 0
        assert completion.cached_tokens <= completion.prompt_tokens

    async def test_the_same_prompt_has_the_same_answer(self, engine: Engine, front: Front) -> None:
        async with calling(engine, front) as client:
            first, second = [await client.evolve(prompt_of_an_update(16), request_id=str(n)) for n in range(2)]
        assert isinstance(first, Completion)
        assert isinstance(second, Completion)
        assert first.text == second.text

    async def test_a_cut_answer_says_so_and_is_rejected(self, engine: Engine, front: Front) -> None:
        prompt = prompt_of_an_update(3)
        async with calling(engine, front) as client:
            completion = await client.evolve(prompt, request_id="1")
        assert isinstance(completion, Completion)
        assert completion.finish_reason == "length"
        assert completion.completion_tokens <= 3
        verdict = judge(completion, prompt, OLD, GuardLimits())
        assert isinstance(verdict, Rejected)
        assert verdict.reason == "finish_reason"

    async def test_a_prompt_that_the_engine_cannot_read_is_refused(self, engine: Engine, front: Front) -> None:
        async with calling(engine, front) as client:
            result = await client.evolve(engine.unreadable, request_id="1")
        assert isinstance(result, Refused)
        assert result.status == 400
        assert result.message

    async def test_an_unknown_model_is_an_outage_that_says_so(self, engine: Engine, front: Front) -> None:
        async with calling(replace(engine, model="nobody"), front) as client:
            result = await client.evolve(prompt_of_an_update(16), request_id="1")
        assert isinstance(result, Unavailable)
        assert result.reason == "misconfigured"
        assert result.message == "HTTP 404"

    async def test_more_calls_than_places_are_all_answered(self, engine: Engine, front: Front) -> None:
        async with calling(engine, front) as client:
            calls = [client.evolve(prompt_of_an_update(8), request_id=str(n)) for n in range(20)]
            results = await asyncio.gather(*calls)
            assert client.num_in_flight == 0
        assert [type(result) for result in results] == [Completion] * 20

    async def test_a_cancelled_call_leaves_a_usable_client(self, engine: Engine, front: Front) -> None:
        async with calling(engine, front, capacity=1) as client:
            cancelled = asyncio.create_task(client.evolve(prompt_of_an_update(), request_id="1"))
            await asyncio.sleep(0)
            assert client.num_in_flight == 1
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            assert client.num_in_flight == 0
            assert isinstance(await client.evolve(prompt_of_an_update(8), request_id="2"), Completion)

    async def test_a_call_that_takes_too_long_is_a_timeout_and_the_next_is_answered(self, engine: Engine, front: Front) -> None:
        async with client_of(engine, timeout_seconds=1e-4) as client:
            assert await client.evolve(prompt_of_an_update(), request_id="1") == Unavailable("timeout", "no answer in time")
        async with calling(engine, front) as other:
            assert isinstance(await other.evolve(prompt_of_an_update(8), request_id="2"), Completion)

    @pytest.mark.parametrize(("model", "is_ready"), [(None, True), ("nobody", False)])
    async def test_ready_is_who_serves_the_model(self, engine: Engine, front: Front, model: str | None, is_ready: bool) -> None:
        async with client_of(replace(engine, model=model or engine.model)) as client:
            assert await client.is_ready() is is_ready

    async def test_a_canary_is_answered(self, engine: Engine, front: Front) -> None:
        async with client_of(engine) as client:
            result = await client.ask_canary(request_id="canary-1")
        assert isinstance(result, Completion | Refused)


class SummaryContract(ClientContract):
    """The promises of an engine that writes summaries as they should be."""

    async def test_an_update_passes_the_guards(self, engine: Engine, front: Front) -> None:
        prompt = prompt_of_an_update()
        async with calling(engine, front) as client:
            completion = await client.evolve(prompt, request_id="1")
        assert isinstance(completion, Completion)
        verdict = judge(completion, prompt, OLD, GuardLimits())
        assert verdict == Accepted(completion.text.strip(), completion.completion_tokens)
        assert "Fargo (1996)" in completion.text
