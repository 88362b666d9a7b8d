"""How many workers, and why: CPU, memory, disk and recovery each ask for some, the largest binds; partitions for them.

Place: load → **workers** → plan.
"""

from __future__ import annotations

import math

from msgspec import Struct

from prefstream.capacity import figures as f
from prefstream.capacity.demand import Demand
from prefstream.capacity.figures import Basis
from prefstream.capacity.kafka import KEYED_TOPICS, OTHER_TOPICS
from prefstream.capacity.load import Load
from prefstream.capacity.needs import Need, whole
from prefstream.capacity.numbers import human, human_bytes, human_seconds, human_share
from prefstream.topics import DEFAULT_NUM_PARTITIONS, NUM_DEAD_LETTER_PARTITIONS

MIB, GIB = 2.0**20, 2.0**30
LAST_GATE = 1.25  # collect's, streams/backpressure.py
AHEAD = 1.25  # calls that a worker begins, to those that the replicas take; agents/dispatch.py


class Bound(Struct, frozen=True):
    """How many workers one reason asks for, before they are rounded up."""

    name: str
    workers: float
    because: str
    basis: Basis


def worker_bounds(demand: Demand, load: Load) -> tuple[Bound, ...]:
    """How many workers each reason asks for; the largest binds."""
    return (_by_cpu(demand, load), _by_memory(demand, load), _by_disk(demand), _by_recovery(demand))


def _by_cpu(demand: Demand, load: Load) -> Bound:
    events = load.events * load.peak * f.EVENT_CPU_SECONDS.value * f.STATE_FACTOR.value
    calls = load.flushes * load.peak * f.CALL_CPU_SECONDS.value
    because = f"{human(events)} cores for events, {human(calls)} for flushes, {human_share(demand.utilisation)} of a core each"
    return Bound("CPU", (events + calls) / (demand.utilisation - f.IDLE_CPU_SHARE.value), because, "measured")


def _by_memory(demand: Demand, load: Load) -> Bound:
    waiting = load.waiting_bytes(demand.event_ids)
    room = demand.pending_mib * MIB * f.ORDINARY_PART.value * demand.utilisation
    ids = ", each with the newest 256 ids" if demand.event_ids else ""
    because = f"{human(load.waiting_users)} people wait{ids}: {human_bytes(waiting)}, {human_bytes(room)} a worker"
    return Bound("memory", waiting / room, because, "measured")


def user_bytes(demand: Demand) -> float:
    """What RocksDB's files hold of a user who has all kept versions."""
    scale = demand.summary_bytes / f.SUMMARY_BYTES.value
    ids = f.RECENT_IDS_BYTES.value * f.PENDING_FILES.value if demand.event_ids else 0.0
    versions = f.KEPT_VERSIONS.value * f.VERSION_BYTES.value * scale * f.HISTORY_FILES.value
    return demand.summary_bytes * f.SUMMARIES_FILES.value + versions + ids


def _by_disk(demand: Demand) -> Bound:
    each = user_bytes(demand) * f.COMPACTION_ROOM.value
    room = demand.disk_gib * GIB * demand.utilisation
    because = f"{human_bytes(each)} a user, kept versions and room to compact included; {demand.disk_gib:g} GiB a worker"
    return Bound("disk", demand.users * each / room, because, "assumed")


def recovery_bytes(demand: Demand) -> tuple[float, float]:
    """Records and bytes of a user that a worker without a disk reads before it is ready; history comes after."""
    ids = f.RECENT_IDS_BYTES.value if demand.event_ids else 0.0
    dirty = 1 + f.SUMMARIES_DIRTY.value
    return dirty * (2 if demand.event_ids else 1), dirty * (demand.summary_bytes + ids)


def users_recovered_per_second(demand: Demand) -> float:
    """By one worker: as many records a second as were measured, and no more bytes than those had."""
    records, size = recovery_bytes(demand)
    rate = f.RECOVERY_RECORDS_PER_SECOND.value
    return min(rate / records, rate * f.RECOVERY_RECORD_BYTES.value / size)


def _by_recovery(demand: Demand) -> Bound:
    rate = users_recovered_per_second(demand)
    because = f"without its disk a worker reads {human(rate)} users a second, and is to be ready in " + human_seconds(
        demand.recovery_seconds
    )
    return Bound("recovery", demand.users / (rate * demand.recovery_seconds), because, "measured")


def worker_needs(demand: Demand, load: Load, bounds: tuple[Bound, ...], replicas: int) -> list[Need]:
    """How many workers, in how many installations, with how many partitions; and what each has to hold."""
    needed = max(1, *(whole(bound.workers) for bound in bounds))
    installations = whole(needed / max(1, demand.largest_group - demand.spare_workers))
    workers = needed + installations * int(demand.spare_workers)
    binding = max(bounds, key=lambda bound: bound.workers)
    because = f"{binding.name} binds; of each installation {demand.spare_workers:g} to spare"
    return [
        *(Need("workers", f"by_{one.name.lower()}", one.workers, "", one.because, one.basis) for one in bounds),
        Need("workers", "workers", workers, "", because, binding.basis),
        _memory(demand),
        _in_flight(demand, load, needed, replicas),
        *_partition_needs(demand, workers, installations),
    ]


def _memory(demand: Demand) -> Need:
    state = f.IDLE_MIB.value + f.STATE_MIB.value
    memory = state + demand.growth * f.PARTITION_MIB.value + demand.pending_mib * LAST_GATE
    because = f"{human(state)} with state, and PREFSTREAM_MAX_PENDING_MIB until the last gate closes"
    return Need("workers", "worker_mib", memory, "MiB each", because, "measured")


def _in_flight(demand: Demand, load: Load, needed: int, replicas: int) -> Need:
    engine = demand.engine
    may_have = replicas * engine.capacity * AHEAD
    because = (
        f"{human(load.calls_in_flight)} in all: calls a second × their seconds; a worker may have {human(may_have)}, the "
        f"replicas have {human(replicas * engine.places)} places"
    )
    return Need("workers", "calls_in_flight", load.calls_in_flight / needed, "each", because, engine.basis)


def _partition_needs(demand: Demand, workers: int, installations: int) -> list[Need]:
    per_installation = max(DEFAULT_NUM_PARTITIONS, math.ceil(workers / installations) * demand.growth)
    partitions = 1 << math.ceil(math.log2(per_installation))
    replicas = ((KEYED_TOPICS + OTHER_TOPICS) * partitions + NUM_DEAD_LETTER_PARTITIONS) * demand.replication * installations
    users = demand.users / (partitions * installations)
    return [
        Need(
            "workers",
            "installations",
            installations,
            "",
            f"of at most {demand.largest_group:g} workers: a larger group is not measured",
            "assumed",
        ),
        Need(
            "workers",
            "partitions",
            partitions,
            "each",
            f"{demand.growth:g} for each worker, as a power of two: as many workers as partitions can ever work",
            "assumed",
        ),
        Need(
            "workers",
            "partition_recovery_seconds",
            users / users_recovered_per_second(demand),
            "s",
            f"of one partition, with {human(users)} users",
            "measured",
        ),
        Need(
            "Kafka",
            "partition_replicas",
            replicas,
            "",
            f"at most {human(f.PARTITIONS_PER_BROKER.value)} a broker: {math.ceil(replicas / f.PARTITIONS_PER_BROKER.value)} "
            f"or more ({f.PARTITIONS_PER_BROKER.source})",
            "published",
        ),
    ]
