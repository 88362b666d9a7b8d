"""The model of the incident is the counting engine, but for prompts with the words that it refuses."""

from __future__ import annotations

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer

from deploy.observe.model import make_refusing_app
from deploy.observe.script import POISON
from model_server.counting import Settings
from prefstream.events import Item
from prefstream.summaries import Tally
from streams.evidence import Evidence
from streams.evolution.plain import write_prompt


def asked_with(title: str) -> bytes:
    """The request that a worker makes for somebody who loved this."""
    loved = Evidence(
        kind="rating",
        at_seconds=0.0,
        domain="films",
        strength=1.0,
        query="",
        chosen=Item(id="1", title=title),
        rejected=(),
        quote="",
        recommended=False,
    )
    prompt = write_prompt("", Tally(), [loved])
    return msgspec.json.encode({"messages": prompt.turns, "max_tokens": prompt.max_tokens})


@pytest.mark.parametrize(("title", "status"), [("Heat (1995)", 200), (POISON, 400)])
async def test_it_refuses_those_words_and_no_others(title: str, status: int) -> None:
    async with TestClient(TestServer(make_refusing_app(Settings(), POISON))) as client:
        assert (await client.get("/health")).status == 200
        answer = await client.post("/v1/chat/completions", data=asked_with(title))
        assert answer.status == status
        assert ("cannot be tokenised" in await answer.text()) == (status == 400)
