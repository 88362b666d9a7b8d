"""The one door to the model: a prompt goes out, a CallResult comes back (dispatch → **client** → guards).

What an answer means is decided here, once:

=========================================  =======================  ====================================================
the server says                            the call is              and then
=========================================  =======================  ====================================================
200, a finished text                       a Completion             the guards judge it
200, ``length``, ``repetition``, no text   a Completion             the guards refuse it
200, ``abort`` (a vLLM that drains)        away: draining           made again, elsewhere if there is an elsewhere
500, "…after shutdown" (the same, to us)   away: draining           made again, elsewhere if there is an elsewhere
408, 429, 503                              away: overloaded         made again, after ``Retry-After``
500, 502, 504, any other; no protocol      away: server_error       made again; one user alone is suspect
401, 403, 404                              away: misconfigured      made again, and said loudly: which setting to mend
hangs up                                   away: disconnected       made again; one user alone is suspect
no connection                              away: connection         made again
no answer in time                          away: timeout            made again, never at once: that would burn twice the GPU
400, 413, 422                              Refused                  never made again as it is
=========================================  =======================  ====================================================
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ssl import SSLContext
from types import TracebackType
from typing import Annotated, Self

import msgspec
import structlog
from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    TCPConnector,
)
from msgspec import UNSET, Meta, Struct, UnsetType

from model_server.profiles import Profile
from streams.evolution.records import CallResult, Completion, Prompt, Refused, Turn, Unavailable
from streams.evolution.thoughts import UNTERMINATED
from streams.tokens import estimate_tokens

log = structlog.get_logger()

# The most likely answer to a prompt that failed fails again. No seed is sent: one sampled request with a seed ends vLLM 0.32
# on a CPU, for everybody, as soon as its prompt is computed in parts.
REPEAT_TEMPERATURE = 0.5
CONNECT_TIMEOUT_SECONDS = 5.0
GET_TIMEOUT_SECONDS = 5.0
CANARY = (Turn("user", "Say yes."),)
CANARY_TIMEOUT_SECONDS = 20.0
# vLLM closes an idle connection after 5 s; a client that keeps one longer sends a request into a closed socket.
KEEP_ALIVE_SECONDS = 4.0
MAX_MESSAGE_CHARS = 300
NO_HEADERS: Mapping[str, str] = {}
# What a vLLM that drains says of most chats: what applies their template is gone before the engine is. The whole message, so
# that one which quotes a prompt is never taken for it.
AFTER_SHUTDOWN = "cannot schedule new futures after shutdown"
# 32 bytes for each of 32,768 tokens, the longest context of our profiles; the metrics of a vLLM are far shorter.
MAX_BODY_BYTES = 1_048_576
MAX_ASKED_SECONDS = 300.0  # a server whose clock is wrong could ask for a year
# Of tokens: above it, and below zero, a server did not count.
MAX_COUNT = 1_000_000_000
# What somebody has to mend before any prompt is answered.
FIXES = {
    401: "the server wants a key: set PREFSTREAM_MODEL_API_KEY",
    403: "the server does not allow this key: correct PREFSTREAM_MODEL_API_KEY",
    404: "the server has no such model or no such path: correct PREFSTREAM_MODEL_PROFILE, _NAME or _URL",
}
_QUEUE_TIMES = re.compile(rb"^vllm:request_queue_time_seconds_(sum|count)(?:\{.*\})? (\S+)", re.MULTILINE)
_INPUT_TOKENS = re.compile(r"contains (?:at least )?(\d{1,9}) input tokens|\((\d{1,9}) in the messages")
_MALFORMED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class CallOptions(Struct, frozen=True):
    """What every call says beside its prompt: which ``model``, and how it samples.

    All of the sampling is sent, because what a request leaves out the server takes from the model's own configuration.
    ``top_k`` 0 considers all tokens. ``chat_template_kwargs`` goes to the chat template. With ``thinking_tokens`` the model
    may think for so many tokens before it answers, on top of the prompt's ``max_tokens``; 0 says nothing about thinking.
    """

    model: str
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    chat_template_kwargs: Mapping[str, object] = {}
    thinking_tokens: int = 0


def options_of(profile: Profile, name: str = "") -> CallOptions:
    """What a profile says of every call, to a model that its server knows as ``name``, where that is not the profile's."""
    sampling = profile.sampling
    return CallOptions(
        name or profile.served_name,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        repetition_penalty=sampling.repetition_penalty,
        chat_template_kwargs=profile.chat_template_kwargs,
        thinking_tokens=profile.thinking_tokens,
    )


class _Schema(Struct, frozen=True):
    schema: Mapping[str, object]
    name: str = "summary"
    strict: bool = True


class _ResponseFormat(Struct, frozen=True, tag_field="type", tag="json_schema"):
    json_schema: _Schema


class _Request(Struct, frozen=True):
    model: str
    messages: tuple[Turn, ...]
    # Always sent: the completions API of vLLM would otherwise stop after 16 tokens.
    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    repetition_penalty: float
    stream: bool = False
    response_format: _ResponseFormat | UnsetType = UNSET
    chat_template_kwargs: Mapping[str, object] | UnsetType = UNSET
    thinking_token_budget: int | UnsetType = UNSET


class _Message(Struct, frozen=True):
    content: str | None = None
    # The thought, where the server tells it from the answer: today's name of the field, and the one before.
    reasoning: str | None = None
    reasoning_content: str | None = None


class _Choice(Struct, frozen=True):
    message: _Message
    finish_reason: str | None = None


class _PromptTokensDetails(Struct, frozen=True):
    cached_tokens: int | None = None


class _CompletionTokensDetails(Struct, frozen=True):
    reasoning_tokens: int | None = None


class _Usage(Struct, frozen=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptTokensDetails | None = None
    completion_tokens_details: _CompletionTokensDetails | None = None


class _Reply(Struct, frozen=True):
    choices: Annotated[tuple[_Choice, ...], Meta(min_length=1)]
    usage: _Usage | None = None


class _Error(Struct, frozen=True):
    message: str


class _ErrorReply(Struct, frozen=True):
    error: _Error


class _Model(Struct, frozen=True):
    id: str


class _ModelList(Struct, frozen=True):
    data: tuple[_Model, ...]


class QueueTimes(Struct, frozen=True):
    """Seconds that all calls of a server spent in its queue, and how many calls those were, since it started."""

    sum_seconds: float = 0.0
    num_calls: float = 0.0


class ModelClient:
    """Calls the model of ``options`` on one OpenAI-compatible server at ``base_url`` (its root, with or without ``/v1``).

    A call may take ``timeout_seconds``, and ``capacity`` calls run at once; the wait for a free place does not count into
    the timeout. Nothing is retried here. One client is one replica; :class:`model_server.replicas.Replicas` has the same
    ``evolve``, chooses among several and learns how many calls each of them takes. ``tls`` says whom an ``https`` address is
    trusted by; without it, the system's authorities.
    """

    def __init__(
        self,
        base_url: str,
        options: CallOptions,
        *,
        timeout_seconds: float,
        capacity: int,
        api_key: str | None = None,
        tls: SSLContext | None = None,
    ) -> None:
        self._root = base_url.rstrip("/").removesuffix("/v1")
        self._options = options
        self._timeout_seconds = timeout_seconds
        self.capacity = capacity
        self._places = asyncio.Semaphore(capacity)
        # A megabyte of gzip can be a gigabyte: nothing is asked for packed, and nothing is unpacked.
        self._headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {})
        self._tls = tls
        self._session: ClientSession | None = None
        self._num_in_flight = 0
        self._complained_of = 0

    @property
    def num_in_flight(self) -> int:
        """Calls sent and not answered yet; those waiting for a place are not among them."""
        return self._num_in_flight

    async def __aenter__(self) -> Self:
        self._session = ClientSession(
            # No limit here: the places bound the calls, and a wait inside the connector would eat the call's timeout.
            connector=TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS, ssl=self._tls or True),
            cookie_jar=DummyCookieJar(),
            headers=self._headers,
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def evolve(self, prompt: Prompt, *, request_id: str, headers: Mapping[str, str] = NO_HEADERS) -> CallResult:
        """The model's answer to ``prompt``, or why there is none; the answer is not judged here.

        ``request_id`` appears in the server's log, so it names no user; it is used once. ``headers`` say of which trace the
        call is. Cancelling the call hangs up, which
        stops the generation on the server.
        """
        async with self._places:
            self._num_in_flight += 1
            try:
                return await self._send(_request(self._options, prompt), request_id, self._timeout_seconds, headers)
            finally:
                self._num_in_flight -= 1

    async def ask_canary(self, *, request_id: str) -> CallResult:
        """What becomes of a real completion of one token, of no user's prompt. It takes no place, and waits for none.

        A server that reads only prompts of its own dialect refuses it: it has read it, so it is there.
        """
        request = _Request(self._options.model, CANARY, 1, 0.0, 1.0, 0, 1.0)
        return await self._send(request, request_id, min(self._timeout_seconds, CANARY_TIMEOUT_SECONDS))

    async def is_ready(self) -> bool:
        """Whether the server answers and serves this model. It says nothing about load: vLLM answers so while it drains."""
        try:
            models = msgspec.json.decode(await self._get("/v1/models"), type=_ModelList)
        except _MALFORMED:
            return False
        return any(model.id == self._options.model for model in models.data)

    async def queue_times(self) -> QueueTimes | None:
        """How long calls waited in the server's queue since its start; ``None`` where it does not tell."""
        return parse_queue_times(await self._get("/metrics"))

    async def _get(self, path: str) -> bytes:
        """The page at ``path``; empty if there is none, or one that is too long."""
        session, timeout = self._opened(), ClientTimeout(total=GET_TIMEOUT_SECONDS)
        if session.closed:
            return b""
        try:
            async with session.get(self._root + path, timeout=timeout, allow_redirects=False) as response:
                page = await _body_of(response) if response.status == 200 else b""
                return page if len(page) <= MAX_BODY_BYTES else b""
        except (ClientError, OSError):
            return b""

    async def _send(
        self, request: _Request, request_id: str, timeout_seconds: float, trace: Mapping[str, str] = NO_HEADERS
    ) -> CallResult:
        body = msgspec.json.encode(request)
        headers = {**trace, "Content-Type": "application/json", "X-Request-Id": request_id}
        timeout = ClientTimeout(total=timeout_seconds, sock_connect=CONNECT_TIMEOUT_SECONDS)
        session, url = self._opened(), f"{self._root}/v1/chat/completions"
        if session.closed:
            return Unavailable("connection", "the client was closed while the call waited for a place")
        try:
            async with session.post(url, data=body, headers=headers, timeout=timeout, allow_redirects=False) as response:
                self._complain_of(response.status)
                return _read_reply(response.status, response.headers, await _body_of(response))
        except (ClientError, OSError) as error:
            return _outage(error)

    def _complain_of(self, status: int) -> None:
        """Once for as long as it lasts, and not for every call."""
        fix = FIXES.get(status)
        if fix and status != self._complained_of:
            log.error("the model server refuses every call", status=status, fix=fix)
        self._complained_of = status if fix else 0

    def _opened(self) -> ClientSession:
        if self._session is None:
            raise RuntimeError("ModelClient is used as `async with ModelClient(...) as client`")
        return self._session


def _request(options: CallOptions, prompt: Prompt) -> _Request:
    return _Request(
        options.model,
        prompt.turns,
        prompt.max_tokens + options.thinking_tokens,
        max(options.temperature, REPEAT_TEMPERATURE) if prompt.num_repeats else options.temperature,
        options.top_p,
        options.top_k,
        options.repetition_penalty,
        response_format=_ResponseFormat(_Schema(prompt.schema)) if prompt.schema is not None else UNSET,
        chat_template_kwargs=options.chat_template_kwargs or UNSET,
        thinking_token_budget=options.thinking_tokens or UNSET,
    )


async def _body_of(response: ClientResponse) -> bytes:
    """What the server sends, or the first byte too many and all before it: leaving the response then hangs up."""
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > MAX_BODY_BYTES:
            break
    return bytes(body[: MAX_BODY_BYTES + 1])


def _read_reply(status: int, headers: Mapping[str, str], body: bytes) -> CallResult:
    match status:
        case 200:
            return _read_completion(body)
        case 408 | 429 | 503:
            seconds = parse_retry_after(headers.get("Retry-After"), datetime.now(UTC))
            return Unavailable("overloaded", f"HTTP {status}", seconds)
        case 400 | 413 | 422:
            message = _read_error(body)
            return Refused(status, message[:MAX_MESSAGE_CHARS] or f"HTTP {status}", _read_input_tokens(message))
        case 401 | 403 | 404:
            # No prompt is at fault, or a rotated key would look like poison for every user.
            # Without its words: this is said in the log, and a gateway that forbids a prompt may quote it.
            return Unavailable("misconfigured", f"HTTP {status}")
        case 500 if _read_error(body) == AFTER_SHUTDOWN:
            return Unavailable("draining", f"HTTP 500: {AFTER_SHUTDOWN}")
        case _:
            return Unavailable("server_error", f"HTTP {status}")


def _read_completion(body: bytes) -> CallResult:
    if len(body) > MAX_BODY_BYTES:
        return Unavailable("server_error", f"HTTP 200 with more than {MAX_BODY_BYTES:,} bytes: no completion is so long")
    try:
        reply = msgspec.json.decode(body, type=_Reply)
    except _MALFORMED:
        # The prompt is not to blame for a server, or a gateway before it, that does not speak the protocol.
        return Unavailable("server_error", "HTTP 200 whose body is no chat completion")
    choice = reply.choices[0]
    if choice.finish_reason == "abort":
        # What vLLM says to new requests while it drains before a shutdown, with HTTP 200 and no text.
        return Unavailable("draining", "HTTP 200 with finish_reason 'abort'")
    return _completion(choice, reply.usage or _Usage())


def _completion(choice: _Choice, usage: _Usage) -> Completion:
    message, completion_tokens = choice.message, _counted(usage.completion_tokens)
    text, thought = message.content or "", message.reasoning or message.reasoning_content or ""
    thinking = usage.completion_tokens_details or _CompletionTokensDetails()
    reasoning_tokens = _counted(thinking.reasoning_tokens)
    if thought and not reasoning_tokens:  # told apart and not counted: what the text leaves
        reasoning_tokens = max(0, completion_tokens - estimate_tokens(text))
    return Completion(
        text,
        # A thought is never taken for the answer, whatever the server says of how it ended.
        UNTERMINATED if thought and not text else choice.finish_reason or "",
        _counted(usage.prompt_tokens),
        completion_tokens,
        _counted((usage.prompt_tokens_details or _PromptTokensDetails()).cached_tokens),
        reasoning_tokens,
    )


def _counted(tokens: int | None) -> int:
    """Tokens that a server can have counted, 0 where it says something else. The answer is none the worse for it."""
    return tokens if tokens is not None and 0 <= tokens <= MAX_COUNT else 0


def _read_error(body: bytes) -> str:
    """The server's own words; they may quote the prompt, so they are kept and not logged."""
    try:
        return msgspec.json.decode(body, type=_ErrorReply).error.message
    except _MALFORMED:
        return ""


def _read_input_tokens(message: str) -> int | None:
    """vLLM names the tokens of a prompt beyond its context in a sentence only, another one in its earlier versions."""
    found = _INPUT_TOKENS.search(message)
    return int(found[1] or found[2]) if found else None


def _outage(error: ClientError | OSError) -> Unavailable:
    match error:
        case ConnectionTimeoutError():
            return Unavailable("connection", f"no connection within {CONNECT_TIMEOUT_SECONDS:g} s")
        case TimeoutError():
            return Unavailable("timeout", "no answer in time")
        case ClientResponseError():
            return Unavailable("server_error", "the answer is not HTTP")
        case ClientConnectorCertificateError():  # mended by somebody, not by time
            reason = getattr(error.certificate_error, "verify_message", None) or error.certificate_error
            return Unavailable("misconfigured", f"its certificate is not trusted: {reason}")
        case ClientConnectorError():
            return Unavailable("connection", f"{type(error).__name__}: {error.strerror or 'no detail'}")
        case OSError():
            return Unavailable("disconnected", f"{type(error).__name__}: {error.strerror or 'no detail'}")
        case _:
            return Unavailable("disconnected", type(error).__name__)


def parse_queue_times(page: bytes) -> QueueTimes | None:
    """What a vLLM's metrics say of its queue, all engines together; ``None`` if they say nothing of it that is a number."""
    totals = {b"sum": 0.0, b"count": 0.0}
    found = _QUEUE_TIMES.findall(page)
    try:
        for name, value in found:
            totals[name] += float(value)
    except ValueError:
        return None
    return QueueTimes(totals[b"sum"], totals[b"count"]) if found and all(map(math.isfinite, totals.values())) else None


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds from ``now`` that a Retry-After header (seconds, or an HTTP date) asks for; None when it says nothing.

    They are at most :data:`MAX_ASKED_SECONDS`: every user of a worker waits for so long.
    """
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        return _seconds_until(value, now)
    return min(seconds, MAX_ASKED_SECONDS) if math.isfinite(seconds) and seconds >= 0 else None


def _seconds_until(http_date: str, now: datetime) -> float | None:
    try:
        at = parsedate_to_datetime(http_date)
    except (ValueError, OverflowError):
        return None
    # An HTTP date is in UTC, also when it names no zone.
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max(0.0, (at - now).total_seconds()), MAX_ASKED_SECONDS)
