"""What the topics have to be: names, co-partitioning, and configurations that keep what must be kept and erase the rest."""

from __future__ import annotations

import pytest

from prefstream.topics import DAY_MS, HOUR_MS, TopicNames, TopicSpec, topic_specs


def specs_by_topic(num_partitions: int = 8) -> dict[str, TopicSpec]:
    """The specs under their names without the namespace."""
    return {spec.name.removeprefix("p."): spec for spec in topic_specs("p", num_partitions)}


def test_names_start_with_the_namespace() -> None:
    names = TopicNames("shop.eu")
    ours = [names.inbox, names.events, names.summaries, names.pending, names.history, names.receipts]
    ours += [names.dead_letters, names.replays]
    assert ours == [
        "shop.eu.inbox",
        "shop.eu.events",
        "shop.eu.summaries",
        "shop.eu.pending",
        "shop.eu.history",
        "shop.eu.receipts",
        "shop.eu.dead-letters",
        "shop.eu.replays",
    ]
    assert {spec.name for spec in topic_specs("shop.eu")} == {
        names.inbox,
        names.events,
        names.summaries,
        names.pending,
        names.history,
        names.receipts,
        names.dead_letters,
        names.replays,
    }


@pytest.mark.parametrize("namespace", ["", "a b", "ä", "a/b", "x" * 201])
def test_a_namespace_is_what_kafka_takes_as_a_name(namespace: str) -> None:
    with pytest.raises(ValueError, match="is no namespace"):
        TopicNames(namespace)


def test_a_shadow_reads_the_events_of_another_and_has_nothing_to_publish_to() -> None:
    shadow = TopicNames("shop.eu").shadow("next")
    assert (shadow.namespace, shadow.shadow_of, shadow.events) == ("shop.eu.shadow-next", "shop.eu", "shop.eu.events")
    own = (shadow.pending, shadow.history, shadow.summaries, shadow.receipts, shadow.dead_letters)
    assert {spec.name for spec in topic_specs(shadow.namespace)} == {*own}
    assert all(name.startswith("shop.eu.shadow-next.") for name in own)
    assert TopicNames("shop.eu").shadow_of == TopicNames("shop.shadow").shadow_of == ""


@pytest.mark.parametrize("word", ["", "a b", "v1.2", "é", "x.shadow-y"])
def test_a_shadow_has_a_plain_name(word: str) -> None:
    with pytest.raises(ValueError, match=r"no namespace|use a-z"):
        TopicNames("shop").shadow(word)


def test_a_shadow_has_no_shadow() -> None:
    with pytest.raises(ValueError, match="of a namespace that is no shadow itself"):
        TopicNames("shop").shadow("one").shadow("two")


def test_keyed_topics_are_co_partitioned() -> None:
    specs = specs_by_topic(num_partitions=24)
    assert {name: (spec.keyed, spec.num_partitions) for name, spec in specs.items()} == {
        "inbox": (False, 24),
        "events": (True, 24),
        "pending": (True, 24),
        "history": (True, 24),
        "summaries": (True, 24),
        "receipts": (True, 24),
        "dead-letters": (False, 4),
        "replays": (False, 24),
    }


@pytest.mark.parametrize(("replication_factor", "insync"), [(1, "1"), (2, "1"), (3, "2")])
def test_acknowledged_means_on_two_brokers_where_there_are_three(replication_factor: int, insync: str) -> None:
    for spec in topic_specs(replication_factor=replication_factor):
        assert (spec.replication_factor, spec.configs["min.insync.replicas"]) == (replication_factor, insync)


def test_what_is_replaced_by_key_is_compacted() -> None:
    assert {name: spec.configs["cleanup.policy"] for name, spec in specs_by_topic().items()} == {
        "inbox": "delete",
        "events": "delete",
        "pending": "compact",
        "history": "compact",
        "summaries": "compact",
        "receipts": "delete",
        "dead-letters": "compact,delete",
        "replays": "delete",
    }


@pytest.mark.parametrize(
    ("topic", "config", "value"),
    [
        ("inbox", "retention.ms", 7 * DAY_MS),
        ("events", "retention.ms", 7 * DAY_MS),
        ("dead-letters", "retention.ms", 30 * DAY_MS),
        ("dead-letters", "segment.ms", DAY_MS),
        ("dead-letters", "max.compaction.lag.ms", DAY_MS),
        ("dead-letters", "max.message.bytes", 2_097_152),
        ("replays", "retention.ms", 7 * DAY_MS),
        ("replays", "max.message.bytes", 2_097_152),
        ("pending", "delete.retention.ms", HOUR_MS),
        ("pending", "segment.ms", HOUR_MS),
        ("pending", "max.compaction.lag.ms", HOUR_MS),
        ("summaries", "delete.retention.ms", 7 * DAY_MS),
        ("summaries", "segment.ms", DAY_MS),
        ("summaries", "max.compaction.lag.ms", DAY_MS),
        ("summaries", "min.cleanable.dirty.ratio", 0.1),
    ],
)
def test_how_long_things_are_kept(topic: str, config: str, value: float) -> None:
    assert specs_by_topic()[topic].configs[config] == str(value)
