"""What the topics take: bytes a second that are written at the peak, and bytes that lie on the brokers.

Place: load → **kafka** → plan. The platform's own topics are not reckoned: they are there already.
"""

from __future__ import annotations

from collections.abc import Mapping

from prefstream.capacity import figures as f
from prefstream.capacity.demand import Demand
from prefstream.capacity.load import DAY_SECONDS, Load
from prefstream.capacity.needs import Need
from prefstream.capacity.numbers import human_bytes
from prefstream.topics import DAY_MS, HOUR_MS

KEYED_TOPICS = 5  # events, pending, history, summaries, receipts
OTHER_TOPICS = 2  # inbox, replays: as many partitions

# A segment, the longest lag of the compaction, and for pending the time that a tombstone stays.
_PENDING_SECONDS = 3 * HOUR_MS / 1_000
_TABLE_SECONDS = 2 * DAY_MS / 1_000


def written(demand: Demand, load: Load) -> Mapping[str, float]:
    """Bytes a second by topic, on average, one copy."""
    event, scale = demand.event_bytes / f.PUBLISHED_EVENT_BYTES.value, demand.summary_bytes / f.SUMMARY_BYTES.value
    ids = f.RECENT_IDS_BYTES.value if demand.event_ids else 0.0
    return {
        "events": load.events * f.EVENTS_LOG_BYTES.value * event,
        "pending": load.events * f.PENDING_LOG_BYTES.value * event + load.flushes * ids,
        "history": load.flushes * f.VERSION_BYTES.value * scale,
        "summaries": load.flushes * demand.summary_bytes,
    }


def stored(demand: Demand, load: Load) -> Mapping[str, float]:
    """Bytes by topic, one copy, when every user has all kept versions."""
    rates = written(demand, load)
    ids = f.RECENT_IDS_BYTES.value if demand.event_ids else 0.0
    summaries = demand.users * demand.summary_bytes
    versions = summaries * f.VERSION_BYTES.value / f.SUMMARY_BYTES.value * f.KEPT_VERSIONS.value
    return {
        "events": rates["events"] * demand.retention_days * DAY_SECONDS,
        "pending": demand.users * ids + rates["pending"] * _PENDING_SECONDS,
        "history": versions + _dirty(versions, f.HISTORY_DIRTY.value, rates["history"]),
        "summaries": summaries + _dirty(summaries, f.SUMMARIES_DIRTY.value, rates["summaries"]),
    }


def _dirty(live: float, ratio: float, rate: float) -> float:
    """What newer records replaced and no compaction took: up to the ratio, or what is written in the longest lag."""
    return min(live * ratio / (1 - ratio), rate * _TABLE_SECONDS)


def kafka_needs(demand: Demand, load: Load) -> list[Need]:
    """Bytes a second and bytes, all copies."""
    rates, sizes = written(demand, load), stored(demand, load)
    copies = f"{demand.replication:g} copies; "
    return [
        Need(
            "Kafka",
            "written_bytes",
            sum(rates.values()) * load.peak * demand.replication,
            "B/s",
            copies + _by_topic({name: rate * load.peak for name, rate in rates.items()}, "/s"),
            "measured",
        ),
        Need("Kafka", "stored_bytes", sum(sizes.values()) * demand.replication, "B", copies + _by_topic(sizes, ""), "measured"),
    ]


def _by_topic(amounts: Mapping[str, float], per: str) -> str:
    largest = sorted(amounts, key=lambda name: -amounts[name])
    return "one: " + ", ".join(f"{name} {human_bytes(amounts[name])}{per}" for name in largest)
