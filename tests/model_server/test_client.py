"""The client against a scripted server: every way an answer can come back, as a value."""

import asyncio
import contextlib
import gzip
import json
import socket
import time
from datetime import UTC, datetime
from typing import Literal, get_args

import msgspec
import pytest
from structlog.testing import capture_logs

from model_server.client import (
    AFTER_SHUTDOWN,
    MAX_ASKED_SECONDS,
    MAX_BODY_BYTES,
    MAX_COUNT,
    MAX_MESSAGE_CHARS,
    CallOptions,
    ModelClient,
    parse_retry_after,
)
from streams.evolution.records import CallResult, Completion, Prompt, Reason, Refused, Turn, Unavailable
from streams.tokens import estimate_tokens
from tests.model_server.scripted import Reply, ScriptedServer, says

PROMPT = Prompt((Turn("system", "Keep one short text."), Turn("user", "liked «Amélie» 🙂")), max_tokens=160)
NOW = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)


OPTIONS = CallOptions("evolve")


def client_of(
    url: str, options: CallOptions = OPTIONS, *, timeout_seconds: float = 20.0, capacity: int = 4, api_key: str | None = None
) -> ModelClient:
    return ModelClient(url, options, timeout_seconds=timeout_seconds, capacity=capacity, api_key=api_key)


async def call(server: ScriptedServer) -> CallResult:
    async with client_of(server.url) as client:
        return await client.evolve(PROMPT, request_id="call-1")


def error_reply(status: int, message: str) -> Reply:
    return Reply(status, msgspec.json.encode({"error": {"message": message, "type": "BadRequestError", "code": status}}))


def thinks(message: dict[str, str | None], finish_reason: str = "stop", reasoning_tokens: int | None = None) -> Reply:
    """A completion of 90 tokens by a server that tells a thought from the answer."""
    details = {"reasoning_tokens": reasoning_tokens} if reasoning_tokens else None
    usage = {"prompt_tokens": 30, "completion_tokens": 90, "completion_tokens_details": details}
    return Reply(body=msgspec.json.encode({"choices": [{"message": message, "finish_reason": finish_reason}], "usage": usage}))


def away(reason: str, message: str, retry_after_seconds: float | None = None) -> Unavailable:
    return msgspec.convert({"reason": reason, "message": message, "retry_after_seconds": retry_after_seconds}, Unavailable)


TOO_LONG = (
    "This model's maximum context length is 4096 tokens. However, your prompt contains 5210 input tokens, which exceeds this "
    "limit even without any output tokens. Please reduce the length of the input prompt. (parameter=input_tokens, value=5210)"
)
TOO_LONG_ONCE = (
    "This model's maximum context length is 4096 tokens. However, you requested 5370 tokens (5210 in the messages, 160 in the "
    "completion). Please reduce the length of the messages or completion."
)
TOO_MANY_CHARACTERS = (
    "This model's maximum context length is 4096 tokens. However, your prompt contains 90000 characters (more than 40960 "
    "characters, which is the upper bound for 4096 input tokens). Please reduce the length of the input prompt."
)
ENDLESS = f"Your prompt contains {'9' * 5_000} input tokens"
DRAINING = away("draining", "HTTP 200 with finish_reason 'abort'")

# What the server says, and what the call is: the table of the client's docstring, row by row.
ANSWERS: list[tuple[str, Reply | Literal["disconnect"], CallResult]] = [
    ("200 stop", says("Likes drama."), Completion("Likes drama.", "stop", 30, 7, 16)),
    ("200 length", says("Likes", "length"), Completion("Likes", "length", 30, 7, 16)),
    ("200 repetition", says("Likes likes", "repetition"), Completion("Likes likes", "repetition", 30, 7, 16)),
    ("200 empty", says(""), Completion("", "stop", 30, 7, 16)),
    ("200 null", says(None), Completion("", "stop", 30, 7, 16)),
    ("200 no finish_reason", says("Likes", None), Completion("Likes", "", 30, 7, 16)),
    ("200 no usage", Reply(body=b'{"choices": [{"message": {"content": "A"}}]}'), Completion("A", "")),
    (
        "200 usage is null inside",
        Reply(body=b'{"choices": [{"message": {"content": "A"}}], "usage": {"prompt_tokens": 3, "completion_tokens": null}}'),
        Completion("A", "", 3),
    ),
    (
        "200 thought and answer",
        thinks({"reasoning": "Hm.", "content": "Likes drama."}, reasoning_tokens=83),
        Completion("Likes drama.", "stop", 30, 90, reasoning_tokens=83),
    ),
    (
        "200 thought and answer, not counted apart",
        thinks({"reasoning_content": "Hm.", "content": "Likes drama."}),
        Completion("Likes drama.", "stop", 30, 90, reasoning_tokens=90 - estimate_tokens("Likes drama.")),
    ),
    (
        "200 thought alone",
        thinks({"reasoning": "They like", "content": None}, "length", reasoning_tokens=83),
        Completion("", "unterminated_thought", 30, 90, reasoning_tokens=83),
    ),
    (
        "200 thought alone, by its earlier name",
        thinks({"reasoning_content": "They like", "content": None}),
        Completion("", "unterminated_thought", 30, 90, reasoning_tokens=90),
    ),
    ("200 abort", says("", "abort"), DRAINING),
    ("200 abort after some text", says("Likes", "abort"), DRAINING),
    ("500 of one that drains", error_reply(500, AFTER_SHUTDOWN), away("draining", f"HTTP 500: {AFTER_SHUTDOWN}")),
    ("500 that quotes it", error_reply(500, f"liked «{AFTER_SHUTDOWN}»"), away("server_error", "HTTP 500")),
    ("502 that says it", error_reply(502, AFTER_SHUTDOWN), away("server_error", "HTTP 502")),
    ("503 with seconds", Reply(503, b"", {"Retry-After": "7"}), away("overloaded", "HTTP 503", 7.0)),
    ("503", Reply(503), away("overloaded", "HTTP 503")),
    ("429", Reply(429), away("overloaded", "HTTP 429")),
    ("408", Reply(408), away("overloaded", "HTTP 408")),
    ("500", error_reply(500, "EngineDeadError"), away("server_error", "HTTP 500")),
    ("502", Reply(502, b"<html>"), away("server_error", "HTTP 502")),
    ("504", Reply(504, b"<html>"), away("server_error", "HTTP 504")),
    ("a redirect", Reply(307, b"", {"Location": "/elsewhere"}), away("server_error", "HTTP 307")),
    ("401", error_reply(401, "Unauthorized"), away("misconfigured", "HTTP 401")),
    ("403", error_reply(403, "Forbidden"), away("misconfigured", "HTTP 403")),
    ("404", error_reply(404, "no model"), away("misconfigured", "HTTP 404")),
    ("hangs up", "disconnect", away("disconnected", "ServerDisconnectedError")),
    ("400", error_reply(400, "what?"), Refused(400, "what?")),
    ("400 too long", error_reply(400, TOO_LONG), Refused(400, TOO_LONG, 5210)),
    ("400 too long, an earlier vLLM", error_reply(400, TOO_LONG_ONCE), Refused(400, TOO_LONG_ONCE, 5210)),
    ("400 far too long", error_reply(400, TOO_MANY_CHARACTERS), Refused(400, TOO_MANY_CHARACTERS)),
    ("400 too long, by no number of tokens", error_reply(400, ENDLESS), Refused(400, ENDLESS[:MAX_MESSAGE_CHARS])),
    ("413", Reply(413, b"<html>too large</html>"), Refused(413, "HTTP 413")),
    ("422, a long message is cut", error_reply(422, "x" * 5_000), Refused(422, "x" * MAX_MESSAGE_CHARS)),
]

GARBAGE = [
    b"",
    b"<html>welcome</html>",
    b"null",
    b"[]",
    b'{"choices": []}',
    b'{"choices": [{}]}',
    b'{"choices": [{"message": {"content": 5}}]}',
    b'{"choices": [{"message": {"content": "\xff"}}]}',
    b'{"choices": [{"message": {"content": "\\ud800 alone"}}]}',
    b'{"error": {"message": "out of order"}}',
    b'{"x": ' + b"[" * 50_000,
]


@pytest.mark.parametrize(("reply", "expected"), [case[1:] for case in ANSWERS], ids=[case[0] for case in ANSWERS])
async def test_an_answer_becomes_a_value(reply: Reply | Literal["disconnect"], expected: CallResult) -> None:
    async with ScriptedServer(reply) as server:
        assert await call(server) == expected


@pytest.mark.parametrize("number", [-1, 10**400, MAX_COUNT + 1], ids=["negative", "endless", "above"])
async def test_a_count_that_is_none_takes_nothing_from_the_answer(number: int) -> None:
    usage = {
        "prompt_tokens": number,
        "completion_tokens": number,
        "prompt_tokens_details": {"cached_tokens": number},
        "completion_tokens_details": {"reasoning_tokens": number},
    }
    choices = '[{"message": {"content": "Likes drama."}, "finish_reason": "stop"}]'
    body = f'{{"choices": {choices}, "usage": {json.dumps(usage)}}}'.encode()  # msgspec writes no such integer
    async with ScriptedServer(Reply(body=body)) as server:
        assert await call(server) == Completion("Likes drama.", "stop")


@pytest.mark.parametrize(
    ("reason", "is_cut_short"),
    [(reason, reason in ("timeout", "disconnected", "server_error")) for reason in get_args(Reason)],
)
def test_only_a_prompt_that_the_server_had_is_suspect(reason: Reason, is_cut_short: bool) -> None:
    assert Unavailable(reason, "").is_cut_short == is_cut_short


@pytest.mark.parametrize(
    ("status", "fix"), [(401, "PREFSTREAM_MODEL_API_KEY"), (403, "PREFSTREAM_MODEL_API_KEY"), (404, "PREFSTREAM_MODEL_PROFILE")]
)
async def test_what_somebody_has_to_mend_is_said_once(status: int, fix: str) -> None:
    wrong = error_reply(status, "no")
    async with ScriptedServer(wrong, wrong, says("ok"), wrong) as server, client_of(server.url) as client:
        with capture_logs() as lines:
            for number in range(4):
                await client.evolve(PROMPT, request_id=str(number))
    assert [(line["log_level"], line["status"]) for line in lines] == [("error", status)] * 2
    assert fix in lines[0]["fix"]


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("body", GARBAGE)
async def test_a_body_that_is_not_the_protocol_is_the_servers_fault(status: int, body: bytes) -> None:
    async with ScriptedServer(Reply(status, body)) as server:
        result = await call(server)
    match result:
        case Unavailable(reason):
            assert (status, reason) == (200, "server_error")
        case Refused(refused_status, message):
            assert refused_status == status == 400
            assert message
        case Completion():
            pytest.fail("garbage was taken for an answer")


async def test_a_closed_connection_is_told_from_a_closed_port() -> None:
    """In the first case the server had the prompt."""
    async with ScriptedServer("disconnect") as server:
        assert isinstance(hung_up := await call(server), Unavailable)
    assert isinstance(nobody := await call(server), Unavailable)
    assert (hung_up.reason, nobody.reason) == ("disconnected", "connection")
    assert (hung_up.is_cut_short, nobody.is_cut_short) == (True, False)
    assert "Connect call failed" in nobody.message


async def test_a_server_that_does_not_speak_http_is_broken() -> None:
    async def mumble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(mumble, "127.0.0.1", 0, family=socket.AF_INET) as server:
        host, port = server.sockets[0].getsockname()
        async with client_of(f"http://{host}:{port}") as client:
            assert await client.evolve(PROMPT, request_id="1") == Unavailable("server_error", "the answer is not HTTP")
            assert not await client.is_ready()


class Endless:
    """A server that answers with this status, and with spaces for as long as somebody reads them."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.num_bytes = 0
        self.has_ended = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {self.status} Said\r\nContent-Type: application/json\r\n\r\n".encode())
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b" " * 65_536)
                await writer.drain()
                self.num_bytes += 65_536
        self.has_ended.set()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, away("server_error", "HTTP 200 with more than 1,048,576 bytes: no completion is so long")),
        (400, Refused(400, "HTTP 400")),
        (404, away("misconfigured", "HTTP 404")),
        (500, away("server_error", "HTTP 500")),
    ],
)
async def test_a_body_without_an_end_is_left_where_it_is(status: int, expected: CallResult) -> None:
    endless = Endless(status)
    async with (
        asyncio.timeout(10),
        await asyncio.start_server(endless.answer, "127.0.0.1", 0) as server,
        client_of("http://{}:{}".format(*server.sockets[0].getsockname())) as client,
    ):
        assert await client.evolve(PROMPT, request_id="1") == expected
        await endless.has_ended.wait()
        assert endless.num_bytes < 32 * MAX_BODY_BYTES, "the buffers of two sockets, and no more"
        assert (await client.queue_times(), await client.is_ready()) == (None, False)


@pytest.mark.parametrize(("num_bytes", "is_read"), [(MAX_BODY_BYTES, True), (MAX_BODY_BYTES + 1, False)])
async def test_the_longest_body_is_read(num_bytes: int, is_read: bool) -> None:
    padded = says("ok").body.ljust(num_bytes)
    async with ScriptedServer(Reply(body=padded)) as server:
        assert isinstance(await call(server), Completion) == is_read
    models = b'{"data": [{"id": "evolve"}]}'.ljust(num_bytes)
    async with ScriptedServer(Reply(body=models)) as server, client_of(server.url) as client:
        assert await client.is_ready() == is_read


async def test_nothing_is_asked_for_packed_or_unpacked() -> None:
    packed = Reply(body=gzip.compress(says("ok").body), headers={"Content-Encoding": "gzip"})
    async with ScriptedServer(packed) as server:
        assert await call(server) == Unavailable("server_error", "HTTP 200 whose body is no chat completion")
        ((request, _),) = server.requests
    assert request.headers["Accept-Encoding"] == "identity"


async def test_the_request_says_everything_and_carries_the_key() -> None:
    async with ScriptedServer(says("ok")) as server, client_of(server.url + "/v1/", api_key="s3cret") as client:
        await client.evolve(PROMPT, request_id="call-7", headers={"traceparent": "00-ab-cd-01"})
        ((request, body),) = server.requests
        assert "s3cret" not in repr(client)
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers["Authorization"] == "Bearer s3cret"
    assert request.headers["X-Request-Id"] == "call-7"
    assert request.headers["traceparent"] == "00-ab-cd-01"
    assert request.headers["Content-Type"] == "application/json"
    assert msgspec.json.decode(body) == {
        "model": "evolve",
        "messages": [
            {"role": "system", "content": "Keep one short text."},
            {"role": "user", "content": "liked «Amélie» 🙂"},
        ],
        "max_tokens": 160,
        "temperature": 0.0,
        "top_p": 1.0,
        "top_k": 0,
        "repetition_penalty": 1.0,
        "stream": False,
    }


async def body_of(options: CallOptions, prompt: Prompt = PROMPT) -> dict[str, object]:
    """What one call sends."""
    async with ScriptedServer(says("ok")) as server, client_of(server.url, options) as client:
        await client.evolve(prompt, request_id="call-1")
    ((_, body),) = server.requests
    return msgspec.json.decode(body, type=dict[str, object])


async def test_a_call_carries_its_options() -> None:
    options = CallOptions("qwen3", 0.6, 0.95, 20, 1.05, {"enable_thinking": True}, thinking_tokens=512)
    assert await body_of(options) == await body_of(OPTIONS) | {
        "model": "qwen3",
        "temperature": 0.6,
        "top_p": 0.95,
        "top_k": 20,
        "repetition_penalty": 1.05,
        "chat_template_kwargs": {"enable_thinking": True},
        "thinking_token_budget": 512,
        "max_tokens": 160 + 512,
    }


async def test_a_prompt_with_a_schema_asks_for_json_that_satisfies_it() -> None:
    schema = {"type": "object", "properties": {"loves": {"type": "array"}}}
    body = await body_of(OPTIONS, msgspec.structs.replace(PROMPT, schema=schema))
    wanted = {"type": "json_schema", "json_schema": {"schema": schema, "name": "summary", "strict": True}}
    assert body == await body_of(OPTIONS) | {"response_format": wanted}


async def test_what_was_tried_in_vain_is_asked_for_differently() -> None:
    async with ScriptedServer(says("ok"), says("ok")) as server, client_of(server.url) as client:
        for num_repeats in (1, 2):
            await client.evolve(msgspec.structs.replace(PROMPT, num_repeats=num_repeats), request_id="call-1")
        bodies = [msgspec.json.decode(body) for _, body in server.requests]
    assert [(body["temperature"] > 0, "seed" in body) for body in bodies] == [(True, False)] * 2


async def test_a_repeat_is_no_more_certain_than_the_options() -> None:
    body = await body_of(CallOptions("evolve", temperature=0.9), msgspec.structs.replace(PROMPT, num_repeats=1))
    assert body["temperature"] == 0.9


async def test_without_a_key_no_authorization_is_sent() -> None:
    async with ScriptedServer(says("ok")) as server:
        await call(server)
    assert "Authorization" not in server.requests[0][0].headers


async def test_a_late_answer_times_out_and_hangs_up() -> None:
    async with ScriptedServer(Reply(release=asyncio.Event())) as server:
        async with client_of(server.url, timeout_seconds=0.05) as client:
            assert await client.evolve(PROMPT, request_id="1") == Unavailable("timeout", "no answer in time")
            assert client.num_in_flight == 0
        await server.hung_up.wait()


async def test_a_canary_that_hangs_is_given_up_before_a_call_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("model_server.client.CANARY_TIMEOUT_SECONDS", 0.05)
    async with ScriptedServer(Reply(release=asyncio.Event())) as server, client_of(server.url) as client:
        assert await client.ask_canary(request_id="canary-1") == Unavailable("timeout", "no answer in time")


@pytest.mark.parametrize(("idle_seconds", "num_connections"), [(3.5, 1), (4.9, 2)])
async def test_no_call_goes_into_a_connection_that_a_server_may_close(
    idle_seconds: float, num_connections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """vLLM, as it is without a setting, closes a connection that was idle for 5 s."""
    async with ScriptedServer(says("ok"), says("ok")) as server, client_of(server.url) as client:
        await client.evolve(PROMPT, request_id="1")
        monkeypatch.setattr("aiohttp.connector.monotonic", lambda: time.monotonic() + idle_seconds)
        assert await client.evolve(PROMPT, request_id="2") == Completion("ok", "stop", 30, 7, 16)
        assert len({request.protocol for request, _ in server.requests}) == num_connections


async def test_every_place_has_a_connection() -> None:
    release = asyncio.Event()
    async with (
        ScriptedServer(*[says("ok", release=release)] * 150) as server,
        client_of(server.url, capacity=150) as client,
    ):
        calls = [asyncio.create_task(client.evolve(PROMPT, request_id=str(n))) for n in range(150)]
        for _ in range(150):
            await server.arrivals.get()
        release.set()
        await asyncio.gather(*calls)


async def test_the_wait_for_a_place_does_not_count_into_the_timeout() -> None:
    async with (
        ScriptedServer(Reply(release=asyncio.Event()), Reply(release=asyncio.Event()), says("ok")) as server,
        client_of(server.url, timeout_seconds=0.25, capacity=1) as client,
    ):
        results = await asyncio.gather(*(client.evolve(PROMPT, request_id=str(n)) for n in range(3)))
    late = Unavailable("timeout", "no answer in time")
    assert results == [late, late, Completion("ok", "stop", 30, 7, 16)]


async def test_capacity_bounds_the_calls_on_the_wire() -> None:
    release = asyncio.Event()
    async with (
        ScriptedServer(*[says("ok", release=release)] * 5) as server,
        client_of(server.url, capacity=2) as client,
    ):
        calls = [asyncio.create_task(client.evolve(PROMPT, request_id=str(n))) for n in range(5)]
        for _ in range(2):
            await server.arrivals.get()
        assert (len(server.requests), client.num_in_flight) == (2, 2)
        release.set()
        await asyncio.gather(*calls)
        assert (len(server.requests), client.num_in_flight) == (5, 0)


async def test_a_cancelled_call_hangs_up_and_gives_its_place_back() -> None:
    async with (
        ScriptedServer(Reply(release=asyncio.Event()), says("next")) as server,
        client_of(server.url, capacity=1) as client,
    ):
        first = asyncio.create_task(client.evolve(PROMPT, request_id="1"))
        await server.arrivals.get()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await server.hung_up.wait()
        assert client.num_in_flight == 0
        assert await client.evolve(PROMPT, request_id="2") == Completion("next", "stop", 30, 7, 16)


async def test_closing_the_client_ends_every_call_with_a_value() -> None:
    async with ScriptedServer(Reply(release=asyncio.Event())) as server:
        async with client_of(server.url, capacity=1) as client:
            calls = [asyncio.create_task(client.evolve(PROMPT, request_id=str(n))) for n in range(2)]
            await server.arrivals.get()
        results = await asyncio.gather(*calls)
        assert len(server.requests) == 1
    assert not await client.is_ready()
    assert [result.reason for result in results if isinstance(result, Unavailable)] == ["disconnected", "connection"]


async def test_used_without_being_opened_it_says_how() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await client_of("http://127.0.0.1:1").evolve(PROMPT, request_id="1")


@pytest.mark.parametrize(
    ("reply", "ready"),
    [
        (Reply(body=b'{"object": "list", "data": [{"id": "base"}, {"id": "evolve"}]}'), True),
        (Reply(body=b'{"object": "list", "data": [{"id": "base"}]}'), False),
        (Reply(503), False),
        (Reply(503, b'{"object": "list", "data": [{"id": "evolve"}]}'), False),
        (Reply(body=b"<html>starting</html>"), False),
    ],
)
async def test_ready_means_the_model_is_served(reply: Reply, ready: bool) -> None:
    async with ScriptedServer(reply) as server, client_of(server.url) as client:
        assert await client.is_ready() is ready
    request, _ = server.requests[0]
    assert (request.method, request.path) == ("GET", "/v1/models")


async def test_a_server_that_is_away_is_not_ready() -> None:
    async with ScriptedServer() as server:
        pass
    async with client_of(server.url) as client:
        assert not await client.is_ready()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        (" 2.5 ", 2.5),
        ("0", 0.0),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("Mon, 05 Jan 2026 20:15:30 GMT", 30.0),
        ("Mon, 05 Jan 2026 20:15:30", 30.0),
        ("Mon, 05 Jan 2026 21:15:30 +0100", 30.0),
        ("Mon, 05 Jan 2026 20:14:00 GMT", 0.0),
        ("Mon, 99 Jan 2026 20:14:00 GMT", None),
        ("Wed, 21 Oct 2026 07:28:00 +99999999999999999999", None),
        ("31536000", MAX_ASKED_SECONDS),
        ("1e308", MAX_ASKED_SECONDS),
        ("Mon, 05 Jan 2099 20:15:30 GMT", MAX_ASKED_SECONDS),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds
