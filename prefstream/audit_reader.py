"""The audit's reading: everything the audit looks at, from a live broker, in the order that makes it comparable.

Place in the flow: beside it, below :mod:`prefstream.audit`. The order is the proof: committed offsets first, so that what was
made of the records below them is there; pending before summaries, so that an event whose row is gone is in a summary; the
ledger again after the summaries, so that it has counted what they cover. ``docs/audit.md`` has the whole of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from kafka import KafkaAdminClient
from msgspec.structs import replace

from prefstream.admin import TopicState, topic_ids, topic_states
from prefstream.audit import Audit, PartitionFolds, conclude
from prefstream.audit_folds import PendingFold, SummariesFold
from prefstream.audit_origins import KeptFold, Reach, SourceFold, event_origin, letter_origin, reach
from prefstream.connection import connect, missing_topic, reaching
from prefstream.dead_letters import Origin
from prefstream.errors import TopicMismatch
from prefstream.reading import Offsets, TopicReading, Watch
from prefstream.security import Servers
from prefstream.sources import Mark, committed_offsets, decode_mark
from prefstream.spread import spread_of, why_unfit
from prefstream.topics import TopicNames


def audit(bootstrap_servers: Servers, namespace: str, watch: Watch, wait_seconds: float = 0.0) -> Audit:
    """The audit of a namespace, whether its workers run or not.

    While nothing is wrong and another reading may decide what this one cannot, it reads again, for ``wait_seconds``.
    Raises TopicMismatch if the topics are missing or do not fit together, and BrokerUnreachable.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        found = _audit_once(bootstrap_servers, TopicNames(namespace), watch)
        if not found.is_worth_another_look or time.monotonic() >= deadline:
            return found


def _audit_once(bootstrap_servers: Servers, names: TopicNames, watch: Watch) -> Audit:
    committed = _committed(bootstrap_servers, names.namespace)
    states = _own_topics(bootstrap_servers, names, committed.get(names.events, {}))
    with TopicReading(bootstrap_servers, watch) as reading:
        sources = _sources(reading, {topic: offsets for topic, offsets in committed.items() if topic not in states})
        pending, summaries = _read_tables(reading, names, states[names.pending].num_partitions)
        positions = {number: fold.ledger.position for number, fold in pending.items()}
        events = _read_kept(reading, names.events, positions, event_origin, sources)
        letters = _read_letters(
            bootstrap_servers, watch, names.dead_letters, states[names.dead_letters].num_partitions, sources
        )
        kept = [(events.values(), _retention_ms(states[names.events]))]
        kept += [(letters.values(), _retention_ms(states[names.dead_letters]))]
        _look_for_the_rest(reading, sources, reach(kept, int(time.time() * 1_000)))
    folds = {number: PartitionFolds(pending[number], summaries[number], events[number]) for number in pending}
    return conclude(names.namespace, folds, list(sources.values()))


def _own_topics(bootstrap_servers: Servers, names: TopicNames, committed: Mapping[int, _Committed]) -> dict[str, TopicState]:
    """The topics that the flow writes. Raises TopicMismatch, also while users are moved between partitions."""
    keyed = (names.events, names.pending, names.summaries)
    states = topic_states(bootstrap_servers, (*keyed, names.dead_letters))
    for name in (*keyed, names.dead_letters):
        if name not in states:
            raise missing_topic(name)
    counts = {name: states[name].num_partitions for name in keyed}
    sentence = why_unfit(names.namespace, spread_of(one.mark for one in committed.values()), counts)
    if sentence:
        raise TopicMismatch(sentence)
    return states


class _Committed(NamedTuple):
    """What a worker has committed of a partition."""

    offset: int
    mark: Mark


def _committed(bootstrap_servers: Servers, group: str) -> dict[str, dict[int, _Committed]]:
    """What the consumer group has committed, by topic and partition."""
    with reaching(bootstrap_servers), connect(KafkaAdminClient, bootstrap_servers) as admin:
        found = committed_offsets(admin, bootstrap_servers, group)
    committed: dict[str, dict[int, _Committed]] = {}
    for partition, position in found.items():
        committed.setdefault(partition.topic, {})[partition.partition] = _Committed(
            position.offset, decode_mark(position.metadata)
        )
    return committed


def _retention_ms(state: TopicState) -> int | None:
    retention_ms = int(state.configs["retention.ms"])
    return None if retention_ms < 0 else retention_ms


class _Source(NamedTuple):
    """A source partition as origins name it: by the id of its topic."""

    topic_id: str
    partition: int


Sources = Mapping[_Source, SourceFold]


def _sources(reading: TopicReading, committed: Mapping[str, Mapping[int, _Committed]]) -> Sources:
    """The source partitions that were read, from what their retention has left of them; topics that are gone are left out.

    Where an operator decided to go on after a partition had lost its end, from there.
    """
    existing = topic_states(reading.bootstrap_servers, committed) if committed else {}
    ids = topic_ids(reading.bootstrap_servers, existing) if existing else {}
    sources = {}
    for topic, topic_id in sorted(ids.items()):
        for partition, beginning in reading.beginnings(topic, committed[topic]).items():
            offset, mark = committed[topic][partition]
            source = _Source(replace(mark, topic_id=topic_id).origin_topic, partition)
            bounds = range(max(beginning, mark.since), offset)
            sources[source] = SourceFold(topic, partition, bounds, mark.num_expired)
    return sources


def _read_tables(
    reading: TopicReading, names: TopicNames, num_partitions: int
) -> tuple[dict[int, PendingFold], dict[int, SummariesFold]]:
    """Pending up to an instant, then the summaries, then what came to pending meanwhile."""
    numbers = range(num_partitions)
    pending = {number: PendingFold() for number in numbers}
    instant = reading.ends(names.pending, numbers)
    for record in reading.records(names.pending, reading.beginnings(names.pending, numbers), instant):
        pending[record.partition].read(record.key, record.value, record.offset)
    summaries = {number: SummariesFold(pending[number].ledger.position) for number in numbers}
    for record in reading.records_since(names.summaries, reading.beginnings(names.summaries, numbers)):
        summaries[record.partition].read(record.key, record.value, record.offset)
    for record in reading.records_since(names.pending, instant):
        pending[record.partition].read_later(record.key, record.value, record.offset)
    for number in numbers:
        summaries[number].settle(pending[number].forgets)
    return pending, summaries


def _read_kept(
    reading: TopicReading, topic: str, positions: Offsets, origin_of: Callable[[bytes | None], Origin | None], sources: Sources
) -> dict[int, KeptFold]:
    """A topic of events or dead letters, whose origins are marked in ``sources``."""
    kept = {number: KeptFold(position) for number, position in positions.items()}
    for record in reading.records_since(topic, reading.beginnings(topic, positions)):
        kept[record.partition].read(record.offset, record.timestamp)
        origin = origin_of(record.value)
        source = sources.get(_Source(origin.topic, origin.partition)) if origin else None
        if origin and source:
            source.met.add(origin.offset)
    for number, beginning in reading.beginnings(topic, positions).items():
        kept[number].beginning = beginning
    return kept


def _read_letters(
    bootstrap_servers: Servers, watch: Watch, topic: str, num_partitions: int, sources: Sources
) -> dict[int, KeptFold]:
    """The dead letters, also behind a replay that is not finished, or was given up: what that wrote names no other origins."""
    with TopicReading(bootstrap_servers, watch, "read_uncommitted") as reading:
        return _read_kept(reading, topic, dict.fromkeys(range(num_partitions), 0), letter_origin, sources)


def _look_for_the_rest(reading: TopicReading, sources: Sources, how_far: Reach) -> None:
    """Read the sources where an origin was not met: there may be no record at that offset."""
    for source in sources.values():
        gap = source.met.gap()
        if gap:
            for record in reading.records(source.topic, {source.partition: gap.start}, {source.partition: gap.stop}):
                source.read(record.offset, record.timestamp, how_far)
