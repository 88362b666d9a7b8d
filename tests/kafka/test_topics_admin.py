"""Topics on a real broker: created, repaired, refused, and told apart by their ids."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient
from msgspec.structs import replace

from prefstream.admin import compare_topics, create_topics, topic_ids
from prefstream.errors import TopicMismatch
from prefstream.topics import TopicNames, TopicSpec, topic_specs
from tests.kafka.worker_process import until

pytestmark = pytest.mark.kafka


@pytest.fixture
def admin(bootstrap_servers: str) -> Iterator[KafkaAdminClient]:
    with KafkaAdminClient(bootstrap_servers=bootstrap_servers) as client:
        yield client


def with_changes(specs: tuple[TopicSpec, ...], name: str, **changes: object) -> tuple[TopicSpec, ...]:
    return tuple(replace(spec, **changes) if spec.name == name else spec for spec in specs)


def test_creating_twice_changes_nothing_the_second_time(bootstrap_servers: str, namespace: str) -> None:
    specs = topic_specs(namespace, num_partitions=3)
    assert [(one.topic, one.remedy) for one in create_topics(bootstrap_servers, specs)] == [
        (spec.name, "create") for spec in specs
    ]
    assert create_topics(bootstrap_servers, specs) == ()


def test_a_setting_that_went_wrong_is_repaired(bootstrap_servers: str, namespace: str) -> None:
    names, specs = TopicNames(namespace), topic_specs(namespace, num_partitions=1)
    wrong = {"cleanup.policy": "delete", "segment.ms": "5000000", "min.insync.replicas": "1"}
    create_topics(bootstrap_servers, with_changes(specs, names.summaries, configs=wrong))
    changed = create_topics(bootstrap_servers, specs)
    assert {(one.topic, one.remedy) for one in changed} == {(names.summaries, "change")}
    assert ("cleanup.policy", "delete", "compact") in [(one.what, one.actual, one.wanted) for one in changed]
    assert create_topics(bootstrap_servers, specs) == ()


def test_another_partition_count_of_a_keyed_topic_is_refused_and_nothing_is_touched(
    bootstrap_servers: str, namespace: str, admin: KafkaAdminClient
) -> None:
    inbox, events, *others = topic_specs(namespace, num_partitions=2)
    create_topics(bootstrap_servers, [events])
    with pytest.raises(TopicMismatch, match=rf"{events.name}: partitions 2, not 4\.(.|\n)*agents\.repartition"):
        create_topics(bootstrap_servers, topic_specs(namespace, num_partitions=4))
    assert not {spec.name for spec in (inbox, *others)} & set(admin.list_topics())
    assert compare_topics(bootstrap_servers, [events]) == ()


def test_a_topic_without_keys_gets_the_partitions_it_lacks(bootstrap_servers: str, namespace: str) -> None:
    names, specs = TopicNames(namespace), topic_specs(namespace, num_partitions=1)
    create_topics(bootstrap_servers, with_changes(specs, names.dead_letters, num_partitions=2))
    changed = create_topics(bootstrap_servers, specs)
    assert [(one.topic, one.what, one.actual, one.wanted) for one in changed] == [(names.dead_letters, "partitions", "2", "4")]
    # A broker may not have heard of it for a moment: to ask once more does no harm.
    until("four partitions", lambda: create_topics(bootstrap_servers, specs) == ())


def test_what_the_broker_does_not_take_is_said_in_its_words(bootstrap_servers: str, namespace: str) -> None:
    with pytest.raises(TopicMismatch, match="replication factor"):
        create_topics(bootstrap_servers, topic_specs(namespace, num_partitions=1, replication_factor=30))


def test_a_setting_the_broker_does_not_take_is_said_in_its_words(bootstrap_servers: str, namespace: str) -> None:
    events, *_ = topic_specs(namespace, num_partitions=1)
    create_topics(bootstrap_servers, [events])
    wrong = replace(events, configs={"cleanup.policy": "burn"})
    with pytest.raises(TopicMismatch, match=rf"does not set cleanup\.policy of {events.name} to burn"):
        create_topics(bootstrap_servers, [wrong])


def test_a_topic_created_again_has_another_id(bootstrap_servers: str, namespace: str, admin: KafkaAdminClient) -> None:
    events, pending, *_ = topic_specs(namespace, num_partitions=1)
    create_topics(bootstrap_servers, [events, pending])
    before = topic_ids(bootstrap_servers, [events.name, pending.name])
    admin.delete_topics([events.name])
    create_topics(bootstrap_servers, [events])
    after = topic_ids(bootstrap_servers, [events.name, pending.name])
    assert before[pending.name] == after[pending.name]
    assert before[events.name] != after[events.name]
    assert {len(base64.urlsafe_b64decode(id + "==")) for id in [*before.values(), *after.values()]} == {16}


def test_a_missing_topic_has_no_id(bootstrap_servers: str, namespace: str) -> None:
    with pytest.raises(TopicMismatch, match=rf"{namespace}\.events does not exist.*prefstream topics create"):
        topic_ids(bootstrap_servers, [TopicNames(namespace).events])
