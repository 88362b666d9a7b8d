"""The figures that a plan rests on, each with where it is from: measured by us, published by others, or assumed.

Place: below the plan. ``tests/prefstream/test_capacity_figures.py`` holds each measured one against the committed results
of its benchmark, so that a benchmark that is run again changes the plan, or fails there.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Basis = Literal["measured", "follows", "published", "assumed", "given"]


class Figure(Struct, frozen=True):
    """A number, what it rests on, and where that can be looked up."""

    value: float
    basis: Basis
    source: str


def _measured(value: float, benchmark: str) -> Figure:
    return Figure(value, "measured", f"benchmarks/results/{benchmark}.json")


def _coded(value: float, module: str) -> Figure:
    return Figure(value, "measured", module)


# What a worker spends, beyond idling, on an event and on a call (seconds of CPU); an event with a million users' state.
EVENT_CPU_SECONDS = _measured(0.000204, "footprint")
CALL_CPU_SECONDS = _measured(0.00202, "footprint")
STATE_FACTOR = _measured(1.2, "recovery")
IDLE_CPU_SHARE = _measured(0.02, "footprint")

# Memory of a worker (MiB): with nothing in it, what a million users' state adds in RocksDB's caches, and a partition.
IDLE_MIB = _measured(191, "footprint")
STATE_MIB = _measured(167, "recovery")
PARTITION_MIB = _measured(0.784, "footprint")

# Of who waits, and of what waits (bytes): the worker's own reckoning, by which its gates close.
USER_BYTES = _coded(1_350, "streams/backpressure.py")
EVENT_BYTES = _coded(35, "streams/backpressure.py")
ID_BYTES = _coded(135, "streams/backpressure.py")
RECENT_IDS = _coded(256, "streams/records.py")
ORDINARY_PART = _coded(2 / 3, "streams/backpressure.py")

# A worker that comes back without a disk: changelog records a second, of so many bytes.
RECOVERY_RECORDS_PER_SECOND = _measured(78_256, "recovery")
RECOVERY_RECORD_BYTES = _measured(1_411, "recovery")

# Bytes on the logs of the topics, batches' own included: an event of so many bytes, and what it becomes; a version.
PUBLISHED_EVENT_BYTES = _measured(226, "footprint")
EVENTS_LOG_BYTES = _measured(270, "footprint")
PENDING_LOG_BYTES = _measured(305, "footprint")
RECENT_IDS_BYTES = _measured(9_740, "footprint")
SUMMARY_BYTES = _measured(2_842, "footprint")
VERSION_BYTES = _measured(2_618, "footprint")
KEPT_VERSIONS = _coded(20, "prefstream/history.py")
EVENT_TOKENS = _measured(39.8, "footprint")

# RocksDB's files, compacted, ÷ the rows in them; while it compacts it needs room for the old ones too.
PENDING_FILES = _measured(1.02, "footprint")
HISTORY_FILES = _measured(0.522, "footprint")
SUMMARIES_FILES = _measured(0.652, "footprint")
COMPACTION_ROOM = Figure(1.5, "assumed", "levelled compaction; not measured with our rows")

# A log is compacted when so much of it is dirty, or after the lag: between, it holds versions that newer ones replaced.
SUMMARIES_DIRTY = Figure(0.1, "follows", "min.cleanable.dirty.ratio of the topic")
HISTORY_DIRTY = Figure(0.5, "follows", "Kafka's default of min.cleanable.dirty.ratio")

# Kafka's own generic advice, which it does not enforce.
PARTITIONS_PER_BROKER = Figure(4_000, "published", "KIP-578")
PARTITIONS_PER_CLUSTER = Figure(200_000, "published", "KIP-578")
