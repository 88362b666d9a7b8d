"""Exhibits: what lies on the topics of a namespace, as it lies there; the judge's only evidence."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self
from uuid import UUID

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError
from msgspec import Struct
from msgspec.structs import replace

from tests.chaos.journal import Former

OWN_TOPICS = ("events", "dead-letters", "pending", "summaries", "history", "receipts")
Offsets = dict[tuple[str, int], int]  # by topic and partition

_SILENCE_SECONDS = 60.0


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
    offsets, ``beginnings`` and ``ends`` where each partition begins and ends; ``aborted`` the records of the sources that
    nobody may see. ``num_partitions`` is that of the keyed topics, ``read_at_ms`` when all was read.
    """

    namespace: str
    num_partitions: int
    read_at_ms: int
    sources: tuple[RawRecord, ...]
    events: tuple[RawRecord, ...]
    dead_letters: tuple[RawRecord, ...]
    pending: tuple[RawRecord, ...]
    summaries: tuple[RawRecord, ...]
    history: tuple[RawRecord, ...]
    receipts: tuple[RawRecord, ...]
    topic_ids: dict[str, str]
    committed: Offsets
    beginnings: Offsets
    ends: Offsets
    aborted: frozenset[tuple[str, int, int]]


def read_exhibits(bootstrap_servers: str, namespace: str, sources: Iterable[str] = ()) -> Exhibits:
    """Read the topics to what is their end now, committed records only; the committed offsets first.

    Source topics are the inbox, those of the consumer group's offsets, and ``sources``.
    """
    events, letters, pending, summaries, history, receipts = own = [f"{namespace}.{name}" for name in OWN_TOPICS]
    with KafkaAdminClient(bootstrap_servers=bootstrap_servers) as admin:
        committed = _committed(admin, namespace)
        raw = sorted({f"{namespace}.inbox", *sources, *(topic for topic, _ in committed)} - {*own})
        topic_ids = _topic_ids(admin, [*raw, events])
    with _Reading(bootstrap_servers) as reading:
        # A row goes when its event is in a summary or dead, a version is kept before it is published, and what a record became
        # comes after it: in this order nothing looks lost, or as if it came from nowhere, because it moved on meanwhile.
        found = {topic: reading.records(topic) for topic in (receipts, pending, summaries, history, letters, events, *raw)}
    with _Reading(bootstrap_servers, isolation_level="read_uncommitted") as uncommitted:
        seen = {one[:3] for topic in raw for one in found[topic]}
        aborted = {one[:3] for topic in raw for one in uncommitted.records(topic, reading.ends)} - seen
    return Exhibits(
        namespace=namespace,
        num_partitions=sum(topic == events for topic, _ in reading.ends),
        read_at_ms=int(time.time() * 1_000),
        sources=tuple(record for topic in raw for record in found[topic]),
        events=found[events],
        dead_letters=found[letters],
        pending=found[pending],
        summaries=found[summaries],
        history=found[history],
        receipts=found[receipts],
        topic_ids=topic_ids,
        committed=committed,
        beginnings=reading.beginnings,
        ends=reading.ends,
        aborted=frozenset(aborted),
    )


def with_former(exhibits: Exhibits, former: Iterable[Former]) -> Exhibits:
    """The same with topics that are no more, as if they were still there under the names that the journal gives them."""
    sources, topic_ids = list(exhibits.sources), dict(exhibits.topic_ids)
    ends, committed, hidden = dict(exhibits.ends), dict(exhibits.committed), set(exhibits.aborted)
    for topic in former:
        topic_ids[topic.name] = topic.topic_id
        shown = {(topic.name, partition, offset) for partition, offset, _ in topic.records}
        sources += [RawRecord(topic.name, *record, None, None) for record in topic.records]
        own = {(name, partition): offset + 1 for name, partition, offset in sorted(shown)}
        hidden |= {(*place, offset) for place, end in own.items() for offset in range(end)} - shown
        ends, committed = ends | own, committed | own
    return replace(
        exhibits, sources=tuple(sources), topic_ids=topic_ids, ends=ends, committed=committed, aborted=frozenset(hidden)
    )


def read_former(bootstrap_servers: str, topic: str) -> Former | None:
    """A topic that is about to be deleted; None while a transaction is open on it, which may hide records."""
    with KafkaAdminClient(bootstrap_servers=bootstrap_servers) as admin:
        topic_id = _topic_ids(admin, [topic])[topic]
    with _Reading(bootstrap_servers) as reading, _Reading(bootstrap_servers, "read_uncommitted") as uncommitted:
        records = reading.records(topic)
        uncommitted.records(topic)
    if reading.ends != uncommitted.ends:
        return None
    return Former(topic, topic_id, tuple((one.partition, one.offset, one.timestamp_ms) for one in records))


def is_read(bootstrap_servers: str, group: str, topic: Former) -> bool:
    """Whether the group has committed every record of a topic that still is what it was."""
    with KafkaAdminClient(bootstrap_servers=bootstrap_servers) as admin:
        committed = _committed(admin, group)
    return all(offset < committed.get((topic.topic, partition), 0) for partition, offset, _ in topic.records)


def _committed(admin: Any, group: str) -> Offsets:
    deadline = time.monotonic() + _SILENCE_SECONDS
    while True:
        try:
            offsets = admin.list_group_offsets({group: None})[group]
        except (CoordinatorNotAvailableError, CoordinatorLoadInProgressError, NotCoordinatorError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)  # a broker that has just started looks for the group
        else:
            return {(place.topic, place.partition): found.offset for place, found in offsets.items() if found.offset >= 0}


def _topic_ids(admin: Any, topics: list[str]) -> dict[str, str]:
    """In Kafka's own form: base64url without padding."""
    described = {topic["name"]: UUID(topic["topic_id"]) for topic in admin.describe_topics(topics)}
    return {name: base64.urlsafe_b64encode(found.bytes).rstrip(b"=").decode() for name, found in described.items()}


class _Reading:
    """One consumer that reads topics from their beginning to what is their end, and remembers where that was."""

    def __init__(self, bootstrap_servers: str, isolation_level: str = "read_committed") -> None:
        self.beginnings: Offsets = {}
        self.ends: Offsets = {}
        self._consumer = KafkaConsumer(
            bootstrap_servers=bootstrap_servers,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level=isolation_level,
            max_partition_fetch_bytes=16 << 20,
            max_poll_records=5_000,
            check_crcs=False,  # in Python they are most of the reading, and the broker has checked them
        )

    def records(self, topic: str, ends: Offsets | None = None) -> tuple[RawRecord, ...]:
        """The records of a topic up to its ``ends``, or up to what they are now, in order within each partition.

        Raises TimeoutError when nothing comes for a minute.
        """
        partitions = [TopicPartition(topic, number) for number in sorted(self._consumer.partitions_for_topic(topic))]
        self._consumer.assign(partitions)
        self._consumer.seek_to_beginning(*partitions)
        self.beginnings |= _by_name(self._consumer.beginning_offsets(partitions))
        self.ends |= ends or _by_name(self._consumer.end_offsets(partitions))
        found: list[RawRecord] = []
        deadline = time.monotonic() + _SILENCE_SECONDS
        while any(self._consumer.position(one) < self.ends[one.topic, one.partition] for one in partitions):
            batches = self._consumer.poll(timeout_ms=500)
            for record in (record for batch in batches.values() for record in batch):
                found.append(_raw(record))
            deadline = time.monotonic() + _SILENCE_SECONDS if batches else deadline
            if time.monotonic() > deadline:
                raise TimeoutError(f"nothing more of {topic} came for {_SILENCE_SECONDS:g} s")
        return tuple(sorted(one for one in found if one.offset < self.ends[one.topic, one.partition]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._consumer.close()


def _by_name(offsets: Mapping[Any, int]) -> Offsets:
    return {(partition.topic, partition.partition): offset for partition, offset in offsets.items()}


def _raw(record: Any) -> RawRecord:
    return RawRecord(record.topic, record.partition, record.offset, record.timestamp, record.key, record.value)
