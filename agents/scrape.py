"""What is measured at a scrape: what waits, what is unread, how replicas and the disk stand.

Place in the flow: beside :mod:`agents.metrics`, on the same registry. It is read from where it is true when it is asked for,
so a worker that hangs cannot show a stale number; what is not known then is left out, and not told as 0.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agents.clock import now_ms
from agents.tenant_metrics import TenantLabels, Tenants
from model_server.breaker import BreakerState
from model_server.replicas import Standing
from streams.backpressure import Weight
from streams.budgets import Budgets, Pool
from streams.pending import PendingIndex


class Waiting(Collector):
    """What waits right now: computed at each scrape from the indexes of the owned partitions, ``None`` while they are unknown.

    They are in a rebalance, and until the tables are recovered.
    """

    def __init__(self, indexes: Callable[[], Iterable[PendingIndex] | None], num_in_flight: Callable[[], int]) -> None:
        self._indexes = indexes
        self._num_in_flight = num_in_flight

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges. The oldest age is 0 when nothing waits."""
        meaning = "Users whose model call runs or whose answer is being stored."
        yield GaugeMetricFamily("prefstream_users_in_flight", meaning, value=self._num_in_flight())
        found = self._indexes()
        indexes = None if found is None else list(found)
        for name, meaning, measured in _WAITING:
            yield GaugeMetricFamily(
                f"prefstream_{name}",
                f"{meaning} Absent in a rebalance and a recovery, when it is not known.",
                value=None if indexes is None else measured(indexes),
            )


def _bytes_of(indexes: Iterable[PendingIndex]) -> int:
    weight = sum((index.weight for index in indexes), Weight())
    return weight.ordinary_bytes + weight.surplus_bytes


def _oldest_age_seconds(indexes: Iterable[PendingIndex]) -> float:
    oldest = min(filter(None, (index.oldest_arrived_at_ms() for index in indexes)), default=None)
    return max(0.0, (now_ms() - oldest) / 1_000) if oldest is not None else 0.0


_WAITING: tuple[tuple[str, str, Callable[[Sequence[PendingIndex]], float]], ...] = (
    ("owned_partitions", "Partitions of which this worker is the owner.", len),
    ("pending_users", "Users with pending events.", lambda indexes: sum(index.num_users for index in indexes)),
    ("pending_events", "Events stored and not yet in a summary.", lambda indexes: sum(index.num_events for index in indexes)),
    ("pending_bytes", "Memory that pending events take, as the gates estimate it.", _bytes_of),
    (
        "pending_oldest_age_seconds",
        "Age of the oldest pending event since it arrived; 0 when nothing waits.",
        _oldest_age_seconds,
    ),
)


class Ownership(Collector):
    """What was pending when partitions came and went: with it the accounting of one worker's events is exact."""

    def __init__(self, num_restored: Callable[[], int], num_released: Callable[[], int]) -> None:
        self._num_restored = num_restored
        self._num_released = num_released

    def collect(self) -> Iterator[Metric]:
        """The counters."""
        meaning = "Pending events that this worker found in the tables of partitions when it became their owner."
        yield CounterMetricFamily("prefstream_restored_events", meaning, value=self._num_restored())
        meaning = "Events that were pending in partitions when this worker gave them up."
        yield CounterMetricFamily("prefstream_released_events", meaning, value=self._num_released())


class Disk(Collector):
    """What the tables take on this worker's disk, and what is left of it."""

    def __init__(self, sizes: Callable[[], Mapping[str, int]], directory: Path) -> None:
        self._sizes = sizes
        self._directory = directory

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges; those of the disk are left out where the directory is not there."""
        meaning = "What RocksDB keeps of a table in this worker, on disk and in memory that is not written yet."
        stores = GaugeMetricFamily("prefstream_store_bytes", meaning, labels=["table"])
        for table, size in self._sizes().items():
            stores.add_metric([table], size)
        free = GaugeMetricFamily("prefstream_disk_free_bytes", "What is left of the disk with the tables, to this worker.")
        total = GaugeMetricFamily("prefstream_disk_size_bytes", "How large the disk with the tables is.")
        with suppress(OSError):
            usage = shutil.disk_usage(self._directory)
            free.add_metric([], usage.free)
            total.add_metric([], usage.total)
        yield from (stores, free, total)


class RecoveryTime(Collector):
    """How long a running recovery will still take."""

    def __init__(self, seconds_left: Callable[[], float | None]) -> None:
        self._seconds_left = seconds_left

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauge."""
        meaning = "How long a running recovery still takes at its speed so far; absent when none runs, or none reads yet."
        yield GaugeMetricFamily("prefstream_recovery_seconds_left", meaning, value=self._seconds_left())


class ErasureTime(Collector):
    """How long somebody who was forgotten has been waiting for it to be done."""

    def __init__(self, oldest_age_seconds: Callable[[], float]) -> None:
        self._oldest_age_seconds = oldest_age_seconds

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauge."""
        meaning = "How long the oldest forget without a receipt has been under way in this worker; 0 when none is."
        yield GaugeMetricFamily("prefstream_erasing_seconds", meaning, value=self._oldest_age_seconds())


class Unread(Collector):
    """What lies on the topics and is not read yet, by topic; a topic of which that is not known is left out."""

    def __init__(self, num_unread: Callable[[], Mapping[str, int]]) -> None:
        self._num_unread = num_unread

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauge."""
        meaning = (
            "Offsets of a topic that this worker reads and has not read yet, looked up every few seconds. A transaction's "
            "marker is one: where a transaction wrote last, 1 is left for each partition, as on the topic of replays."
        )
        family = GaugeMetricFamily("prefstream_unread_records", meaning, labels=["topic"])
        for topic, number in self._num_unread().items():
            family.add_metric([topic], number)
        yield family


class Standings(Collector):
    """How each replica of the model stands, by its number in the order of the addresses."""

    def __init__(self, standings: Callable[[], Sequence[Standing]]) -> None:
        self._standings = standings

    def collect(self) -> Iterator[Metric]:
        """The gauges, and a counter."""
        meaning = "Of a replica's states its own is 1: closed, open (no calls), half_open (a canary asks if it is back)."
        states = GaugeMetricFamily("prefstream_replica_states", meaning, labels=["replica", "state"])
        meaning = "Calls that a replica was sent and has not answered."
        in_flight = GaugeMetricFamily("prefstream_replica_calls_in_flight", meaning, labels=["replica"])
        meaning = "How many calls a replica may have in flight, as it has shown."
        places = GaugeMetricFamily("prefstream_replica_places", meaning, labels=["replica"])
        meaning = "Canaries that a replica did not answer."
        canaries = CounterMetricFamily("prefstream_replica_failed_canaries", meaning, labels=["replica"])
        for one in self._standings():
            number = str(one.number)
            for state in get_args(BreakerState):
                states.add_metric([number, state], one.state == state)
            in_flight.add_metric([number], one.num_in_flight)
            places.add_metric([number], one.capacity)
            canaries.add_metric([number], one.num_failed_canaries)
        yield from (states, in_flight, places, canaries)


def at_a_scrape() -> list[Collector]:
    """The collectors as of a worker that owns nothing: for what must know every name."""
    return [
        Waiting(list, lambda: 0),
        Ownership(lambda: 0, lambda: 0),
        Unread(dict),
        Standings(list),
        Disk(dict, Path()),
        RecoveryTime(lambda: None),
        ErasureTime(lambda: 0),
        Tenants(TenantLabels(), list, lambda: Pool(Budgets(), 0, (), 0)),
    ]
