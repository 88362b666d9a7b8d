"""Erasure: by when what was deleted on a topic, or is only left to its retention, is gone for good.

Place in the flow: what a receipt of `forget` says, and what ``prefstream audit --user`` compares with what it still finds.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

_LOOK_MS = 5 * 60_000  # how often a broker looks which segments are to go (log.retention.check.interval.ms)


def kept_until(configs: Mapping[str, Mapping[str, str]], now: datetime) -> dict[str, datetime | None]:
    """By when the last copy that lies on each topic now is gone at the latest, given the topics' configurations.

    ``None`` where nothing ends it. A record that a newer one replaced stays until the next compaction, and the tombstone with
    its key for another while. What retention ends goes with the segment it lies in, when the newest record there is of age.
    """
    return {topic: _until(config, now) for topic, config in configs.items()}


def _until(config: Mapping[str, str], now: datetime) -> datetime | None:
    policies, ends = config["cleanup.policy"].split(","), []
    if "compact" in policies:
        lag_ms = int(config["max.compaction.lag.ms"])
        ends.append(2 * lag_ms + int(config["delete.retention.ms"]))
    if "delete" in policies and int(config["retention.ms"]) >= 0:
        ends.append(int(config["retention.ms"]) + int(config["segment.ms"]))
    if not ends or min(ends) > 100 * 365 * 86_400_000:
        return None
    return now + timedelta(milliseconds=min(ends) + _LOOK_MS)
