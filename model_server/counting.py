"""The counting engine: an OpenAI-compatible server without weights (client → **server** → guards).

It reads prompts of the plain dialect and writes what the tally in them says, in the format of the prose, deterministically.
It is the baseline that a language model has to beat, and the fast engine of tests and of first steps.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import sys
import time
import uuid
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from prefstream.events import Item
from prefstream.summaries import DomainTally, Mention, Tally, Weight
from streams.evidence import Evidence
from streams.evolution.own_words import summarise
from streams.evolution.plain import PromptParts, parse_prompt
from streams.evolution.prose import Claims, Section, parse
from streams.evolution.records import CallResult, Completion, Prompt, Refused, Turn
from streams.tally import fold, levels
from streams.tokens import estimate_text_tokens, estimate_tokens
from streams.weights import DEFAULT_POLICY

MODEL = "counting"
_MAX_TOKENS = 1 << 20  # of an answer that nobody bounds


def write_summary(parts: PromptParts) -> str:
    """The new summary: the person's own words, then what the tally says; what they pinned overrides it.

    Without a tally the text is the only memory: its claims are weighed against the words of the new events.
    """
    claims = parts.claims if parts.has_tally else _weighed(parse(parts.old_text), parts.events)
    return summarise(claims.sections, parts.old_text, parts.pins, parts.max_summary_tokens)


# What a level in an old text counts for: about four events.
_WEIGHTS = {
    "loves": Weight(liked=3.5, met=4.0),
    "likes": Weight(liked=1.6, met=4.0),
    "mixed": Weight(liked=1.0, disliked=1.0, met=4.0),
    "dislikes": Weight(disliked=2.4, met=4.0),
}
# A text does not say how strongly a title was felt about: what is new comes before it.
_FAINTEST = DEFAULT_POLICY.strong
_STRENGTHS = {
    "loved": 1.0,
    "liked": 0.5,
    "was lukewarm about": 0.0,
    "disliked": -0.5,
    "hated": -1.0,
    "finished": 0.5,
    "looked at": 0.1,
    "opened": 0.3,
    "passed over": -0.2,
    "bought": 0.8,
    "returned": -0.4,
    "welcomed": 0.8,
    "turned down": -0.8,
    "chose": 0.9,
    "searched for": 0.3,
    "wrote": 0.2,
}
_TIMES = {"twice": 2, "several times": 4, "many times": 12}
# A line that says of impressions how many there were names none of them: nothing of it could be weighed.
_EVENT = re.compile(
    rf'(?:([^"]+): )?({"|".join(_STRENGTHS)}) "([^"]*)"(?: \(([^"]*)\))?(, as recommended)?(?:, saying "[^"]*")?'
    rf"(?:, ({'|'.join(_TIMES)}))?"
)


def _weighed(old: Claims, events: Iterable[str]) -> Claims:
    evidence = [one for line in events if (match := _EVENT.match(line)) for one in _evidence(match)]
    domains = {section.domain: _remembered(section) for section in old.sections}
    return levels(fold(Tally(domains=domains), evidence))


def _remembered(section: Section) -> DomainTally:
    attributes = {f":{value}": weight for level, weight in _WEIGHTS.items() for value in getattr(section, level)}
    return DomainTally(
        overall=_total(attributes.values()),
        attributes=attributes,
        favourites=tuple(Mention(title, title, _FAINTEST, 0) for title in section.favourites),
        dislikes=tuple(Mention(title, title, -_FAINTEST, 0) for title in section.did_not_enjoy),
        searches=section.searches,
        quotes=section.quotes,
    )


def _total(weights: Iterable[Weight]) -> Weight:
    total = Weight()
    for weight in weights:
        total = Weight(total.liked + weight.liked, total.disliked + weight.disliked, total.met + weight.met)
    return total


def _evidence(match: re.Match[str]) -> list[Evidence]:
    domain, verb, words, attributes, echo, times = match.groups()
    strength = _STRENGTHS[verb] / (2 if echo else 1)
    kind = {"searched for": "search", "wrote": "post"}.get(verb, "rating")
    item = Item(id=words or "?", title=words, attributes={"": tuple((attributes or "").split(", "))})
    one = Evidence(
        kind=kind,
        at_seconds=0.0,
        domain=domain or "",
        strength=strength,
        query=words if kind == "search" else "",
        chosen=item if kind == "rating" and strength >= 0 else None,
        rejected=(item,) if kind == "rating" and strength < 0 else (),
        quote=words if kind == "post" else "",
        recommended=bool(echo),
    )
    return [one] * _TIMES.get(times, 1)


class Settings(Struct, frozen=True):
    """The name under which the engine is served, and how long it waits before it answers, as a model would."""

    model: str = MODEL
    delay_seconds: float = 0.0


class ChatRequest(Struct, frozen=True):
    """What is read of a chat completion request; other fields are allowed and change nothing."""

    messages: Annotated[tuple[Turn, ...], Meta(min_length=1)]
    model: str | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    stream: bool = False
    n: int | None = None


class Reply(Struct, frozen=True):
    """A status and the body to send with it."""

    status: int
    body: dict[str, object]


_SETTINGS = web.AppKey("settings", Settings)
_decode = msgspec.json.Decoder(ChatRequest).decode


def make_app(settings: Settings) -> web.Application:
    """The server's application: ``POST /v1/chat/completions``, ``GET /v1/models``, ``GET /health``."""
    app = web.Application()
    app[_SETTINGS] = settings
    app.router.add_post("/v1/chat/completions", _complete)
    app.router.add_get("/v1/models", _list_models)
    app.router.add_get("/health", _health)
    return app


async def serve(host: str, port: int, settings: Settings, stopped: asyncio.Event, announce: Callable[[str], object]) -> None:
    """Serves until ``stopped`` is set; ``announce`` gets the base URL once it listens. Port 0 takes a free port.

    Raises OSError where the address cannot be bound.
    """
    runner = web.AppRunner(make_app(settings), access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        bound_host, bound_port = runner.addresses[0][:2]
        announce(f"http://{f'[{bound_host}]' if ':' in bound_host else bound_host}:{bound_port}")
        await stopped.wait()
    finally:
        await runner.cleanup()


async def _complete(request: web.Request) -> web.Response:
    settings = request.app[_SETTINGS]
    reply = answer(await request.read(), settings)
    if settings.delay_seconds:
        await asyncio.sleep(settings.delay_seconds)
    return _response(reply)


async def _list_models(request: web.Request) -> web.Response:
    model = {"id": request.app[_SETTINGS].model, "object": "model", "created": 0, "owned_by": "prefstream"}
    return _response(Reply(200, {"object": "list", "data": [model]}))


async def _health(_: web.Request) -> web.Response:
    return web.Response()


def _response(reply: Reply) -> web.Response:
    return web.Response(body=msgspec.json.encode(reply.body), status=reply.status, content_type="application/json")


class Counting:
    """The engine in this process, with the client's ``evolve``: the same answers as the server's, without the way there."""

    capacity = 1  # it computes where it is asked, one call after the other

    async def evolve(self, prompt: Prompt, *, request_id: str) -> CallResult:
        """The engine's answer to ``prompt``; a prompt of another dialect is refused."""
        return complete(prompt)


def complete(prompt: Prompt) -> Completion | Refused:
    """What the engine says to a prompt, cut at the prompt's ``max_tokens``; tokens are estimates."""
    parts = parse_prompt(prompt)
    if parts is None:
        return Refused(400, "This engine counts: it reads only prompts of the plain dialect.")
    text, finish_reason = write_summary(parts), "stop"
    if estimate_text_tokens(text) > prompt.max_tokens:
        text, finish_reason = _cut(text, prompt.max_tokens), "length"
    prompt_tokens = sum(estimate_tokens(turn.content) for turn in prompt.turns)
    return Completion(text, finish_reason, prompt_tokens, estimate_text_tokens(text))


def answer(body: bytes, settings: Settings) -> Reply:
    """The completion of a request, or the error of OpenAI's form that says what is wrong with it."""
    try:
        asked = _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return _refusal(400, str(error))
    if asked.model not in (None, settings.model):
        return _refusal(404, f"The model {asked.model!r} does not exist; this server has {settings.model!r}.")
    if asked.stream or asked.n not in (None, 1):
        return _refusal(400, "This engine gives one answer and does not stream it.")
    match complete(Prompt(asked.messages, asked.max_completion_tokens or asked.max_tokens or _MAX_TOKENS)):
        case Refused(status=status, message=message):
            return _refusal(status, message)
        case Completion() as completion:
            return _completed(completion, settings)


def _refusal(status: int, message: str) -> Reply:
    kind = "NotFoundError" if status == 404 else "BadRequestError"
    return Reply(status, {"error": {"message": message, "type": kind, "param": None, "code": status}})


def _completed(completion: Completion, settings: Settings) -> Reply:
    message = {"role": "assistant", "content": completion.text}
    return Reply(
        200,
        {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": settings.model,
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": completion.finish_reason}],
            "usage": {
                "prompt_tokens": completion.prompt_tokens,
                "completion_tokens": completion.completion_tokens,
                "total_tokens": completion.prompt_tokens + completion.completion_tokens,
            },
        },
    )


def _cut(text: str, max_tokens: int) -> str:
    lengths = range(len(text) + 1)
    return text[: bisect_right(lengths, max_tokens, key=lambda length: estimate_text_tokens(text[:length])) - 1]


_EXAMPLES = """\
examples:
  python -m model_server.counting --port 8000
  python -m model_server.counting --port 0 --delay-seconds 0.05     # a free port; answers as late as a small model would
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: prints the base URL once it serves, and stops cleanly at SIGTERM and Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m model_server.counting",
        description="Serve the counting engine: an OpenAI-compatible model without weights.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port, 0 for a free one (default: %(default)s)")
    parser.add_argument("--model", default=MODEL, help="name under which it is served (default: %(default)s)")
    parser.add_argument("--delay-seconds", type=float, default=0.0, help="wait before each answer (default: %(default)s)")
    options = parser.parse_args(arguments)
    settings = Settings(options.model, options.delay_seconds)
    try:
        asyncio.run(_serve_until_signalled(options.host, options.port, settings))
    except (OSError, OverflowError) as error:
        # Of all that asyncio says of it, the last words.
        why = str(error.strerror).rpartition(": ")[2] if isinstance(error, OSError) else "a port is 0 to 65535"
        parser.exit(1, f"cannot listen on {options.host}:{options.port} ({why}): choose another with --port, or --port 0\n")


async def _serve_until_signalled(host: str, port: int, settings: Settings) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await serve(host, port, settings, stopped, announce=_print_line)


def _print_line(line: str) -> None:
    # Flushed, because whoever started the server reads the address from a pipe.
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
