"""Reading topics from one offset to another, as the audit and the dead letters' command line do: no group, no commits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Literal, Self

from kafka import KafkaConsumer, TopicPartition

from prefstream.connection import CONNECT_TIMEOUT_SECONDS, connect, reaching
from prefstream.errors import BrokerUnreachable
from prefstream.reader import MAX_SILENCE_SECONDS
from prefstream.security import Servers

Watch = Callable[[str, int, int], None]
"""Is told, batch by batch, how many offsets of a topic are read and how many there are to read."""

Offsets = Mapping[int, int]  # by partition
Isolation = Literal["read_committed", "read_uncommitted"]

_TIMEOUT_MS = int(CONNECT_TIMEOUT_SECONDS * 1_000)
_MAX_POLLED_RECORDS = 5_000


class TopicReading:
    """One consumer that reads partitions of topics between two offsets; ``watch`` is told how far it is.

    ``isolation`` is Kafka's: with ``read_committed`` a topic ends where the first unfinished transaction begins.
    Raises BrokerUnreachable, here and in every call.
    """

    def __init__(self, bootstrap_servers: Servers, watch: Watch, isolation: Isolation = "read_committed") -> None:
        self.bootstrap_servers = bootstrap_servers
        self._watch = watch
        self._consumer: Any = connect(
            KafkaConsumer,
            bootstrap_servers,
            group_id=None,
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            auto_offset_reset="earliest",
            isolation_level=isolation,
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
