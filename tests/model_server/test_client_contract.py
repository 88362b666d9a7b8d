"""What the client promises, kept by a script, by the counting engine and by the one of fault runs."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from model_server.counting import MODEL, Settings, make_app
from streams.evolution.records import Prompt, Turn
from tests.chaos.model import make_app as make_switched_app
from tests.model_server.contract import Engine, SummaryContract
from tests.model_server.scripted import Reply, ScriptedServer, says

HELLO = Prompt((Turn("user", "hello"),), max_tokens=10)


def _answer(path: str, body: bytes) -> Reply:
    """What a server says to each call of the contract, written down."""
    if path == "/v1/models":
        return Reply(body=msgspec.json.encode({"object": "list", "data": [{"id": MODEL}]}))
    asked = msgspec.json.decode(body)
    if asked["model"] != MODEL:
        return _refusal(404, f"The model '{asked['model']}' does not exist")
    if asked["messages"][-1]["content"] == "hello":
        return _refusal(400, "reads only its own dialect")
    if asked["max_tokens"] < 7:
        return says("Loves", "length", num_tokens=asked["max_tokens"])
    return says('Loves drama. Favourites: "Fargo (1996)"; "Heat (1995)".')


def _refusal(status: int, message: str) -> Reply:
    return Reply(status, msgspec.json.encode({"error": {"message": message}}))


async def _served(app: web.Application) -> AsyncIterator[Engine]:
    async with TestServer(app) as server:
        yield Engine(str(server.make_url("")), MODEL, HELLO)


class TestScripted(SummaryContract):
    """The script."""

    @pytest.fixture
    async def engine(self) -> AsyncIterator[Engine]:
        async with ScriptedServer(otherwise=_answer) as server:
            yield Engine(server.url, MODEL, HELLO)


class TestCounting(SummaryContract):
    """The counting engine."""

    @pytest.fixture
    async def engine(self) -> AsyncIterator[Engine]:
        async for engine in _served(make_app(Settings())):
            yield engine


class TestSwitched(SummaryContract):
    """The engine of fault runs, in its mode `ok`."""

    @pytest.fixture
    async def engine(self) -> AsyncIterator[Engine]:
        async for engine in _served(make_switched_app()):
            yield engine
