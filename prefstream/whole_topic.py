"""Every partition of a topic, also those that it gets while it is read: below :class:`prefstream.reader.SummaryReader`.

Where a topic gets more partitions, users move from one partition to another with a higher number. So what a partition held when
the reader met it is read before any partition with a higher number: of each user the older records come first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, Literal

from kafka import KafkaConsumer, TopicPartition

from prefstream.connection import CONNECT_TIMEOUT_SECONDS, connect, missing_topic, reaching
from prefstream.security import Servers

Start = Literal["beginning", "now"]

NEW_PARTITIONS_WITHIN_MS = 10_000


class WholeTopic:
    """One consumer without a group; only one thread may use it.

    ``start`` is where the partitions are begun that there are now; those that come later are read whole. ``client_settings``
    are kafka-python's own. Raises BrokerUnreachable, and TopicMismatch if the topic does not exist.
    """

    def __init__(self, bootstrap_servers: Servers, topic: str, start: Start, **client_settings: Any) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topic = topic
        # By partition, up to where it is read before those with a higher number; empty when all of them are read at once.
        self._first: dict[Any, int] = {}
        self._consumer: Any = connect(
            KafkaConsumer,
            bootstrap_servers,
            group_id=None,
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            auto_offset_reset="earliest",
            **{"metadata_max_age_ms": NEW_PARTITIONS_WITHIN_MS} | client_settings,
        )
        try:
            self._begin(start)
        except BaseException:
            self._consumer.close()
            raise

    def _begin(self, start: Start) -> None:
        partitions = self._partitions()
        if not partitions:
            raise missing_topic(self._topic)
        if start == "beginning":
            self._read_whole(partitions, partitions)
            return
        ends = self._ends(partitions)  # looked up at once: kafka-python's own seek_to_end means the end at the first poll
        self._consumer.assign(partitions)
        for partition, end in ends.items():
            self._consumer.seek(partition, end)

    def _partitions(self) -> list[Any]:
        with reaching(self._bootstrap_servers):
            numbers = self._consumer.partitions_for_topic(self._topic)
        return [TopicPartition(self._topic, number) for number in sorted(numbers)]

    def _read_whole(self, new: list[Any], partitions: list[Any]) -> None:
        """Begin the new ones of the partitions at their beginning, behind what those with lower numbers hold now."""
        with reaching(self._bootstrap_servers):
            beginnings = self._consumer.beginning_offsets(new, timeout_ms=_timeout_ms())
        ends = self._ends(partitions)
        self._consumer.assign(partitions)
        for partition, beginning in beginnings.items():
            self._consumer.seek(partition, beginning)
        self._first = dict(ends)
        self._arrange()

    def _arrange(self) -> None:
        """Fetch from the partitions whose turn it is."""
        turn: list[Any] = []
        later: list[Any] = []
        is_behind = False
        for partition in sorted(self._consumer.assignment()):
            (later if is_behind else turn).append(partition)
            is_behind = is_behind or self._consumer.position(partition) < self._first.get(partition, 0)
        self._consumer.pause(*later)
        self._consumer.resume(*turn)
        if not is_behind:
            self._first = {}

    def look(self) -> None:
        """Begin the partitions that the topic has got since; seen ``NEW_PARTITIONS_WITHIN_MS`` later at most."""
        known, partitions = self._consumer.assignment(), self._partitions()
        new = [partition for partition in partitions if partition not in known]
        if new:
            self._read_whole(new, partitions)

    def poll(self, timeout_ms: int) -> list[Any]:
        """What came, in order within each partition; nothing after this time without any."""
        if self._first:
            self._arrange()
        return list(chain.from_iterable(self._consumer.poll(timeout_ms=timeout_ms).values()))

    def ends(self) -> Mapping[Any, int]:
        """Where every partition ends now. Raises BrokerUnreachable."""
        return self._ends(self._consumer.assignment())

    def _ends(self, partitions: Iterable[Any]) -> Mapping[Any, int]:
        with reaching(self._bootstrap_servers):
            ends: Mapping[Any, int] = self._consumer.end_offsets(list(partitions), timeout_ms=_timeout_ms())
        return ends

    def has_reached(self, ends: Mapping[Any, int]) -> bool:
        """Whether everything below these offsets was polled."""
        return all(self._consumer.position(partition) >= end for partition, end in ends.items())

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()


def _timeout_ms() -> int:
    return int(CONNECT_TIMEOUT_SECONDS * 1_000)
