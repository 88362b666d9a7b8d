"""Settings: the one reader of the environment. Every value is named ``PREFSTREAM_`` plus its name in capitals.

Place in the flow: read once at the start of a worker; everything after takes explicit values.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from agents import crash_points
from prefstream.topics import TopicNames, topic_specs
from streams.flush import FlushPolicy

PREFIX = "PREFSTREAM_"


# The development broker's and the demo's; the model server's; the fault tests'.
_READ_BY_OTHERS = {f"{PREFIX}CACHE", f"{PREFIX}WEIGHTS", crash_points.VARIABLE}


class InvalidSettings(Exception):
    """A setting is missing or wrong; the message names the variable and the fix."""


class Settings(BaseSettings):
    """Everything a worker can be told."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", protected_namespaces=())

    bootstrap_servers: str = Field("127.0.0.1:9092", description="where Kafka is")
    namespace: str = Field("prefstream", description="first part of every topic's name, and the consumer group")
    sources: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict,
        description="your topics beside the inbox, as topic=adapter, ...; adapters: native, cloudevents, mapping:FILE",
    )
    data_directory: Path = Field(Path("prefstream-state"), description="where RocksDB keeps the tables; one per worker")
    model_url: str = Field("http://127.0.0.1:8000", pattern="^https?://", description="root of an OpenAI-compatible server")
    model_name: str = Field("counting", description="the model to ask for")
    model_api_key: SecretStr | None = Field(None, description="bearer key of the model server")
    model_timeout_seconds: FiniteFloat = Field(60.0, gt=0, description="how long one call may take")
    model_capacity: int = Field(32, ge=1, description="how many calls run at once at most; fewer if the model takes fewer")
    max_summary_tokens: int = Field(160, ge=40, le=2_000, description="budget of a summary")
    flush_events: int = Field(20, ge=1, description="a user with so many pending events is due")
    flush_tokens: int = Field(1_200, ge=1, description="a user with so many pending tokens is due")
    flush_age_seconds: FiniteFloat = Field(60.0, gt=0, description="a user whose oldest pending event waits so long is due")
    max_backoff_seconds: FiniteFloat = Field(300.0, gt=0, description="how long a user whose calls fail waits at most")
    max_pending_mib: int = Field(
        384, ge=1, description="memory for waiting events (MiB): while it is full, nothing more is read from your topics"
    )
    drain_seconds: FiniteFloat = Field(
        20.0, ge=0, description="how long calls in flight are waited for when a worker stops or its group rebalances"
    )
    session_timeout_seconds: FiniteFloat = Field(45.0, ge=6, description="how long a silent worker keeps its partitions")
    fence_renewal_seconds: FiniteFloat = Field(
        4 * 3_600.0, ge=1, description="how often an owner renews its fences: well below the broker's producer.id.expiration.ms"
    )
    http_host: str = Field("127.0.0.1", description="where /metrics, /healthz and /readyz are served")
    http_port: int = Field(9108, ge=0, le=65535, description="their port; 0 takes a free one")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")

    @field_validator("namespace")
    @classmethod
    def _name_topics(cls, value: str) -> str:
        TopicNames(value)
        return value

    @field_validator("sources", mode="before")
    @classmethod
    def _split_sources(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs = [pair.strip() for pair in value.split(",") if pair.strip()]
        if any("=" not in pair for pair in pairs):
            raise ValueError("write TOPIC=ADAPTER, separated by commas, as in ratings=mapping:films.toml,clicks=cloudevents")
        sources = {topic.strip(): adapter.strip() for topic, adapter in (pair.split("=", 1) for pair in pairs)}
        if len(sources) < len(pairs) or "" in sources:
            raise ValueError("name every topic, and each of them once")
        return sources

    @field_validator("sources")
    @classmethod
    def _know_the_adapters(cls, value: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        own = {spec.name for spec in topic_specs(info.data["namespace"])} if "namespace" in info.data else set()
        for topic, adapter in value.items():
            if topic in own:
                raise ValueError(f"{topic} is one of prefstream's own topics: name the platform's; the inbox is always read")
            if adapter not in ("native", "cloudevents") and not adapter.startswith("mapping:"):
                raise ValueError(f"{topic}: no adapter is called {adapter!r}: use native, cloudevents or mapping:FILE")
        return value

    @property
    def all_sources(self) -> dict[str, str]:
        """The adapter of every topic that intake reads: inbox and replays, which are always there, and the platform's own."""
        names = TopicNames(self.namespace)
        return {names.inbox: "native", names.replays: "replays"} | self.sources

    @property
    def flush_policy(self) -> FlushPolicy:
        """When a user is due."""
        return FlushPolicy(
            self.flush_events, self.flush_tokens, self.flush_age_seconds, max_backoff_seconds=self.max_backoff_seconds
        )


def shown_default(field: FieldInfo) -> str:
    """A setting's default, for people."""
    default = field.get_default(call_default_factory=True, validated_data={})
    return "none" if default is None or default == {} else str(default)


def unknown_variables(names: Iterable[str]) -> list[str]:
    """A sentence for each variable with our prefix that nobody reads: a typing error would silently change nothing."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | _READ_BY_OTHERS
    beginnings = _unique_beginnings(known)
    sentences = []
    for name in sorted(set(filter(lambda name: name.startswith(PREFIX), names)) - known):
        near = get_close_matches(name.removeprefix(PREFIX), beginnings, 1)
        sentences.append(f"{name}: no setting has this name{f'; do you mean {beginnings[near[0]]}?' if near else ''}")
    return sentences


def _unique_beginnings(known: Iterable[str]) -> dict[str, str]:
    """Which variable is meant by so many first words of its name, without our prefix: people leave out the unit."""
    meant: dict[str, list[str]] = {}
    for variable in sorted(known):
        words = variable.removeprefix(PREFIX).split("_")
        for count in range(1, len(words) + 1):
            meant.setdefault("_".join(words[:count]), []).append(variable)
    return {beginning: variables[0] for beginning, variables in meant.items() if len(variables) == 1}


def asks_to_crash() -> bool:
    """Whether the environment names a crash point, which only the worker of the fault tests heeds."""
    return crash_points.VARIABLE in os.environ


def read_settings() -> Settings:
    """The settings of this process's environment. Raises :class:`InvalidSettings` naming every wrong variable."""
    wrong = unknown_variables(os.environ)
    try:
        settings = Settings()
    except ValidationError as error:
        wrong += [
            f"{PREFIX}{'_'.join(map(str, e['loc'])).upper()}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors()
        ]
        raise InvalidSettings("\n".join(wrong)) from None
    if wrong:
        raise InvalidSettings("\n".join(wrong))
    return settings
