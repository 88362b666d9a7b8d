"""Absence: whether anything of a user is left on prefstream's topics and on a worker's disk, byte by byte.

Place in the flow: beside it, behind a `forget`. It looks for the user's key and for texts that only they were shown: in every
record of every topic, tombstones and records that newer ones replaced included, and in every file of a worker's directory
(:mod:`prefstream.leftovers`). Of dead letters it reads what they carry in base64 too.
"""

from __future__ import annotations

from base64 import b64decode
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from prefstream.admin import TopicState, topic_states
from prefstream.connection import missing_topic
from prefstream.erasure import kept_until
from prefstream.exports import row_of
from prefstream.leftovers import holds
from prefstream.reading import TopicReading, Watch
from prefstream.security import Servers
from prefstream.topics import TopicNames, topic_specs

Standing = Literal[
    "live",  # the newest of its key: who reads the topic finds it
    "replaced",  # a newer record has its key: it waits for compaction
    "tombstone",  # says that the key is gone, and goes itself after delete.retention.ms
    "retained",  # on a topic without keys that replace each other: it goes with its segment
]
_MAX_EXAMPLES = 3


class Wanted(Struct, frozen=True):
    """Whom to look for: the user's key, and what only they were shown or wrote."""

    key: bytes
    shown: tuple[str, ...] = ()

    @property
    def canaries(self) -> tuple[bytes, ...]:
        """The texts, as they are and as JSON has them."""
        return tuple(form for text in self.shown for form in (text.encode(), msgspec.json.encode(text)[1:-1]))

    @property
    def texts(self) -> tuple[bytes, ...]:
        """These and the key."""
        return (self.key, *self.canaries)


class Traces(Struct, frozen=True, kw_only=True):
    """What was found on one topic: how many records of each standing, the first live ones, and by when the rest is gone."""

    topic: str
    counts: dict[Standing, int]
    live: tuple[str, ...]
    gone_by: datetime | None

    @property
    def num_live(self) -> int:
        """How many records somebody who reads the topic finds."""
        return self.counts.get("live", 0)


class Absence(Struct, frozen=True, kw_only=True):
    """What is left of a user. ``files`` are those with something of theirs, of ``num_files`` that were searched."""

    topics: tuple[Traces, ...]
    files: tuple[str, ...]
    num_files: int

    @property
    def is_proven(self) -> bool:
        """Whether nothing live is left, and nothing in the files."""
        return not self.files and not any(traces.num_live for traces in self.topics)


def search(
    bootstrap_servers: Servers, namespace: str, wanted: Wanted, directories: Sequence[Path], now: datetime, watch: Watch
) -> Absence:
    """Look for a user on all topics of the namespace, and in the files of workers' directories.

    Raises TopicMismatch for a missing topic, BrokerUnreachable, and OSError for a directory that cannot be read.
    """
    names = TopicNames(namespace)
    topics = [spec.name for spec in topic_specs(namespace)]
    states = topic_states(bootstrap_servers, topics)
    gone_by = kept_until({name: state.configs for name, state in states.items()}, now)
    found = []
    with TopicReading(bootstrap_servers, watch, "read_uncommitted") as reading:
        for topic in topics:
            if topic not in states:
                raise missing_topic(topic)
            starts = reading.beginnings(topic, range(states[topic].num_partitions))
            marks = (mark_of(record, wanted, names) for record in reading.records_since(topic, starts))
            found.append(traces_of(topic, marks, states[topic], gone_by[topic]))
    files = sorted({path for directory in directories for path in directory.rglob("*") if path.is_file()})
    with_traces = tuple(str(path) for path in files if holds(path, wanted.key, wanted.canaries))
    return Absence(topics=tuple(found), files=with_traces, num_files=len(files))


class Mark(Struct, frozen=True):
    """One record: where it lies, its key, whether it is a tombstone, and whether one of the texts is in it."""

    partition: int
    offset: int
    key: bytes | None
    is_tombstone: bool
    is_found: bool


def mark_of(record: Any, wanted: Wanted, names: TopicNames) -> Mark:
    """What a record is. One under another user's key is theirs, though their id or text may hold this one's id."""
    parts = [record.key or b"", record.value or b"", *(value or b"" for _, value in record.headers or ())]
    parts += letter_parts(record.value) if record.topic == names.dead_letters else []
    texts = wanted.canaries if _is_anothers(record, wanted, names) else wanted.texts
    is_found = any(text in part for text in texts for part in parts)
    return Mark(record.partition, record.offset, record.key, record.value is None, is_found)


def _is_anothers(record: Any, wanted: Wanted, names: TopicNames) -> bool:
    if record.topic == names.summaries:
        return bool(record.key != wanted.key)
    if record.topic in (names.pending, names.history):
        return row_of(record.key)[1] not in (None, wanted.key)
    return False


def letter_parts(value: bytes | None) -> list[bytes]:
    """What a dead letter carries in base64: key, value and the headers' values of its record."""
    try:
        letter = msgspec.json.decode(value or b"")
        headers = [one[1] for one in letter.get("headers") or ()]
        return [b64decode(part) for part in (letter.get("key"), letter.get("value"), *headers) if part]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, AttributeError, TypeError, ValueError, IndexError):
        return []


def traces_of(topic: str, marks: Iterable[Mark], state: TopicState, gone_by: datetime | None) -> Traces:
    """What the records of a topic come to; of one that is compacted only the newest of a key is live."""
    is_compacted = "compact" in state.configs["cleanup.policy"]
    found: list[Mark] = []
    newest: dict[tuple[int, bytes | None], int] = {}
    for mark in marks:
        newest[mark.partition, mark.key] = mark.offset
        if mark.is_found:
            found.append(mark)
    standings = [(mark, _standing(mark, newest, is_compacted)) for mark in found]
    counts: Counter[Standing] = Counter(standing for _, standing in standings)
    live = [f"{topic}/{mark.partition}/{mark.offset}" for mark, standing in standings if standing == "live"]
    return Traces(topic=topic, counts=dict(counts), live=tuple(live[:_MAX_EXAMPLES]), gone_by=gone_by if found else None)


def _standing(mark: Mark, newest: Mapping[tuple[int, bytes | None], int], is_compacted: bool) -> Standing:
    if not is_compacted:
        return "retained"
    if newest[mark.partition, mark.key] != mark.offset:
        return "replaced"
    return "tombstone" if mark.is_tombstone else "live"
