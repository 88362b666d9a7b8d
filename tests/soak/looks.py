"""Looks: what is seen of a worker's process, of the consumer group and of the broker's disk, from outside, at one moment.

What cannot be seen then is None, and not 0: a process that is gone, a worker that does not answer or is in a rebalance, a
broker that is away. Linux: a process is seen through ``/proc``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError
from msgspec import Struct

from tests.chaos.fleet import Supervised
from tests.kafka.balance import scraped, unaccounted
from tests.kafka.worker_process import get

MIB = 1 << 20
_ANSWER_MS = 3_000


class Look(Struct, frozen=True, array_like=True):
    """One worker. ``pid`` tells one life from the next.

    ``rss_mib``, ``num_handles`` and ``num_threads`` are the process's; ``disk_mib`` is what its tables take, as files;
    ``oldest_seconds`` is the age of its oldest pending event, ``unaccounted`` the events that it cannot account for.
    """

    worker: str
    pid: int
    rss_mib: float
    num_handles: int
    num_threads: int
    disk_mib: float
    num_pending: int | None = None
    oldest_seconds: float | None = None
    unaccounted: int | None = None


class Sample(Struct, frozen=True, array_like=True):
    """Everything at one moment, seconds after the run began.

    ``num_unread``: records of the sources and of the events topic that the group has not committed; ``broker_mib``: its log.
    ``load`` is the machine's, over a minute: whatever else runs there, the workers share it with.
    """

    at_seconds: float
    looks: tuple[Look, ...]
    num_unread: int | None
    broker_mib: float
    load: float


def look_at(worker: Supervised) -> Look | None:
    """One look at a worker; None when it has no process, or none any more."""
    pid = worker.pid
    process = Path("/proc") / str(pid)
    try:
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        num_handles = len(os.listdir(process / "fd"))
        rss_mib = int(status["VmRSS"].split()[0]) / 1_024
    except (OSError, KeyError):  # it is gone, or dead and not yet buried
        return None
    found = scraped(get(worker.port, "/metrics")[1])
    num_pending, oldest = found.get(("pending_events", "")), found.get(("pending_oldest_age_seconds", ""))
    return Look(
        worker=worker.name,
        pid=pid,
        rss_mib=round(rss_mib, 2),
        num_handles=num_handles,
        num_threads=int(status["Threads"]),
        disk_mib=round(size_of(worker.disk) / MIB, 2),
        num_pending=None if num_pending is None else int(num_pending),
        oldest_seconds=None if oldest is None else round(oldest, 2),
        unaccounted=unaccounted(found),
    )


def size_of(folder: Path) -> int:
    """The bytes of all files below; what goes while it is looked at is not there.

    Kafka's indexes are longer than what they take, and RocksDB has more taken than it has written: the less of both counts.
    """
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                found = os.stat(os.path.join(path, name))
                total += min(found.st_size, 512 * found.st_blocks)
    return total


class Group:
    """The consumer group of the workers, as the broker sees it."""

    def __init__(self, bootstrap_servers: str, group: str, topics: Sequence[str]) -> None:
        self._group = group
        self._admin: Any = KafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=_ANSWER_MS)
        self._partitions = [
            TopicPartition(topic["name"], partition["partition_index"])
            for topic in self._admin.describe_topics(list(topics))
            for partition in topic["partitions"]
        ]

    def num_unread(self) -> int | None:
        """How many records of the topics the group has not committed; None while the broker does not say.

        One that has just started knows of no commit at all, until it has read its own log.
        """
        try:
            ends = self._admin.list_partition_offsets(dict.fromkeys(self._partitions, OffsetSpec.LATEST))
            committed = self._admin.list_group_offsets({self._group: None})[self._group]
        except KafkaError:
            return None
        if not committed:
            return None
        read = {place: max(0, found.offset) for place, found in committed.items()}
        unread: int = sum(max(0, end.offset - read.get(place, 0)) for place, end in ends.items())
        return unread

    def close(self) -> None:
        """Disconnect."""
        self._admin.close()
