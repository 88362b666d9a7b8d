"""Makes the topics what :mod:`prefstream.topics` says, without ever breaking what is there already.

Compare, then refuse or apply: nothing is touched as long as one difference has to be refused.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple
from uuid import UUID

from kafka import KafkaAdminClient
from kafka.admin import ConfigFilterType, ConfigResource, ConfigResourceType
from kafka.errors import InvalidPartitionsError, NoError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code
from msgspec import Struct

from prefstream.connection import connect, missing_topic, reaching
from prefstream.errors import TopicMismatch
from prefstream.security import Servers
from prefstream.topics import TopicSpec

Remedy = Literal["create", "change", "refuse"]


class TopicState(Struct, frozen=True):
    """How a topic is; ``configs`` are all its effective values, the broker's defaults among them."""

    num_partitions: int
    replication_factor: int
    configs: dict[str, str]


class Difference(Struct, frozen=True):
    """One thing about a topic that is not what it should be, and what is to be done about it."""

    topic: str
    what: str  # "topic", "partitions", "replication" or the name of a config
    actual: str | None
    wanted: str
    remedy: Remedy
    why: str = ""


def differences(spec: TopicSpec, state: TopicState | None) -> tuple[Difference, ...]:
    """What keeps ``state`` (None: there is no such topic) from being ``spec``; empty if nothing does."""
    if state is None:
        wanted = f"{spec.num_partitions} partitions, replication {spec.replication_factor}"
        return (Difference(spec.name, "topic", None, wanted, "create"),)
    found = [_partitions(spec, state), _replication(spec, state)]
    found += [
        Difference(spec.name, config, state.configs.get(config), wanted, "change")
        for config, wanted in spec.configs.items()
        if state.configs.get(config) != wanted
    ]
    return tuple(difference for difference in found if difference)


def _partitions(spec: TopicSpec, state: TopicState) -> Difference | None:
    actual, wanted = state.num_partitions, spec.num_partitions
    if actual == wanted or (not spec.keyed and actual > wanted):
        return None
    if not spec.keyed:
        return Difference(spec.name, "partitions", str(actual), str(wanted), "change")
    why = (
        "Another number of partitions moves users to other partitions: their state has to move along. Keep "
        f"{actual} (--partitions {actual}), or stop the workers and run `python -m agents.repartition` (docs/partitions.md)."
    )
    return Difference(spec.name, "partitions", str(actual), str(wanted), "refuse", why)


def _replication(spec: TopicSpec, state: TopicState) -> Difference | None:
    actual, wanted = state.replication_factor, spec.replication_factor
    if actual == wanted:
        return None
    why = f"Replicas are moved with kafka-reassign-partitions: do that, or keep {actual} (--replication-factor {actual})."
    return Difference(spec.name, "replication", str(actual), str(wanted), "refuse", why)


def compare_topics(bootstrap_servers: Servers, specs: Iterable[TopicSpec]) -> tuple[Difference, ...]:
    """All differences between what is and what should be.

    Raises BrokerUnreachable.
    """
    specs = tuple(specs)
    with reaching(bootstrap_servers), connect(KafkaAdminClient, bootstrap_servers) as admin:
        states = _states(admin, [spec.name for spec in specs])
    return tuple(difference for spec in specs for difference in differences(spec, states.get(spec.name)))


def create_topics(bootstrap_servers: Servers, specs: Iterable[TopicSpec]) -> tuple[Difference, ...]:
    """Makes every topic what its spec says and returns what had to be changed: nothing, the second time.

    Raises TopicMismatch, before anything is touched, if a difference has to be refused, and BrokerUnreachable.
    """
    specs = tuple(specs)
    found = compare_topics(bootstrap_servers, specs)
    refuse(found)
    apply(bootstrap_servers, specs, found)
    return found


def refuse(found: Iterable[Difference]) -> None:
    """Raises TopicMismatch if one of ``found`` has to be refused."""
    refused = [one for one in found if one.remedy == "refuse"]
    if refused:
        facts = [f"{one.topic}: {one.what} {one.actual}, not {one.wanted}." for one in refused]
        reasons = dict.fromkeys(one.why for one in refused)
        raise TopicMismatch("\n".join([*facts, *reasons]))


def apply(bootstrap_servers: Servers, specs: Iterable[TopicSpec], found: Sequence[Difference]) -> None:
    """Creates and changes what ``found`` says.

    Raises TopicMismatch if the broker does not take it, with the broker's own words, and BrokerUnreachable.
    """
    missing = {one.topic for one in found if one.remedy == "create"}
    changes = [one for one in found if one.remedy == "change"]
    with reaching(bootstrap_servers), connect(KafkaAdminClient, bootstrap_servers) as admin:
        if missing:
            _create(admin, [spec for spec in specs if spec.name in missing])
        for change in changes:
            _change(admin, change)


def topic_states(bootstrap_servers: Servers, names: Iterable[str]) -> dict[str, TopicState]:
    """How each of these topics is, by name; those the broker does not have are left out.

    Raises BrokerUnreachable.
    """
    with reaching(bootstrap_servers), connect(KafkaAdminClient, bootstrap_servers) as admin:
        return _states(admin, list(names))


def topic_ids(bootstrap_servers: Servers, names: Iterable[str]) -> dict[str, str]:
    """The id Kafka gave each topic, by name, in Kafka's own form (base64url without padding).

    A topic that is deleted and created again has another id.
    Raises TopicMismatch if one does not exist, and BrokerUnreachable.
    """
    names = list(names)
    with reaching(bootstrap_servers), connect(KafkaAdminClient, bootstrap_servers) as admin:
        found = {name: one.topic_id for name, one in existing_topics(admin, names).items()}
    for name in names:
        if name not in found:
            raise missing_topic(name)
    return found


class TopicIdentity(NamedTuple):
    """Which topic it is by Kafka's id, and how many partitions it has."""

    topic_id: str
    num_partitions: int


def existing_topics(admin: Any, names: Iterable[str]) -> dict[str, TopicIdentity]:
    """The same for a client that is connected, with the partitions; topics that do not exist are left out."""
    return {
        topic["name"]: TopicIdentity(_id_text(topic["topic_id"]), len(topic["partitions"]))
        for topic in _describe(admin, list(names))
    }


def _describe(admin: Any, names: list[str]) -> list[dict[str, Any]]:
    """What the broker says about those of ``names`` that exist."""
    topics = [(for_code(topic["error_code"]), topic) for topic in admin.describe_topics(names)]
    for error, topic in topics:
        if error not in (NoError, UnknownTopicOrPartitionError):
            raise TopicMismatch(f"the broker does not describe {topic['name']}: {error.__name__}")
    return [topic for error, topic in topics if error is NoError]


def _states(admin: Any, names: list[str]) -> dict[str, TopicState]:
    described = _describe(admin, names)
    if not described:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic["name"]) for topic in described]
    configs = admin.describe_configs(resources, config_filter=ConfigFilterType.ALL)["topic"]
    return {
        topic["name"]: TopicState(
            num_partitions=len(topic["partitions"]),
            replication_factor=min(len(partition["replica_nodes"]) for partition in topic["partitions"]),
            configs={name: config["value"] for name, config in configs[topic["name"]].items()},
        )
        for topic in described
    }


def _id_text(topic_id: str) -> str:
    """Kafka's own way to write the id; kafka-python gives it in hexadecimal."""
    return base64.urlsafe_b64encode(UUID(topic_id).bytes).rstrip(b"=").decode()


def _create(admin: Any, specs: Sequence[TopicSpec]) -> None:
    wanted = {
        spec.name: {
            "num_partitions": spec.num_partitions,
            "replication_factor": spec.replication_factor,
            "configs": spec.configs,
        }
        for spec in specs
    }
    answer = admin.create_topics(wanted, raise_errors=False)
    for topic in answer["topics"]:
        # Somebody else created it at the same moment: then it is there, which is what was asked for.
        if for_code(topic["error_code"]) not in (NoError, TopicAlreadyExistsError):
            raise TopicMismatch(f"the broker does not create {topic['name']}: {topic['error_message']}")
    admin.wait_for_topics(list(wanted))


def _change(admin: Any, change: Difference) -> None:
    if change.what == "partitions":
        answer = admin.create_partitions({change.topic: int(change.wanted)}, raise_errors=False)
        for topic in answer.results:
            # A broker that had not heard of it yet was asked what is there: then the topic has them already.
            if for_code(topic.error_code) not in (NoError, InvalidPartitionsError):
                raise TopicMismatch(f"the broker does not give {topic.name} {change.wanted} partitions: {topic.error_message}")
        return
    resource = ConfigResource(ConfigResourceType.TOPIC, change.topic, {change.what: change.wanted})
    outcome = admin.alter_configs([resource])["topic"][change.topic]
    if outcome != "OK":
        raise TopicMismatch(f"the broker does not set {change.what} of {change.topic} to {change.wanted}: {outcome}")
