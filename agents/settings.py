"""Settings: everything a worker can be told, each with its type, its bounds and its default.

Place in the flow: read once at the start of a worker (:mod:`agents.effective`); everything after takes explicit values. Every
value is named ``PREFSTREAM_`` plus its name in capitals.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from agents.addresses import check_address
from agents.budget_settings import budgets_of, check_tenant, named_in, parse_tenant_budgets
from agents.logs import LogFormat
from agents.registry_settings import check_belongs, check_identity
from agents.setting_texts import (
    default_redactions,
    read_categories,
    read_redactions,
    read_regions,
    read_sources,
    read_tenant_sources,
    read_urls,
)
from model_server.profiles import DEFAULT, InvalidProfile, Profile, load_profile
from prefstream.prices import TokenKind, read_prices
from prefstream.security import Brokers, Mechanism, Protocol, Security, mistake_in
from prefstream.topics import TopicNames, topic_specs
from streams.adapters.named import ADAPTERS, ENVELOPES
from streams.budgets import Budgets
from streams.flush import FlushPolicy
from streams.forgetting import Hiding, hiding
from streams.redaction import Field as EventField
from streams.redaction import Kind, Redaction
from streams.sensitive_words import CATEGORIES, Category
from streams.sparing import SparePolicy

PREFIX = "PREFSTREAM_"

# Of values that have several parts: how each reads them from the text that the environment, or the file, holds.
_READERS: Mapping[str, Callable[[str], Any]] = {
    "model_url": read_urls,
    "sources": read_sources,
    "tenant_sources": read_tenant_sources,
    "prices": read_prices,
    "tenant_tokens_per_day": parse_tenant_budgets,
    "redact": read_redactions,
    "sensitive": read_categories,
    "phone_regions": read_regions,
}


class InvalidSettings(Exception):
    """A setting is missing or wrong; the message names the variable and the fix."""


class Settings(BaseSettings):
    """Everything a worker can be told."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", protected_namespaces=())

    bootstrap_servers: str = Field("127.0.0.1:9092", description="where Kafka is")
    kafka_protocol: Protocol = Field(
        "PLAINTEXT", description="how to come to Kafka: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    kafka_ca_file: str | None = Field(
        None, description="PEM file of the authorities that sign the brokers' certificates; otherwise the system's"
    )
    kafka_certificate_file: str | None = Field(
        None, description="PEM file of our own certificate, where the brokers ask for one"
    )
    kafka_key_file: str | None = Field(None, description="PEM file of its key, where it is not in the same file")
    kafka_key_password: SecretStr | None = Field(None, description="password of that key, if it has one")
    kafka_mechanism: Mechanism = Field(
        "SCRAM-SHA-512", description="how to say who we are: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
    )
    kafka_username: str | None = Field(None, description="our name, where the protocol is one of SASL")
    kafka_password: SecretStr | None = Field(None, description="our password")
    namespace: str = Field(
        "prefstream",
        description="first part of every topic's name, and the consumer group; NAME.shadow-WORD is a shadow of NAME",
    )
    sources: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict,
        description=f"your topics beside the inbox, as topic=adapter, ...; adapters: {', '.join(ADAPTERS)}, mapping:FILE; "
        f"with {', '.join(ENVELOPES)} and a plus before it, from a schema registry's wire format",
    )
    intake: Literal["open", "closed"] = Field(
        "open",
        description="closed: nothing is read from your topics; what was taken in before goes on, as before a change of the "
        "number of partitions (docs/partitions.md)",
    )
    tenant_sources: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict,
        description="whose your topics are, as topic=tenant, ...: all events of such a topic are that tenant's",
    )
    schemas: Path | None = Field(
        None, description="folder with a registry's schemas by their ids: 17.avsc (Avro), 17.desc (Protobuf); read at the start"
    )
    schema_registry: str | None = Field(
        None, description="root of a schema registry, which is asked for each schema that the folder does not have"
    )
    schema_registry_ca_file: Path | None = Field(
        None, description="PEM file of the authorities that sign the registry's certificate; otherwise the system's"
    )
    schema_registry_token: SecretStr | None = Field(None, description="bearer token of the registry")
    schema_registry_username: str | None = Field(None, description="our name at the registry, if it asks for that")
    schema_registry_password: SecretStr | None = Field(None, description="our password there", validate_default=True)
    data_directory: Path = Field(Path("prefstream-state"), description="where RocksDB keeps the tables; one per worker")
    model_profile: str = Field(
        DEFAULT, description="which model, and how it is asked: a profile's name, or the path of a TOML file of yours"
    )
    model_url: Annotated[tuple[str, ...], NoDecode] = Field(
        ("http://127.0.0.1:8000",), description="root of an OpenAI-compatible server, or of several that serve the same, ..."
    )
    model_name: str | None = Field(None, min_length=1, description="the name to ask the servers for; otherwise the profile's")
    model_api_key: SecretStr | None = Field(None, description="bearer key of the model servers")
    model_ca_file: Path | None = Field(
        None,
        description="PEM file of the authorities that sign the model servers' certificates; otherwise the system's",
    )
    model_tokenizer: Path | None = Field(
        None, description="the model's tokenizer.json; otherwise that of the profile's weights, or else tokens are estimated"
    )
    model_timeout_seconds: FiniteFloat | None = Field(
        None, gt=0, description="how long one call may take; otherwise as long as the profile says"
    )
    model_capacity: int | None = Field(
        None,
        ge=1,
        description="how many calls a server gets at once at most, fewer if it takes fewer; otherwise by its profile, or 32",
    )
    prices: Annotated[dict[TokenKind, FiniteFloat], NoDecode] = Field(
        default_factory=dict,
        description="what a million tokens cost, as KIND=PRICE, ... in any currency, for the cost of events in the dashboards; "
        "kinds: prompt (not read before), cached, completion; without one no cost is told",
    )
    max_summary_tokens: int = Field(
        160, ge=40, le=2_000, description="budget of a summary of one domain; of several, half as many again"
    )
    flush_events: int = Field(20, ge=1, description="a user with so many pending events is due")
    flush_tokens: int = Field(1_200, ge=1, description="a user with so many pending tokens is due")
    flush_age_seconds: FiniteFloat = Field(60.0, gt=0, description="a user whose oldest pending event waits so long is due")
    impressions_per_event: int = Field(
        5,
        ge=1,
        le=100,
        description="so many impressions without a reaction count as one event towards a flush, and in a call",
    )
    max_spared_events: int = Field(
        500,
        ge=0,
        description="so many events in a row that say nothing new of a user are covered without a call at most; "
        "0 asks the model at every flush",
    )
    max_backoff_seconds: FiniteFloat = Field(300.0, gt=0, description="how long a user whose calls fail waits at most")
    max_pending_mib: int = Field(
        384, ge=1, description="memory for waiting events (MiB): while it is full, nothing more is read from your topics"
    )
    tokens_per_day: int = Field(0, ge=0, description="budget of the whole installation, prompts and answers; 0 for none")
    tenant_tokens_per_day: Annotated[dict[str, int], NoDecode] = Field(
        default_factory=dict,
        description="budgets of tenants, as tenant=tokens, ...; `default` is the one without a name, `*` each other",
    )
    user_tokens_per_day: int = Field(0, ge=0, description="budget of each user; 0 for none")
    redact: Annotated[dict[EventField, tuple[Kind, ...]], NoDecode] = Field(
        default_factory=default_redactions,
        description="personal details left out of prompts and tallies, as FIELD=KIND+KIND or FIELD=none, ...; a field that is "
        "not named keeps its default; fields: post, comment, message, feedback, search, title, attribute; "
        "kinds: email, card, phone, address",
    )
    phone_regions: Annotated[tuple[str, ...], NoDecode] = Field(
        ("US",), description="countries whose phone numbers are known without a +, as two capitals, ...; empty for none"
    )
    sensitive: Annotated[tuple[Category, ...], NoDecode] = Field(
        (),
        description="sensitive matters that may be learnt and said of everybody, ...; otherwise of nobody but who allows it: "
        f"{', '.join(CATEGORIES)}",
    )
    forget_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="secret under which who was forgotten is remembered, as a keyed hash; the same for all workers, for ever; "
        "with none, whoever can read the pending topic can try out user ids against the hashes",
    )
    rebuild_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="secret with which `prefstream rebuild` signs the texts that it promotes from a shadow, the same for all "
        "workers; with none they adopt nothing",
    )
    drain_seconds: FiniteFloat = Field(
        20.0, ge=0, description="how long calls in flight are waited for when a worker stops or its group rebalances"
    )
    stalled_after_seconds: FiniteFloat = Field(
        60.0, gt=0, description="a worker that has work and gets on with none of it for so long is not ready any more"
    )
    give_up_after_seconds: FiniteFloat = Field(
        240.0, gt=0, description="a worker that was stalled for so long ends itself, to be started again"
    )
    instance: str | None = Field(
        None,
        min_length=1,
        max_length=249,
        pattern=r"^[a-zA-Z0-9._-]+$",
        description="a name that this worker keeps over restarts, and no other has: while it is away its partitions wait, "
        "as long as for a silent one, instead of moving twice",
    )
    session_timeout_seconds: FiniteFloat = Field(45.0, ge=6, description="how long a silent worker keeps its partitions")
    fence_renewal_seconds: FiniteFloat = Field(
        4 * 3_600.0, ge=1, description="how often an owner renews its fences: well below the broker's producer.id.expiration.ms"
    )
    http_host: str = Field("127.0.0.1", description="where /metrics, /healthz, /readyz and /progressz are served")
    http_port: int = Field(9108, ge=0, le=65535, description="their port; 0 takes a free one")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")
    traces_url: str | None = Field(
        None, description="root of a collector that takes OTLP over HTTP, to which traces go; without one there are none"
    )
    traces_ca_file: Path | None = Field(
        None, description="PEM file of the authorities that sign the collector's certificate; otherwise the system's"
    )
    traces_token: SecretStr | None = Field(None, description="bearer token of the collector")
    traces_ratio: FiniteFloat = Field(
        0.01,
        ge=0,
        le=1,
        description="which part of the events is traced whose producer says nothing; one that says so is followed",
    )
    log_format: LogFormat = Field("console", description="console, for people; or json: an object in each line")
    log_flushes_seconds: FiniteFloat = Field(
        1.0,
        ge=0,
        description="each outcome of flushes has a line in the log at most so often, with how many had none; 0 for all of them",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment first, and then what is given by name: the texts of the file."""
        return env_settings, init_settings

    @field_validator(*_READERS, mode="before")
    @classmethod
    def _read_the_text(cls, value: Any, info: ValidationInfo) -> Any:
        return _READERS[str(info.field_name)](value) if isinstance(value, str) else value

    @field_validator("bootstrap_servers")
    @classmethod
    def _leave_the_password_out(cls, value: str) -> str:
        if mistake := mistake_in(value):
            raise ValueError(mistake)
        return value

    @field_validator("namespace")
    @classmethod
    def _name_topics(cls, value: str) -> str:
        TopicNames(value)
        return value

    @field_validator("model_profile")
    @classmethod
    def _know_the_profile(cls, value: str) -> str:
        try:
            load_profile(value)
        except InvalidProfile as error:
            raise ValueError(str(error)) from None
        return value

    @field_validator("schema_registry")
    @classmethod
    def _know_the_registry(cls, value: str | None) -> str | None:
        if value is None:
            return None
        check_address(value, f"{PREFIX}SCHEMA_REGISTRY_PASSWORD or _TOKEN")
        return value.rstrip("/")

    @field_validator("schema_registry_ca_file", "schema_registry_token", "schema_registry_username", "schema_registry_password")
    @classmethod
    def _belong_to_a_registry(cls, value: Any, info: ValidationInfo) -> Any:
        check_belongs(value, info.data)
        return value

    @field_validator("*")
    @classmethod
    def _know_every_letter(cls, value: Any) -> Any:
        try:
            if isinstance(value, SecretStr):
                value.get_secret_value().encode()
        except UnicodeEncodeError:
            raise ValueError("it is no UTF-8: write a secret as text, 32 random bytes for example as base64") from None
        return value

    @field_validator("model_api_key", "schema_registry_token", "traces_token")
    @classmethod
    def _fit_into_a_header(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and re.search(r"[\x00-\x1f\x7f]", value.get_secret_value()):
            raise ValueError("a line break, or another character that no header can hold, is in it: often the last of a file")
        return value

    @field_validator("schema_registry_password")
    @classmethod
    def _say_who_asks(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        check_identity(value, info.data)
        return value

    @field_validator("traces_url")
    @classmethod
    def _know_the_collector(cls, value: str | None) -> str | None:
        if value is not None:
            check_address(value, f"{PREFIX}TRACES_TOKEN")
        return value and value.rstrip("/").removesuffix("/v1/traces")

    @field_validator("traces_ca_file", "traces_token")
    @classmethod
    def _belong_to_a_collector(cls, value: Any, info: ValidationInfo) -> Any:
        if value is not None and info.data.get("traces_url", "a wrong one") is None:
            raise ValueError(f"{PREFIX}TRACES_URL names no collector: name it, or leave this out")
        return value

    @field_validator("model_ca_file", "schema_registry_ca_file", "traces_ca_file")
    @classmethod
    def _trust_the_authorities(cls, value: Path | None) -> Path | None:
        try:
            ssl.create_default_context(cafile=value)
        except OSError as error:  # SSLError is one
            raise ValueError(f"{value}: {error}; name a PEM file of certificates") from None
        return value

    @field_validator("tenant_sources")
    @classmethod
    def _know_the_sources(cls, value: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        for topic, tenant in value.items():
            if topic not in info.data.get("sources", {}):
                raise ValueError(
                    f"{topic!r} is none of {PREFIX}SOURCES: write TOPIC=TENANT, separated by commas, as in clicks=shop"
                )
            check_tenant(tenant)
        return value

    @field_validator("sources")
    @classmethod
    def _know_the_adapters(cls, value: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        own = {spec.name for spec in topic_specs(info.data["namespace"])} if "namespace" in info.data else set()
        for topic, adapter in value.items():
            if topic in own:
                raise ValueError(f"{topic} is one of prefstream's own topics: name the platform's; the inbox is always read")
            envelope, is_framed, inner = adapter.partition("+")
            name = inner if is_framed and envelope in ENVELOPES else adapter
            if name not in ADAPTERS and not name.startswith("mapping:"):
                raise ValueError(f"{topic}: no adapter is called {adapter!r}: use {', '.join(ADAPTERS)} or mapping:FILE")
        return value

    @cached_property
    def brokers(self) -> Brokers:
        """Where Kafka is, and how we come in."""
        key_password, password = self.kafka_key_password, self.kafka_password
        security = Security(
            self.kafka_protocol,
            self.kafka_ca_file,
            self.kafka_certificate_file,
            self.kafka_key_file,
            key_password.get_secret_value() if key_password else None,
            self.kafka_mechanism,
            self.kafka_username,
            password.get_secret_value() if password else None,
        )
        return Brokers(self.bootstrap_servers, security)

    @cached_property
    def profile(self) -> Profile:
        """The model's profile."""
        return load_profile(self.model_profile)

    @property
    def all_sources(self) -> dict[str, str]:
        """The adapter of every topic that intake reads: inbox and replays, which are always there, and the platform's own.

        A shadow takes in nothing: it reads what the installation of which it is one took in.
        """
        names = TopicNames(self.namespace)
        if names.shadow_of:
            return {}
        return {names.inbox: "native", names.replays: "replays"} | self.sources

    @property
    def named_tenants(self) -> set[str]:
        """The tenants that have a label of their own in metrics."""
        return named_in(self.tenant_tokens_per_day) | set(self.tenant_sources.values())

    @property
    def budgets(self) -> Budgets:
        """Who may spend how many tokens a day."""
        return budgets_of(self.tokens_per_day, self.tenant_tokens_per_day, self.user_tokens_per_day)

    @property
    def redaction(self) -> Redaction:
        """What is taken out of events before they are evidence."""
        return Redaction({name: frozenset(kinds) for name, kinds in self.redact.items()}, self.phone_regions)

    @property
    def hiding(self) -> Hiding:
        """How users are hidden in what remembers that they were forgotten."""
        return hiding(self.forget_key.get_secret_value() if self.forget_key else "")

    @property
    def flush_policy(self) -> FlushPolicy:
        """When a user is due."""
        return FlushPolicy(
            self.flush_events,
            self.flush_tokens,
            self.flush_age_seconds,
            max_backoff_seconds=self.max_backoff_seconds,
            impressions_per_event=self.impressions_per_event,
        )

    @property
    def spare_policy(self) -> SparePolicy:
        """When a call is spared."""
        return SparePolicy(max_events=self.max_spared_events)
