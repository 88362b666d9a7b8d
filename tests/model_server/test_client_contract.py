"""What the client promises whoever answers: the same assertions on a script, the counting engine and the one of fault runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Literal

import msgspec
import pytest
from aiohttp.test_utils import TestServer

from model_server.client import CallOptions, ModelClient
from model_server.counting import MODEL, Settings, make_app
from prefstream.events import Item, Rating
from prefstream.summaries import Tally
from streams.evidence import evidence_of
from streams.evolution.guards import Accepted, GuardLimits, Rejected, judge
from streams.evolution.plain import write_prompt
from streams.evolution.records import Completion, Prompt, Refused, Turn, Unavailable
from streams.tally import fold
from tests.chaos.model import make_app as make_switched_app
from tests.model_server.scripted import Reply, ScriptedServer, says

Server = Literal["scripted", "counting", "switched"]
pytestmark = pytest.mark.parametrize("server", ["scripted", "counting", "switched"])

OLD = 'Loves drama. Favourites: "Heat (1995)".'
ANSWER = says('Loves drama. Favourites: "Fargo (1996)"; "Heat (1995)".')
MODELS = Reply(body=msgspec.json.encode({"object": "list", "data": [{"id": MODEL}]}))


def refusal(status: int, message: str) -> Reply:
    return Reply(status, msgspec.json.encode({"error": {"message": message}}))


def prompt_of_an_update() -> Prompt:
    item = Item("1", "Fargo (1996)", {"genre": ("crime", "drama")})
    evidence = [evidence_of(Rating(user="ada", at=datetime(2026, 1, 5, tzinfo=UTC), item=item, value=5))]
    return write_prompt(OLD, fold(Tally(), evidence), evidence)


@asynccontextmanager
async def serving(server: Server, *script: Reply, model: str = MODEL, capacity: int = 4) -> AsyncIterator[ModelClient]:
    """A client of the server; the script is for the one that cannot think of an answer itself."""
    if server == "scripted":
        async with ScriptedServer(*script) as scripted, client_of(scripted.url, model, capacity) as client:
            yield client
    else:
        async with (
            TestServer(make_app(Settings()) if server == "counting" else make_switched_app()) as engine,
            client_of(str(engine.make_url("")), model, capacity) as client,
        ):
            yield client


def client_of(url: str, model: str, capacity: int) -> ModelClient:
    return ModelClient(url, CallOptions(model), timeout_seconds=20.0, capacity=capacity)


async def test_an_update_is_answered_and_passes_the_guards(server: Server) -> None:
    prompt = prompt_of_an_update()
    async with serving(server, ANSWER) as client:
        completion = await client.evolve(prompt, request_id="1")
    assert isinstance(completion, Completion)
    assert completion.prompt_tokens > 0
    assert completion.completion_tokens > 0
    verdict = judge(completion, prompt, OLD, GuardLimits())
    assert verdict == Accepted(completion.text.strip(), completion.completion_tokens)
    assert "Fargo (1996)" in completion.text


async def test_the_same_prompt_has_the_same_answer(server: Server) -> None:
    async with serving(server, ANSWER, ANSWER) as client:
        first, second = [await client.evolve(prompt_of_an_update(), request_id=str(n)) for n in range(2)]
    assert isinstance(first, Completion)
    assert first == second


async def test_a_cut_answer_says_so_and_is_rejected(server: Server) -> None:
    prompt = msgspec.structs.replace(prompt_of_an_update(), max_tokens=3)
    async with serving(server, says("Loves", "length")) as client:
        completion = await client.evolve(prompt, request_id="1")
    assert isinstance(completion, Completion)
    assert completion.finish_reason == "length"
    verdict = judge(completion, prompt, OLD, GuardLimits())
    assert isinstance(verdict, Rejected)
    assert verdict.reason == "finish_reason"


async def test_a_prompt_that_the_server_cannot_read_is_refused(server: Server) -> None:
    async with serving(server, refusal(400, "reads only its own dialect")) as client:
        result = await client.evolve(Prompt((Turn("user", "hello"),), max_tokens=10), request_id="1")
    assert isinstance(result, Refused)
    assert result.status == 400
    assert "dialect" in result.message


async def test_an_unknown_model_is_an_outage_and_never_ready(server: Server) -> None:
    script = (MODELS, refusal(404, "The model 'nobody' does not exist"))
    async with serving(server, *script, model="nobody") as client:
        assert not await client.is_ready()
        result = await client.evolve(prompt_of_an_update(), request_id="1")
    assert isinstance(result, Unavailable)
    assert "HTTP 404: " in result.message
    assert "nobody" in result.message


async def test_the_served_model_is_ready(server: Server) -> None:
    async with serving(server, MODELS) as client:
        assert await client.is_ready()


async def test_more_calls_than_places_are_all_answered(server: Server) -> None:
    async with serving(server, *[ANSWER] * 20) as client:
        calls = [client.evolve(prompt_of_an_update(), request_id=str(n)) for n in range(20)]
        results = await asyncio.gather(*calls)
        assert client.num_in_flight == 0
    assert [type(result) for result in results] == [Completion] * 20


async def test_a_cancelled_call_leaves_a_usable_client(server: Server) -> None:
    async with serving(server, ANSWER, ANSWER, capacity=1) as client:
        cancelled = asyncio.create_task(client.evolve(prompt_of_an_update(), request_id="1"))
        await asyncio.sleep(0)
        assert client.num_in_flight == 1
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert client.num_in_flight == 0
        assert isinstance(await client.evolve(prompt_of_an_update(), request_id="2"), Completion)
