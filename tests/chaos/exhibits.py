"""Exhibits: what lies on the topics of a namespace, as it lies there; the judge's only evidence."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from msgspec import Struct

_SILENCE_MS = 60_000


class RawRecord(NamedTuple):
    """One record of a topic; ``timestamp_ms`` is Kafka's, in ms since 1970."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


class Exhibits(Struct, frozen=True, kw_only=True):
    """Everything that is judged. Records are in offset order within each partition.

    ``topic_ids`` has Kafka's id of each source topic and of the events topic, by name; ``committed`` the consumer group's
    offsets by topic and partition.
    """

    namespace: str
    sources: tuple[RawRecord, ...]
    events: tuple[RawRecord, ...]
    dead_letters: tuple[RawRecord, ...]
    pending: tuple[RawRecord, ...]
    summaries: tuple[RawRecord, ...]
    topic_ids: dict[str, str]
    committed: dict[tuple[str, int], int]


def read_exhibits(bootstrap_servers: str, namespace: str, sources: Iterable[str] = ()) -> Exhibits:
    """Read the topics to what is their end now, committed records only; the committed offsets first.

    Without ``sources`` these are the topics of the consumer group's offsets, and the inbox.
    """
    own = {name: f"{namespace}.{name}" for name in ("events", "dead-letters", "pending", "summaries")}
    admin = KafkaAdminClient(bootstrap_servers=bootstrap_servers)
    try:
        committed = _committed(admin, namespace)
        read = {topic for topic, _ in committed if topic not in own.values()}
        raw = sorted({*sources} or {f"{namespace}.inbox", *read})
        ids = _topic_ids(admin, [*raw, own["events"]])
    finally:
        admin.close()
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=16 << 20,
        max_poll_records=5_000,
    )
    try:
        # A row goes when its event is in a summary or dead, and what a record became comes after it: in this order nothing
        # looks lost, or as if it came from nowhere, because it moved on while the topics were read.
        order = (own["pending"], own["summaries"], own["dead-letters"], own["events"], *raw)
        found = {topic: _read_all(consumer, topic) for topic in order}
    finally:
        consumer.close()
    return Exhibits(
        namespace=namespace,
        sources=tuple(record for topic in raw for record in found[topic]),
        events=found[own["events"]],
        dead_letters=found[own["dead-letters"]],
        pending=found[own["pending"]],
        summaries=found[own["summaries"]],
        topic_ids=ids,
        committed=committed,
    )


def _committed(admin: Any, group: str) -> dict[tuple[str, int], int]:
    offsets = admin.list_group_offsets({group: None})[group]
    return {(place.topic, place.partition): found.offset for place, found in offsets.items() if found.offset >= 0}


def _topic_ids(admin: Any, topics: list[str]) -> dict[str, str]:
    """In Kafka's own form: base64url without padding."""
    described = admin.describe_topics(topics)
    return {topic["name"]: base64.urlsafe_b64encode(UUID(topic["topic_id"]).bytes).rstrip(b"=").decode() for topic in described}


def _read_all(consumer: Any, topic: str) -> tuple[RawRecord, ...]:
    partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    ends = consumer.end_offsets(partitions)
    found: list[RawRecord] = []
    while any(consumer.position(partition) < end for partition, end in ends.items()):
        for batch in consumer.poll(timeout_ms=500).values():
            found += [RawRecord(one.topic, one.partition, one.offset, one.timestamp, one.key, one.value) for one in batch]
    return tuple(sorted(found))
