"""The scripted model, as the worker's client meets it in each mode; the contract test says it is else the counting engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

import msgspec
import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from model_server.client import CallOptions, ModelClient
from model_server.counting import MODEL
from streams.evolution.guards import GuardLimits, Rejected, judge
from streams.evolution.records import CallResult, Completion, Prompt, Refused, Unavailable
from tests.chaos.model import Behaviour, Mode, ScriptedModel, make_app
from tests.model_server.contract import OLD, prompt_of_an_update

Served = TestClient[Request, Application]


@pytest_asyncio.fixture
async def served() -> AsyncIterator[Served]:
    """The server, in this process."""
    async with TestClient(TestServer(make_app())) as client:
        yield client


async def behave(served: Served, mode: Mode, seconds: float = 0.0) -> None:
    answer = await served.post("/behave", data=msgspec.json.encode(Behaviour(mode, seconds)))
    assert answer.status == 200


async def asked(served: Served, prompt: Prompt, timeout_seconds: float = 20.0) -> CallResult:
    """What the worker's client makes of one call."""
    url, options = str(served.make_url("")), CallOptions(MODEL)
    async with ModelClient(url, options, timeout_seconds=timeout_seconds, capacity=4) as client:
        return await client.evolve(prompt, request_id="1")


@pytest.mark.parametrize(
    ("mode", "seconds", "expected"),
    [
        ("error", 0.0, Unavailable("server_error", "HTTP 500")),
        ("overloaded", 7.0, Unavailable("overloaded", "HTTP 429", 7.0)),
        ("refuse", 0.0, Refused(400, "scripted")),
        ("close", 0.0, Unavailable("disconnected", "ServerDisconnectedError")),
        ("abort", 0.0, Unavailable("draining", "HTTP 200 with finish_reason 'abort'")),
        ("garbage", 0.0, Unavailable("server_error", "HTTP 200 whose body is no chat completion")),
        ("wrong_schema", 0.0, Unavailable("server_error", "HTTP 200 whose body is no chat completion")),
    ],
)
async def test_a_mode_that_gives_no_answer(served: Served, mode: Mode, seconds: float, expected: CallResult) -> None:
    await behave(served, mode, seconds)
    assert await asked(served, prompt_of_an_update()) == expected


@pytest.mark.parametrize(("mode", "reason"), [("length", "finish_reason"), ("bad_text", "template_tokens")])
async def test_a_mode_whose_answer_is_rejected(served: Served, mode: Mode, reason: str) -> None:
    await behave(served, mode)
    prompt = prompt_of_an_update()
    completion = await asked(served, prompt)
    assert isinstance(completion, Completion)
    verdict = judge(completion, prompt, OLD, GuardLimits())
    assert isinstance(verdict, Rejected)
    assert verdict.reason == reason


@pytest.mark.parametrize("mode", ["delay", "trickle"])
async def test_a_slow_answer_is_the_right_one(served: Served, mode: Mode) -> None:
    at_once = await asked(served, prompt_of_an_update())
    await behave(served, mode, 0.05)
    assert await asked(served, prompt_of_an_update()) == at_once
    await behave(served, mode, 60.0)
    assert await asked(served, prompt_of_an_update(), timeout_seconds=0.2) == Unavailable("timeout", "no answer in time")


async def test_who_hangs_is_let_go_by_the_next_switch(served: Served) -> None:
    await behave(served, "hang")
    call = asyncio.create_task(asked(served, prompt_of_an_update()))
    while not (await (await served.get("/calls")).json()).get("hang"):
        assert not call.done()
    await behave(served, "ok")
    assert await call == Unavailable("disconnected", "ServerDisconnectedError")
    assert isinstance(await asked(served, prompt_of_an_update()), Completion)
    assert await (await served.get("/calls")).json() == {"hang": 1, "ok": 1}


@pytest.mark.parametrize(("words", "is_refused"), [("Fargo (1996)", True), ('"Fargo', True), ("Heat (1996)", False)])
async def test_a_mode_for_some_prompts(served: Served, words: str, is_refused: bool) -> None:
    await served.post("/behave", data=msgspec.json.encode(Behaviour("refuse", only_with=words)))
    assert isinstance(await asked(served, prompt_of_an_update()), Refused if is_refused else Completion)


async def test_an_unknown_mode_is_refused(served: Served) -> None:
    assert (await served.post("/behave", data=b'{"mode": "dance"}')).status == 400


@pytest.mark.timeout(120)
def test_it_is_a_process_that_is_switched_killed_and_started_again(tmp_path: Path) -> None:
    with ScriptedModel(tmp_path) as model:
        for mode in get_args(Mode):
            model.behave(mode)
        model.behave("error")
        assert (model.num_calls(), model.num_calls("error")) == (0, 0)
        model.kill()
        with pytest.raises(OSError, match="refused"):
            model.num_calls()
        model.start()
        assert model.num_calls() == 0
