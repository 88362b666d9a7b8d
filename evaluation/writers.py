"""Writers: who makes the summaries that are evaluated, as the command line names them (name → **writer** → evolving).

``counting`` is the counting engine, in this process; ``PROFILE@URL`` is a model on any OpenAI-compatible server, written
for and judged as its profile says, and asked for each prompt once (:mod:`evaluation.remembered`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from msgspec import Struct

from evaluation import evolving
from evaluation.evolving import Policy
from evaluation.measuring import Writer
from evaluation.people import LEARNT_FROM
from evaluation.remembered import Remembered
from evaluation.views import Summaries
from model_server.checkpoints import UnusableWeights
from model_server.client import ModelClient, options_of
from model_server.counting import Counting
from model_server.profiles import Profile, load_profile
from model_server.tokenizer import TokenCounter, estimated, load_tokenizer
from model_server.weights import given_folder, tokenizer_file
from prefstream.summaries import ModelUsed
from streams.evolution.dialects import dialect_of
from streams.evolution.fitting import Context

COUNTING = "counting"
CAPACITY = 32  # of a server that no profile describes


class Engine(Struct, frozen=True):
    """Who writes: a profile, and the address of a server that serves it; no address is the counting engine, in here.

    Nobody is asked whom it has ``learnt_from``: what it says of them it may remember.
    """

    name: str
    profile: Profile
    url: str = ""
    learnt_from: frozenset[str] = frozenset()


class NoSuchEngine(ValueError):
    """Nothing is named so; the message is a sentence with the fix."""


def engine_named(name: str) -> Engine:
    """The engine of this name, ``counting`` or ``PROFILE@URL``. Raises :class:`NoSuchEngine` and InvalidProfile."""
    profile, _, url = name.partition("@")
    if name == COUNTING:
        return Engine(name, load_profile(COUNTING))
    if not url.startswith(("http://", "https://")):
        raise NoSuchEngine(f"--engine {name}: write counting, or PROFILE@URL, as in smollm2-135m-cpu@http://127.0.0.1:8000")
    loaded = load_profile(profile)
    return Engine(profile, loaded, url, _learnt_from(loaded))


def _learnt_from(profile: Profile) -> frozenset[str]:
    file = Path(profile.weights.adapter) / LEARNT_FROM if profile.weights and profile.weights.adapter else None
    return frozenset(msgspec.json.decode(file.read_bytes(), type=list[str])) if file and file.is_file() else frozenset()


@asynccontextmanager
async def writer_of(engine: Engine, folder: Path) -> AsyncIterator[Writer]:
    """The summariser; its answers are kept in ``folder``. Raises InUse where another run keeps them there."""
    policy = policy_of(engine.profile)
    if not engine.url:
        yield _writer(engine, Counting(), policy)
        return
    profile, options = engine.profile, options_of(engine.profile)
    capacity = profile.server.max_num_seqs if profile.server else CAPACITY
    client = ModelClient(engine.url, options, timeout_seconds=profile.timeout_seconds, capacity=capacity)
    async with client, Remembered(client, options, folder / f"{engine.name}.jsonl") as remembered:
        yield _writer(engine, remembered, policy)


def _writer(engine: Engine, answers: evolving.Writer, policy: Policy) -> Writer:
    return Writer(engine.name, Summaries(answers, policy), answers, policy)


def policy_of(profile: Profile) -> Policy:
    """How a worker with this profile writes for its model, counts and judges."""
    dialect = dialect_of(profile.dialect, profile.grammar)
    tokens = _tokens(profile)
    return Policy(
        dialect,
        context=Context(profile.max_model_len - profile.thinking_tokens, tokens.count_prompt) if profile.weights else Context(),
        tokens=tokens,
        model=ModelUsed(profile.served_name, profile.name, dialect.name, dialect.prompt_sha256),
    )


def _tokens(profile: Profile) -> TokenCounter:
    if profile.weights is None:
        return estimated()
    try:
        path = tokenizer_file(profile, given_folder())
    except UnusableWeights:
        return estimated()
    return load_tokenizer(path) if path else estimated()
