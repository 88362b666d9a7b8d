"""Boot: what a worker must find before it starts; what is missing is said in a sentence that names the fix.

Place in the flow: between the settings and the worker, once.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

import structlog

from agents.app import Cluster
from agents.schemas import Schemas, read_schemas
from agents.settings import PREFIX, Settings
from agents.stamps import Changelog
from prefstream.admin import TopicState, differences, topic_ids, topic_states
from prefstream.sources import read_standings, refusal
from prefstream.spread import spread_of, why_unfit
from prefstream.topics import TopicNames, topic_specs
from streams.adapters import Adapter, SchemaKind
from streams.adapters.avro import parse_avro, unpack_avro
from streams.adapters.mapping import mapping_adapter
from streams.adapters.mapping_file import parse_mapping
from streams.adapters.named import ADAPTERS, ENVELOPES
from streams.adapters.protobuf import parse_protobuf, unpack_protobuf
from streams.adapters.replays import replays
from streams.adapters.wire_format import Absent, Unpack, framed, not_in, of_a_registry, unpack_json
from streams.errors import InvalidMapping, InvalidSchema

log = structlog.get_logger()


class NotReadyToStart(Exception):
    """Something a worker needs is not there; the message says what to do."""


def check_port(settings: Settings) -> None:
    """Raises :class:`NotReadyToStart` when the port for metrics and health cannot be had."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.http_host, settings.http_port))
        except OSError as error:
            address = f"{settings.http_host}:{settings.http_port}"
            raise NotReadyToStart(
                f"{PREFIX}HTTP_PORT: {address}: {error.strerror}; choose another, or 0 for a free one"
            ) from None


def read_adapters(settings: Settings, schemas: Schemas) -> dict[str, Adapter]:
    """The adapter of each source topic; they know ``schemas``, to which the folder's are added.

    Raises :class:`NotReadyToStart` for a mapping or a schema that is missing or wrong.
    """
    return {topic: _adapter(topic, name, settings, schemas) for topic, name in settings.all_sources.items()}


def _adapter(topic: str, name: str, settings: Settings, schemas: Schemas) -> Adapter:
    envelope, is_framed, inner = name.partition("+")
    if is_framed and envelope in ENVELOPES:
        return framed(_unpack(envelope, settings, schemas), _adapter(topic, inner, settings, schemas))
    if name == "replays":
        return replays
    if name in ADAPTERS:
        return ADAPTERS[name]
    path = Path(name.removeprefix("mapping:"))
    try:
        return mapping_adapter(parse_mapping(path.read_text()))
    except (OSError, UnicodeDecodeError, InvalidMapping) as error:
        raise NotReadyToStart(f"{PREFIX}SOURCES: {topic}: {path}: {error}") from None


def _unpack(envelope: str, settings: Settings, schemas: Schemas) -> Unpack:
    if envelope == "confluent-json":
        return unpack_json
    folder = settings.schemas
    if folder is None and settings.schema_registry is None:
        raise NotReadyToStart(
            f"{PREFIX}SCHEMAS: missing: {envelope} needs the folder with the registry's schemas, or {PREFIX}SCHEMA_REGISTRY"
        )
    try:
        if envelope == "confluent-avro":
            schemas["avro"] |= read_schemas(folder, ".avsc", parse_avro) if folder else {}
            return unpack_avro(schemas["avro"], _absent(settings, "avro", ".avsc"))
        schemas["protobuf"] |= read_schemas(folder, ".desc", parse_protobuf) if folder else {}
        return unpack_protobuf(schemas["protobuf"], _absent(settings, "protobuf", ".desc"))
    except (OSError, InvalidSchema) as error:
        raise NotReadyToStart(f"{PREFIX}SCHEMAS: {folder}: {error}") from None


def _absent(settings: Settings, kind: SchemaKind, ending: str) -> Absent:
    return of_a_registry(kind) if settings.schema_registry else not_in(f"{PREFIX}SCHEMAS={settings.schemas}", ending)


def read_cluster(settings: Settings) -> Cluster:
    """What the broker has. Raises :class:`NotReadyToStart` when a topic is missing or the keyed ones do not match."""
    names = TopicNames(settings.namespace)
    keyed = (names.events, names.pending, names.history, names.summaries, names.receipts)
    own = (*keyed, *(spec.name for spec in topic_specs(settings.namespace) if spec.name not in keyed))
    taken_in = TopicNames(names.shadow_of or names.namespace)  # a shadow's events name these as their origins
    states = topic_states(settings.brokers, dict.fromkeys((*own, *settings.sources, taken_in.inbox, taken_in.replays)))
    missing = [name for name in own if name not in states]
    if missing:
        raise NotReadyToStart(f"no topic {', '.join(missing)}: run {_creation_of(names)}")
    unread = [name for name in settings.all_sources if name not in states]
    if unread:
        raise NotReadyToStart(
            f"{PREFIX}SOURCES names {', '.join(unread)}, which the broker does not have: create it, or correct the name"
        )
    num_partitions = _common_partitions(settings, {name: states[name] for name in keyed})
    _check_configs(settings.namespace, num_partitions, states)
    _check_standings(settings, {names.events, *settings.all_sources})
    ids = topic_ids(settings.brokers, states)
    tables = (names.pending, names.history, names.summaries)
    logs = {name: Changelog(ids[name], _tombstones_stay_ms(states[name]), num_partitions) for name in tables}
    return Cluster(num_partitions, ids, logs)


def _creation_of(names: TopicNames) -> str:
    """The command that creates the topics of a namespace."""
    if names.shadow_of:
        word = names.namespace.removeprefix(f"{names.shadow_of}.shadow-")
        return f"`prefstream rebuild start {word} --namespace {names.shadow_of}`"
    return f"`prefstream topics create --namespace {names.namespace}`"


def _tombstones_stay_ms(state: TopicState) -> int:
    return int(state.configs["delete.retention.ms"])


def _check_configs(namespace: str, num_partitions: int, states: Mapping[str, TopicState]) -> None:
    """Warns of what differs from :func:`topic_specs`; raises :class:`NotReadyToStart` where that would lose something."""
    replication = states[TopicNames(namespace).events].replication_factor
    specs = topic_specs(namespace, num_partitions, replication)
    mend = f"prefstream topics create --namespace {namespace} --partitions {num_partitions} --replication-factor {replication}"
    for spec in specs:
        _check_replicas(spec.name, states[spec.name])
    found = [difference for spec in specs for difference in differences(spec, states[spec.name])]
    said = [f"{one.topic}: {one.what} {one.actual}, not {one.wanted}" for one in found]
    policies = [sentence for one, sentence in zip(found, said, strict=True) if one.what == "cleanup.policy"]
    if policies:
        raise NotReadyToStart(f"{'; '.join(policies)}: records would be lost, or never be removed: run `{mend}`")
    if said:
        log.warning("topics are not what they should be", topics=said, run=mend)


def _check_replicas(topic: str, state: TopicState) -> None:
    minimum = int(state.configs["min.insync.replicas"])
    if state.replication_factor < minimum:
        raise NotReadyToStart(
            f"{topic}: replication {state.replication_factor}, and min.insync.replicas {minimum}: no record can be written. "
            "Move replicas with kafka-reassign-partitions, or lower min.insync.replicas with kafka-configs"
        )


def _check_standings(settings: Settings, topics: set[str]) -> None:
    """Raises :class:`NotReadyToStart` where what is committed says nothing of a topic as it is now."""
    found = read_standings(settings.brokers, settings.namespace, topics)
    sentence = refusal(settings.namespace, [standing for standing in found if standing.topic in topics])
    if sentence:
        raise NotReadyToStart(sentence)


def _common_partitions(settings: Settings, states: dict[str, TopicState]) -> int:
    counts = {name: state.num_partitions for name, state in states.items()}
    events = TopicNames(settings.namespace).events
    standings = read_standings(settings.brokers, settings.namespace, (events,))
    spread = spread_of(standing.mark for standing in standings if standing.topic == events)
    sentence = why_unfit(settings.namespace, spread, counts)
    if sentence:
        raise NotReadyToStart(sentence)
    return counts[events]
