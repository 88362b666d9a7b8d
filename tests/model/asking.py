"""What the tests ask a real model: updates of real people, and one task that takes it a minute."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cache

from msgspec import Struct

from deploy.demo.movielens import PastRating, load_ratings
from model_server.client import CallOptions, ModelClient
from model_server.counting import write_summary
from model_server.profiles import load_profile
from model_server.replicas import Replicas
from prefstream.events import Item, Rating
from prefstream.summaries import Tally
from streams.evidence import evidence_of
from streams.evolution.dialects import Dialect
from streams.evolution.plain import parse_prompt, write_prompt
from streams.evolution.records import CallResult, Prompt, Turn, Update
from streams.tally import fold
from tests.model.vllm_process import PROFILE

NUM_NEW = 20
PROFILE_READ = load_profile(PROFILE)
# The grammar lets it end only after 1,500 values: a minute of work for this model on two cores, if nobody stops it.
_FALSE_1500_TIMES = {"type": "array", "items": {"type": "boolean"}, "minItems": 1_500, "maxItems": 1_500}
ENDLESS = Prompt((Turn("user", "Write."),), max_tokens=3_000, schema=_FALSE_1500_TIMES)


def client_of(url: str, *, capacity: int = 32, timeout_seconds: float = 180.0) -> ModelClient:
    """A client as a worker with this profile has it."""
    sampling = PROFILE_READ.sampling
    options = CallOptions(
        model=PROFILE_READ.served_name,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        repetition_penalty=sampling.repetition_penalty,
    )
    return ModelClient(url, options, timeout_seconds=timeout_seconds, capacity=capacity)


def short(number: int) -> Prompt:
    """A question that is answered in a moment; each number another one."""
    return Prompt((Turn("user", f"Is {number} an even number?"),), max_tokens=4)


async def ask_all(client: ModelClient | Replicas, prompts: Sequence[Prompt]) -> list[CallResult]:
    """All of them at once."""
    return await asyncio.gather(*(client.evolve(prompt, request_id=f"call-{n}") for n, prompt in enumerate(prompts)))


def updates(num: int) -> list[Update]:
    """So many updates of real people, twenty new ratings each, the old texts written by the counting engine."""
    found: list[Update] = []
    for history in histories():
        found += _updates_of(history)
        if len(found) >= num:
            return found[:num]
    raise AssertionError("MovieLens is larger than that")


@cache
def histories() -> tuple[tuple[PastRating, ...], ...]:
    """Everybody's ratings, whoever came first first."""
    histories: dict[int, list[PastRating]] = {}
    for rating in load_ratings():
        histories.setdefault(rating.user, []).append(rating)
    return tuple(map(tuple, histories.values()))


def _updates_of(history: Sequence[PastRating]) -> Iterator[Update]:
    old_text, tally = "", Tally()
    for first in range(0, min(len(history), 3 * NUM_NEW), NUM_NEW):
        evidence = tuple(evidence_of(event_of(rating)) for rating in history[first : first + NUM_NEW])
        tally = fold(tally, evidence)
        update = Update(old_text, tally, evidence)
        yield update
        parts = parse_prompt(write_prompt(old_text, tally, evidence))
        assert parts is not None
        old_text = write_summary(parts)


def event_of(rating: PastRating) -> Rating:
    """The rating as an event in our own format."""
    item = Item(str(rating.film.id), rating.film.title, {"genre": rating.film.genres})
    at = datetime.fromtimestamp(rating.at_seconds, UTC)
    return Rating(user=str(rating.user), at=at, domain="films", item=item, value=rating.stars)


class Asked(Struct, frozen=True):
    """One update, the prompt it became, and what came back."""

    update: Update
    prompt: Prompt
    result: CallResult


async def ask_updates(client: ModelClient, dialect: Dialect, asked: Sequence[Update]) -> list[Asked]:
    """Ask for all these updates at once."""
    prompts = [dialect.write_prompt(update) for update in asked]
    results = await ask_all(client, prompts)
    return [Asked(*one) for one in zip(asked, prompts, results, strict=True)]
