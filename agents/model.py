"""Model: what a worker knows of the model it evolves with: whom to ask for, how to write and to read, how to count.

Place in the flow: between the settings and the worker, once.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from random import Random

from msgspec import Struct

from agents.settings import PREFIX, InvalidSettings, Settings
from model_server.checkpoints import UnusableWeights
from model_server.client import CallOptions, ModelClient, options_of
from model_server.profiles import Profile
from model_server.replicas import Replicas
from model_server.tokenizer import InvalidTokenizer, TokenCounter, estimated, load_tokenizer
from model_server.weights import given_folder, tokenizer_file
from prefstream.summaries import ModelUsed, Tally
from streams.evolution.dialects import Dialect, dialect_of
from streams.evolution.fitting import Context
from streams.evolution.guards import load_languages
from streams.evolution.records import Update

_UNKNOWN_CAPACITY = 32  # of a server that no profile describes


class Model(Struct, frozen=True):
    """One model, as ``profile`` describes it, under the ``name`` its servers know.

    Each of them gets ``start`` calls at once at first, and ``capacity`` at most; one may take ``timeout_seconds``.
    """

    name: str
    profile: Profile
    dialect: Dialect
    tokens: TokenCounter
    timeout_seconds: float
    start: int
    capacity: int

    @property
    def options(self) -> CallOptions:
        """What every call says beside its prompt."""
        return options_of(self.profile, self.name)

    @property
    def context(self) -> Context:
        """How much prompt and answer may take together: what a thought leaves."""
        return Context(self.profile.max_model_len - self.profile.thinking_tokens, self.tokens.count_prompt)

    @property
    def used(self) -> ModelUsed:
        """What a summary says of the model that wrote it."""
        return ModelUsed(self.name, self.profile.name, self.dialect.name, self.dialect.prompt_sha256)


def read_model(settings: Settings) -> Model:
    """The model that the settings ask for, with all that is read of files to write for it, to count and to judge.

    Raises :class:`InvalidSettings` where there is no tokenizer in the file they name, or a full flush does not fit the context.
    """
    profile = settings.profile
    dialect = dialect_of(profile.dialect, profile.grammar)
    name = settings.model_name or profile.served_name
    timeout_seconds = settings.model_timeout_seconds or profile.timeout_seconds
    places = _start_and_capacity(settings.model_capacity, profile)
    model = Model(name, profile, dialect, _tokens(settings), timeout_seconds, *places)
    _check_room(settings, model)
    load_languages()
    return model


def new_client(settings: Settings, model: Model) -> Replicas:
    """Who is asked: every server that the settings name, behind the interface of one."""
    key = settings.model_api_key
    clients = [
        ModelClient(
            url,
            model.options,
            timeout_seconds=model.timeout_seconds,
            capacity=model.capacity,
            api_key=key.get_secret_value() if key else None,
            tls=ssl.create_default_context(cafile=settings.model_ca_file),
        )
        for url in settings.model_url
    ]
    return Replicas(clients, chance=Random(), start=model.start)


def _start_and_capacity(wanted: int | None, profile: Profile) -> tuple[int, int]:
    """A quarter more than the server computes at once, so that it never waits for the next call; at most what it lets in."""
    server = profile.server
    if server is None:
        capacity = wanted or _UNKNOWN_CAPACITY
        return capacity, capacity
    full = min(server.max_num_seqs * 5 // 4, server.max_num_queued_requests)
    capacity = min(wanted or full, server.max_num_queued_requests)
    return min(full, capacity), capacity


def _tokens(settings: Settings) -> TokenCounter:
    path = settings.model_tokenizer or _prepared_tokenizer(settings.profile)
    if path is None:
        return estimated()
    try:
        return load_tokenizer(path)
    except InvalidTokenizer as error:
        raise InvalidSettings(f"{PREFIX}MODEL_TOKENIZER: {error}; name the model's tokenizer.json") from None


def _prepared_tokenizer(profile: Profile) -> Path | None:
    """That of the profile's weights, where they are on this machine: a worker needs nothing else of them."""
    if profile.weights is None:
        return None
    try:
        return tokenizer_file(profile, given_folder())
    except UnusableWeights:
        return None


def _check_room(settings: Settings, model: Model) -> None:
    """Raises :class:`InvalidSettings` where a full flush does not fit the model's context. The counting engine has none."""
    summary = settings.max_summary_tokens
    empty = model.dialect.write_prompt(Update("", Tally(), (), max_summary_tokens=summary))
    constant = model.context.taken_by(empty) - empty.max_tokens
    needed = constant + summary + settings.flush_tokens + empty.max_tokens
    room = model.context.max_tokens
    if model.profile.engine == "counting" or needed <= room:
        return
    most = settings.flush_tokens + room - needed
    fix = f"write {most} or less" if most > 0 else f"lower {PREFIX}MAX_SUMMARY_TOKENS, or serve a longer context"
    raise InvalidSettings(
        f"{PREFIX}FLUSH_TOKENS: an update takes up to {needed} tokens (constant prompt {constant}, old summary {summary}, "
        f"events {settings.flush_tokens}, answer {empty.max_tokens}), and {model.profile.name} has room for {room}: {fix}"
    )
