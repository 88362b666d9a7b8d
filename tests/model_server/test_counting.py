"""The counting engine: what it writes, and the OpenAI-compatible server around it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request
from msgspec.structs import replace

from model_server.client import CallOptions, ModelClient
from model_server.counting import Counting, Settings, answer, make_app, serve, write_summary
from prefstream.events import Item
from prefstream.summaries import Tally
from streams.evidence import Evidence
from streams.evolution.plain import parse_prompt, write_prompt
from streams.evolution.prose import NOTHING_YET
from streams.evolution.records import Prompt, Turn
from streams.tally import fold
from streams.tokens import estimate_text_tokens

Client = TestClient[Request, Application]


def film(title: str, genre: str, strength: float, domain: str = "films", kind: str = "rating") -> Evidence:
    item = Item(id=title, title=title, attributes={"genre": (genre,)})
    return Evidence(
        kind=kind,
        at_seconds=0.0,
        domain=domain,
        strength=strength,
        query="",
        chosen=item if strength >= 0 else None,
        rejected=() if strength >= 0 else (item,),
        quote="",
        recommended=False,
    )


def search(query: str) -> Evidence:
    return Evidence(
        kind="search",
        at_seconds=0.0,
        domain="films",
        strength=0.3,
        query=query,
        chosen=None,
        rejected=(),
        quote=query,
        recommended=False,
    )


WAR = [film(f"War {letter}", "war", 1.0) for letter in "ABCD"]
MUSICALS = [film(f"Song {letter}", "musicals", -1.0) for letter in "ABCD"]
WRITTEN = (
    'Loves war. Dislikes musicals. Favourites: "War D"; "War C"; "War B"; "War A". '
    'Did not enjoy: "Song D"; "Song C"; "Song B"; "Song A".'
)

FOUR_LEVELS = "Loves drama and war. Likes crime and noir. Mixed on thriller. Dislikes musicals."


def written(
    evidence: Sequence[Evidence], old: str = "", pins: Sequence[str] = (), tally: Tally | None = None, budget: int = 160
) -> str:
    counted = fold(Tally(), evidence) if tally is None else tally
    parts = parse_prompt(write_prompt(old, counted, evidence, budget, pins))
    assert parts is not None
    return write_summary(parts)


@pytest.mark.parametrize(
    ("evidence", "old", "pins", "expected"),
    [
        (WAR + MUSICALS, "", (), WRITTEN),
        (WAR + MUSICALS, WRITTEN, (), WRITTEN),
        (WAR + MUSICALS, "Loves musicals.", (), WRITTEN),
        (WAR + MUSICALS, "I am vegan. Loves opera.", (), "I am vegan.\n" + WRITTEN),
        (WAR + MUSICALS, "I am vegan.", ("I am vegan", "No clowns!"), "I am vegan. No clowns!\n" + WRITTEN),
        (WAR, "", ("Dislikes war.",), 'Dislikes war.\nFavourites: "War D"; "War C"; "War B"; "War A".'),
        ([search("slow cinema")], "", (), 'Recently searched for "slow cinema".'),
        ([], "", (), NOTHING_YET),
        ([*WAR[:1], film("Wool", "warm", 0.9, "shoes")], "", (), 'Films: Favourites: "War A".\nShoes: Favourites: "Wool".'),
    ],
)
def test_the_summary_says_what_the_tally_says(evidence: list[Evidence], old: str, pins: tuple[str, ...], expected: str) -> None:
    assert written(evidence, old, pins) == expected


def test_the_budget_holds_and_leaves_the_tally_its_half() -> None:
    long = " ".join(f"I have an opinion about number {n}." for n in range(40))
    text = written(WAR + MUSICALS, long, budget=80)
    assert estimate_text_tokens(text) <= 80
    assert text.startswith("I have an opinion about number 0.")
    assert "Loves war." in text


@pytest.mark.parametrize(
    ("old", "evidence", "expected"),
    [
        ("", WAR[:3], 'Loves war. Favourites: "War C"; "War B"; "War A".'),
        ('Loves war. Favourites: "Old".', [], 'Loves war. Favourites: "Old".'),
        (FOUR_LEVELS, [], FOUR_LEVELS),
        (FOUR_LEVELS, [film("So-so", "opera", 0.0)], FOUR_LEVELS),
        ('Likes crime. Favourites: "Old".', [film("Old", "crime", -1.0)] * 5, 'Dislikes crime. Did not enjoy: "Old".'),
        (FOUR_LEVELS, [film(f"F{n}", "opera", -0.2, kind="skip") for n in range(9)], FOUR_LEVELS),
        ("", [film("Same", "opera", 0.5)] * 3, 'Likes opera. Favourites: "Same".'),
        ("Likes crime.", [search("snow")], 'Likes crime. Recently searched for "snow".'),
    ],
)
def test_without_a_tally_the_text_is_the_memory(old: str, evidence: list[Evidence], expected: str) -> None:
    assert written(evidence, old, tally=Tally()) == expected


def test_a_tally_that_supports_no_claim_is_believed() -> None:
    lukewarm = [film("So-so", "opera", 0.0)]
    assert written(lukewarm, old='Loves war. Favourites: "Old".') == NOTHING_YET


def body(prompt: Prompt, **fields: object) -> bytes:
    return msgspec.json.encode({"model": "counting", "messages": prompt.turns, **fields})


PROMPT = write_prompt("", fold(Tally(), WAR + MUSICALS), WAR + MUSICALS)
FIRM = write_prompt("", fold(Tally(), WAR + MUSICALS), WAR + MUSICALS, is_firm=True)
NOT_PLAIN = {"messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.parametrize(
    ("request_body", "status"),
    [
        (body(PROMPT, temperature=0.0, seed=1, unheard_of=True), 200),
        (body(FIRM), 200),
        (b"{", 400),
        (b'\xff{"messages": 1}', 400),
        (b"{}", 400),
        (msgspec.json.encode({"messages": []}), 400),
        (body(PROMPT, max_tokens=0), 400),
        (body(PROMPT, max_tokens="many"), 400),
        (body(PROMPT, stream=True), 400),
        (body(PROMPT, n=2), 400),
        (msgspec.json.encode(NOT_PLAIN), 400),
        (body(PROMPT, model="gpt"), 404),
    ],
)
def test_what_is_asked_wrongly_is_refused_in_openais_form(request_body: bytes, status: int) -> None:
    reply = answer(request_body, Settings())
    assert reply.status == status
    if status != 200:
        error = msgspec.convert(reply.body["error"], dict[str, object])
        assert error.keys() == {"message", "type", "param", "code"}
        assert error["code"] == status
        assert error["message"]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with TestClient(TestServer(make_app(Settings(model="tiny")))) as client:
        yield client


async def test_a_completion_as_openai_writes_it(client: Client) -> None:
    response = await client.post("/v1/chat/completions", data=body(PROMPT, model="tiny", max_tokens=PROMPT.max_tokens))
    reply = await response.json()
    assert response.status == 200
    assert reply["object"] == "chat.completion"
    assert reply["model"] == "tiny"
    assert reply["id"]
    assert reply["created"] > 0
    assert reply["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": WRITTEN}, "logprobs": None, "finish_reason": "stop"}
    ]
    usage = reply["usage"]
    assert usage["completion_tokens"] == estimate_text_tokens(WRITTEN)
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_too_few_tokens_end_the_text_early(client: Client, name: str) -> None:
    response = await client.post("/v1/chat/completions", data=body(PROMPT, model="tiny", **{name: 10}))
    reply = await response.json()
    text = reply["choices"][0]["message"]["content"]
    assert reply["choices"][0]["finish_reason"] == "length"
    assert reply["usage"]["completion_tokens"] <= 10
    assert text
    assert WRITTEN.startswith(text)


async def test_it_names_its_model_and_is_healthy(client: Client) -> None:
    models = await (await client.get("/v1/models")).json()
    assert [model["id"] for model in models["data"]] == ["tiny"]
    assert (await client.get("/health")).status == 200


async def test_a_refusal_goes_out_as_json(client: Client) -> None:
    response = await client.post("/v1/chat/completions", data=b"{")
    assert (response.status, response.content_type) == (400, "application/json")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_command_prints_its_address_and_stops_when_told(number: signal.Signals) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "model_server.counting", "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    host, port = url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.close()
    await writer.wait_closed()
    process.send_signal(number)
    assert await process.wait() == 0


async def test_a_taken_port_is_said_in_one_line() -> None:
    taken = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "model_server.counting", "--port", str(port), stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    taken.close()
    await taken.wait_closed()
    assert process.returncode == 1
    assert errors.decode().startswith(f"cannot listen on 127.0.0.1:{port} (address already in use): choose another")
    assert errors.count(b"\n") == 1


@pytest.mark.parametrize("prompt", [PROMPT, replace(PROMPT, max_tokens=9), Prompt((Turn("user", "hello"),), 100)])
async def test_in_process_it_answers_as_over_http(prompt: Prompt) -> None:
    stopped, address = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve("127.0.0.1", 0, Settings(), stopped, address.set_result))
    async with ModelClient(await address, CallOptions("counting"), timeout_seconds=10, capacity=1) as client:
        assert await Counting().evolve(prompt, request_id="1") == await client.evolve(prompt, request_id="2")
    stopped.set()
    await serving
