"""The accounts, from the topics alone: where every record that was published has ended up.

Independent on purpose: the topics are read with kafka-python, no code is shared with the worker, and the platform's formats are
read here anew. The public records, and the keys of the pending topic as the audit reads them, are left to the public package.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec
from kafka import KafkaConsumer, TopicPartition
from msgspec import Struct

from prefstream.audit_rows import event_row
from prefstream.dead_letters import DeadLetter, DeadLetterReason
from prefstream.summaries import Summary, decode_summary
from prefstream.topics import TopicNames

_SILENCE_SECONDS = 20.0
_decode_letter = msgspec.json.Decoder(DeadLetter).decode


class AccountsUnreadable(Exception):
    """The broker does not hand over what the accounts need."""


class Record(NamedTuple):
    """A record of a topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Identity(NamedTuple):
    """Whose event a record is, and its publisher's id for it; empty where it has none."""

    user: str
    id: str


Identify = Callable[[Record], Identity]
"""Reads a record of one of the platform's formats; only records that are no dead letters are read."""


def stars_identity(record: Record) -> Identity:
    """The platform's own JSON has no ids."""
    return Identity(str(_body(record)["member"]), "")


def cloudevent_identity(record: Record) -> Identity:
    """A CloudEvent in binary mode is identified by its source and id."""
    headers = {name: value.decode() for name, value in record.headers}
    return Identity(headers["ce_subject"], f"{headers['ce_source']} {headers['ce_id']}")


def native_identity(record: Record) -> Identity:
    """prefstream's own JSON."""
    body = _body(record)
    return Identity(body["user"], body.get("id", ""))


def _body(record: Record) -> Any:
    return json.loads(record.value or b"")


class Topics(Struct, frozen=True):
    """Everything that lies in the topics."""

    raw: tuple[Record, ...]
    dead_letters: tuple[Record, ...]
    pending: tuple[Record, ...]
    summaries: tuple[Record, ...]


class Accounts(Struct, frozen=True, kw_only=True):
    """Where the source records are. ``unexplained`` names users whose own sum is not exact, or whose versions do not rise.

    ``versions`` are each user's versions that the topic still has, oldest first.
    """

    num_source: Mapping[str, int]
    applied: int
    duplicate: int
    dead: Mapping[DeadLetterReason, int]
    pending: int
    unexplained: Sequence[str]
    versions: Mapping[str, Sequence[Summary]]

    @property
    def source(self) -> int:
        """All source records."""
        return sum(self.num_source.values())

    @property
    def accounted(self) -> int:
        """All that is accounted for."""
        return self.applied + self.duplicate + sum(self.dead.values()) + self.pending

    @property
    def is_exact(self) -> bool:
        """Whether the identity holds, for everybody together and for each user."""
        return self.source == self.accounted and not self.unexplained


def settle(topics: Topics, formats: Mapping[str, Identify]) -> Accounts:
    """The accounts of what lies in the topics; ``formats`` says how each raw topic is read."""
    dead = _dead(topics.dead_letters, formats)
    expected, duplicate = _expected((record for record in topics.raw if _place(record) not in dead), formats)
    versions = _versions(topics.summaries)
    applied = Counter({user: summaries[-1].num_events for user, summaries in versions.items()})
    pending = _pending(topics.pending, {user: summaries[-1].position for user, summaries in versions.items()})
    users = {*expected, *applied, *pending}
    return Accounts(
        num_source={topic: sum(record.topic == topic for record in topics.raw) for topic in formats},
        applied=applied.total(),
        duplicate=duplicate,
        dead=Counter(dead.values()),
        pending=pending.total(),
        unexplained=sorted(
            user for user in users if applied[user] + pending[user] != expected[user] or not _rise(versions.get(user, ()))
        ),
        versions=versions,
    )


Place = tuple[str, int, int]


def _place(record: Record) -> Place:
    return record.topic, record.partition, record.offset


def _dead(letters: Iterable[Record], formats: Mapping[str, Identify]) -> dict[Place, DeadLetterReason]:
    """The raw records that are dead letters; one that was refused twice, around a crash or after a replay, is one."""
    read = (_decode_letter(letter.value or b"") for letter in letters)
    return {
        (letter.source, letter.beginning.partition, letter.beginning.offset): letter.reason
        for letter in read
        if letter.source in formats
    }


def _expected(records: Iterable[Record], formats: Mapping[str, Identify]) -> tuple[Counter[str], int]:
    """How many events each user has, and how many records repeat an id of the same user."""
    events: Counter[str] = Counter()
    met: set[Identity] = set()
    duplicate = 0
    for record in records:
        identity = _identified(record, formats[record.topic])
        if identity is None:
            continue  # neither applied nor dead: it is missing, and the sum will say so
        if identity.id and identity in met:
            duplicate += 1
            continue
        met.add(identity)
        events[identity.user] += 1
    return events, duplicate


def _identified(record: Record, identify: Identify) -> Identity | None:
    try:
        return identify(record)
    except (ValueError, KeyError, TypeError):
        return None


def _versions(records: Iterable[Record]) -> dict[str, list[Summary]]:
    """Every user's versions; a tombstone erases a user. A worker's own records have keys that no user has."""
    versions: dict[str, list[Summary]] = {}
    for record in records:
        if record.key is None or record.key.startswith(b"\xff"):
            continue
        user = record.key.decode()
        if record.value is None:
            versions.pop(user, None)
        else:
            versions.setdefault(user, []).append(decode_summary(record.value))
    return versions


def _rise(versions: Sequence[Summary]) -> bool:
    return all(earlier.version < later.version for earlier, later in pairwise(versions))


def _pending(records: Iterable[Record], positions: Mapping[str, int]) -> Counter[str]:
    """How many events of each user wait: the rows that are not deleted and that no summary covers."""
    live: dict[tuple[str, int], bool] = {}
    for record in records:
        if (row := event_row(record.key)) is not None:
            live[row.user.decode(), row.offset] = record.value is not None
    return Counter(user for (user, offset), is_live in live.items() if is_live and offset > positions.get(user, -1))


def read_topics(bootstrap_servers: str, namespace: str, raw: Iterable[str]) -> Topics:
    """Everything in the topics, from their beginnings to their ends as they are now.

    Raises AccountsUnreadable when the broker stops answering.
    """
    names = TopicNames(namespace)
    return Topics(
        raw=tuple(record for topic in raw for record in read_topic(bootstrap_servers, topic)),
        dead_letters=read_topic(bootstrap_servers, names.dead_letters),
        pending=read_topic(bootstrap_servers, names.pending),
        summaries=read_topic(bootstrap_servers, names.summaries),
    )


def read_topic(bootstrap_servers: str, topic: str) -> tuple[Record, ...]:
    """All records of a topic, in order within each partition.

    Raises AccountsUnreadable when the broker stops answering.
    """
    consumer = KafkaConsumer(bootstrap_servers=bootstrap_servers, enable_auto_commit=False)
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        return tuple(_read_to(consumer, consumer.end_offsets(partitions)))
    finally:
        consumer.close()


def _read_to(consumer: Any, ends: Mapping[Any, int]) -> Iterable[Record]:
    deadline = time.monotonic() + _SILENCE_SECONDS
    while any(consumer.position(partition) < end for partition, end in ends.items()):
        batches = consumer.poll(timeout_ms=500)
        if batches:
            deadline = time.monotonic() + _SILENCE_SECONDS
        elif time.monotonic() > deadline:
            raise AccountsUnreadable("The broker stopped answering while the accounts were read.")
        for records in batches.values():
            for read in records:
                yield Record(read.topic, read.partition, read.offset, read.key, read.value, read.headers)
