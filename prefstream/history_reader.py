"""Reading the history: the kept versions of one user, the way out of the topic that workers write ahead of the summaries.

Place in the flow: beside it. Of both topics the one partition is read in which the user is, without a consumer group.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kafka.partitioner.default import murmur2

from prefstream.admin import topic_states
from prefstream.connection import missing_topic
from prefstream.exports import row_of
from prefstream.history import KeptVersion, decode_version, is_kept, version_of
from prefstream.reading import TopicReading, Watch
from prefstream.security import Servers
from prefstream.summaries import Summary, decode_summary
from prefstream.tenants import key_of
from prefstream.topics import DEFAULT_NAMESPACE, TopicNames

Rows = Mapping[bytes, bytes]


def _nobody_watches(topic: str, num_read: int, total: int) -> None:
    """Nobody is told how far the reading is."""


def read_history(
    bootstrap_servers: Servers,
    user: str,
    tenant: str = "",
    *,
    namespace: str = DEFAULT_NAMESPACE,
    watch: Watch = _nobody_watches,
) -> tuple[KeptVersion, ...]:
    """The kept versions of a user, oldest first, the current one last; empty of somebody without a summary.

    It reads a partition of two topics: about a second for each 30,000 records. Raises TopicMismatch for a missing topic,
    InvalidRecord for a record of the user that is none, and BrokerUnreachable.
    """
    names, key = TopicNames(namespace), key_of(tenant, user)
    states = topic_states(bootstrap_servers, (names.summaries, names.history))
    with TopicReading(bootstrap_servers, watch, "read_uncommitted") as reading:
        # The summary first: what was current then had its versions on the other topic already.
        found: list[Rows] = []
        for topic in (names.summaries, names.history):
            if topic not in states:
                raise missing_topic(topic)
            number = (murmur2(key) & 0x7FFFFFFF) % states[topic].num_partitions
            found.append(_newest(reading.records_since(topic, reading.beginnings(topic, [number])), key))
    summaries, versions = found
    return versions_in(versions, decode_summary(summaries[key]) if key in summaries else None)


def _newest(records: Iterable[Any], user: bytes) -> Rows:
    """The newest value of each key of this user, without those that are deleted."""
    newest: dict[bytes, bytes] = {}
    for record in records:
        if record.key != user and row_of(record.key)[1] != user:
            continue
        newest.pop(record.key, None)
        if record.value is not None:
            newest[record.key] = record.value
    return newest


def versions_in(rows: Rows, current: Summary | None) -> tuple[KeptVersion, ...]:
    """The versions in these rows of the history of somebody with this summary, oldest first.

    A row above the current version was never published. The current version is one of them, also where its row is missing.
    """
    if current is None:
        return ()
    found = {version.version: version for version in map(decode_version, rows.values())}
    found.setdefault(current.version, version_of(current))
    return tuple(found[number] for number in sorted(found) if is_kept(number, current.version))
