"""What is not worked through yet: how far a consumer group's commits are behind the ends of the topics that it reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition


class Unread:
    """Asks the broker, over connections of its own. Whoever asks meets its errors (KafkaError)."""

    def __init__(self, bootstrap_servers: str, group: str, topics: Sequence[str]) -> None:
        self._group = group
        self._admin = KafkaAdminClient(bootstrap_servers=bootstrap_servers)
        self._consumer = KafkaConsumer(bootstrap_servers=bootstrap_servers)
        self._read = self.partitions(topics)

    def partitions(self, topics: Sequence[str]) -> list[Any]:
        """All partitions of these topics."""
        return [TopicPartition(topic, number) for topic in topics for number in self._consumer.partitions_for_topic(topic)]

    def ends(self, partitions: Sequence[Any]) -> dict[Any, int]:
        """The end of each of these partitions."""
        ends: dict[Any, int] = self._consumer.end_offsets(partitions, timeout_ms=2_000)
        return ends

    def num(self) -> int:
        """How many records the group has not worked through, never too few: commits are asked for before the ends."""
        committed = self._admin.list_group_offsets({self._group: self._read}).get(self._group, {})
        return sum(end - _offset(committed.get(partition)) for partition, end in self.ends(self._read).items())

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()
        self._admin.close()


def _offset(committed: Any) -> int:
    """The committed offset; nothing was committed where it is negative or not there."""
    return max(0, committed.offset) if committed else 0
