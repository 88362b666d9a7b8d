"""The audit's reading: everything the audit looks at, from a live broker, in the order that makes it comparable.

Place in the flow: beside it, below :mod:`prefstream.audit`. The order is the proof: committed offsets first, so that what was
made of the records below them is there; pending before summaries, so that an event whose row is gone is in a summary; the
ledger again after the summaries, so that it has counted what they cover. ``docs/audit.md`` has the whole of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import CoordinatorLoadInProgressError, CoordinatorNotAvailableError, NotCoordinatorError

from prefstream.admin import TopicState, topic_ids, topic_states
from prefstream.audit import Audit, PartitionFolds, conclude
from prefstream.audit_folds import KeptFold, PendingFold, Reach, SourceFold, SummariesFold, event_origin, letter_origin, reach
from prefstream.connection import CONNECT_TIMEOUT_SECONDS, connect, missing_topic, reaching
from prefstream.dead_letters import Origin
from prefstream.errors import BrokerUnreachable, TopicMismatch
from prefstream.reader import MAX_SILENCE_SECONDS
from prefstream.topics import TopicNames

Watch = Callable[[str, int, int], None]
"""Is told, batch by batch, how many offsets of a topic are read and how many there are to read."""

_TIMEOUT_MS = int(CONNECT_TIMEOUT_SECONDS * 1_000)
_MAX_POLLED_RECORDS = 5_000

Offsets = Mapping[int, int]  # by partition


def audit(bootstrap_servers: str, namespace: str, watch: Watch, wait_seconds: float = 0.0) -> Audit:
    """The audit of a namespace, whether its workers run or not.

    While nothing is wrong and another reading may decide what this one cannot, it reads again, for ``wait_seconds``.
    Raises TopicMismatch if the topics are missing or do not fit together, and BrokerUnreachable.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        found = _audit_once(bootstrap_servers, TopicNames(namespace), watch)
        if not found.is_worth_another_look or time.monotonic() >= deadline:
            return found


def _audit_once(bootstrap_servers: str, names: TopicNames, watch: Watch) -> Audit:
    states = _own_topics(bootstrap_servers, names)
    committed = _committed(bootstrap_servers, names.namespace)
    with _Reading(bootstrap_servers, watch) as reading:
        sources = _sources(reading, {topic: offsets for topic, offsets in committed.items() if topic not in states})
        pending, summaries = _read_tables(reading, names, states[names.pending].num_partitions)
        positions = {number: fold.ledger.position for number, fold in pending.items()}
        events = _read_kept(reading, names.events, positions, event_origin, sources)
        unread = dict.fromkeys(range(states[names.dead_letters].num_partitions), 0)
        letters = _read_kept(reading, names.dead_letters, unread, letter_origin, sources)
        kept = [(events.values(), _retention_ms(states[names.events]))]
        kept += [(letters.values(), _retention_ms(states[names.dead_letters]))]
        _look_for_the_rest(reading, sources, reach(kept, int(time.time() * 1_000)))
    folds = {number: PartitionFolds(pending[number], summaries[number], events[number]) for number in pending}
    return conclude(names.namespace, folds, list(sources.values()))


def _own_topics(bootstrap_servers: str, names: TopicNames) -> dict[str, TopicState]:
    """The topics that the flow writes. Raises TopicMismatch."""
    keyed = (names.events, names.pending, names.summaries)
    states = topic_states(bootstrap_servers, (*keyed, names.dead_letters))
    for name in (*keyed, names.dead_letters):
        if name not in states:
            raise missing_topic(name)
    counts = {name: states[name].num_partitions for name in keyed}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise TopicMismatch(f"the keyed topics must have equally many partitions, and have: {listed}")
    return states


def _committed(bootstrap_servers: str, group: str) -> dict[str, dict[int, int]]:
    """What the consumer group has committed, by topic and partition."""
    with reaching(bootstrap_servers), connect(KafkaAdminClient, bootstrap_servers) as admin:
        found = _group_offsets(admin, bootstrap_servers, group)
    committed: dict[str, dict[int, int]] = {}
    for partition, position in sorted(found.items()):
        if position.offset >= 0:
            committed.setdefault(partition.topic, {})[partition.partition] = position.offset
    return committed


def _group_offsets(admin: Any, bootstrap_servers: str, group: str) -> Mapping[Any, Any]:
    deadline = time.monotonic() + MAX_SILENCE_SECONDS
    while True:
        try:
            offsets: Mapping[Any, Any] = admin.list_group_offsets({group: None})[group]
            return offsets
        except (CoordinatorNotAvailableError, CoordinatorLoadInProgressError, NotCoordinatorError) as error:
            if time.monotonic() > deadline:
                raise BrokerUnreachable(bootstrap_servers) from error
            admin.wait_for_topics(["__consumer_offsets"])  # a broker makes it when it is first asked


def _retention_ms(state: TopicState) -> int | None:
    retention_ms = int(state.configs["retention.ms"])
    return None if retention_ms < 0 else retention_ms


class _Source(NamedTuple):
    """A source partition as origins name it: by the id of its topic."""

    topic_id: str
    partition: int


Sources = Mapping[_Source, SourceFold]


def _sources(reading: _Reading, committed: Mapping[str, Offsets]) -> Sources:
    """The source partitions that were read, from what their retention has left of them; topics that are gone are left out."""
    existing = topic_states(reading.bootstrap_servers, committed) if committed else {}
    ids = topic_ids(reading.bootstrap_servers, existing) if existing else {}
    sources = {}
    for topic, topic_id in sorted(ids.items()):
        for partition, beginning in reading.beginnings(topic, committed[topic]).items():
            bounds = range(beginning, committed[topic][partition])
            sources[_Source(topic_id, partition)] = SourceFold(topic, partition, bounds)
    return sources


def _read_tables(
    reading: _Reading, names: TopicNames, num_partitions: int
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
    return pending, summaries


def _read_kept(
    reading: _Reading, topic: str, positions: Offsets, origin_of: Callable[[bytes | None], Origin | None], sources: Sources
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


def _look_for_the_rest(reading: _Reading, sources: Sources, how_far: Reach) -> None:
    """Read the sources where an origin was not met: there may be no record at that offset."""
    for source in sources.values():
        gap = source.met.gap()
        if gap:
            for record in reading.records(source.topic, {source.partition: gap.start}, {source.partition: gap.stop}):
                source.read(record.offset, record.timestamp, how_far)


class _Reading:
    """One consumer that reads partitions of topics between two offsets, committed records only."""

    def __init__(self, bootstrap_servers: str, watch: Watch) -> None:
        self.bootstrap_servers = bootstrap_servers
        self._watch = watch
        self._consumer: Any = connect(
            KafkaConsumer,
            bootstrap_servers,
            group_id=None,
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_poll_records=_MAX_POLLED_RECORDS,
        )

    def beginnings(self, topic: str, numbers: Iterable[int]) -> dict[int, int]:
        """The first offset that retention has left in each partition."""
        return self._look_up(self._consumer.beginning_offsets, topic, numbers)

    def ends(self, topic: str, numbers: Iterable[int]) -> dict[int, int]:
        """Where each partition ends now."""
        return self._look_up(self._consumer.end_offsets, topic, numbers)

    def _look_up(self, look_up: Callable[..., Mapping[Any, int]], topic: str, numbers: Iterable[int]) -> dict[int, int]:
        partitions = [TopicPartition(topic, number) for number in numbers]
        with reaching(self.bootstrap_servers):
            return {partition.partition: offset for partition, offset in look_up(partitions, timeout_ms=_TIMEOUT_MS).items()}

    def records_since(self, topic: str, starts: Offsets) -> Iterator[Any]:
        """Everything from these offsets up to the end, and then what came meanwhile.

        So that what compaction removes on the way, because something newer has the same key, is replaced by that.
        """
        ends = self.ends(topic, starts)
        yield from self.records(topic, starts, ends)
        yield from self.records(topic, ends, self.ends(topic, ends))

    def records(self, topic: str, starts: Offsets, ends: Offsets) -> Iterator[Any]:
        """The records between these offsets, in order within each partition. Raises BrokerUnreachable."""
        total = sum(ends[number] - start for number, start in starts.items())
        left = {TopicPartition(topic, number): ends[number] for number, start in starts.items() if start < ends[number]}
        self._consumer.assign(list(left))
        self._consumer.resume(*left)  # those of the last reading are assigned as they were left: paused
        for partition in left:
            self._consumer.seek(partition, starts[partition.partition])
        deadline = time.monotonic() + MAX_SILENCE_SECONDS
        while left:
            batches = self._poll(deadline)
            deadline = time.monotonic() + MAX_SILENCE_SECONDS if batches else deadline
            for partition, records in batches.items():
                yield from (record for record in records if record.offset < left[partition])
            left = self._not_finished(left)
            self._watch(topic, total - sum(end - self._consumer.position(partition) for partition, end in left.items()), total)

    def _poll(self, deadline: float) -> Mapping[Any, list[Any]]:
        with reaching(self.bootstrap_servers):
            batches: Mapping[Any, list[Any]] = self._consumer.poll(timeout_ms=500)
        if not batches and time.monotonic() > deadline:
            raise BrokerUnreachable(self.bootstrap_servers)
        return batches

    def _not_finished(self, left: dict[Any, int]) -> dict[Any, int]:
        """The partitions that are still to be read; the others are fetched no more."""
        finished = [partition for partition, end in left.items() if self._consumer.position(partition) >= end]
        self._consumer.pause(*finished)
        return {partition: end for partition, end in left.items() if partition not in finished}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._consumer.close()
