"""Spread: over how many partitions users are spread, as workers commit it, and whether that fits the topics as they are.

Place in the flow: asked before a worker starts, before it goes on after a rebalance, and before an audit. Kafka can give a
topic more partitions at any moment; every key then belongs to another partition, and what was kept of it lies in the old one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from prefstream.sources import Mark
from prefstream.topics import TopicNames


class Spread(Struct, frozen=True):
    """``num_partitions`` of the keyed topics have users, 0 where nobody has committed that yet.

    ``moving_to`` is not 0 while users are being moved to so many.
    """

    num_partitions: int = 0
    moving_to: int = 0


def spread_of(marks: Iterable[Mark]) -> Spread:
    """What the marks of the events topic say: workers of before may have committed in the others without saying it."""
    marks = list(marks)
    return Spread(max((one.num_partitions for one in marks), default=0), max((one.moving_to for one in marks), default=0))


def why_unfit(namespace: str, spread: Spread, counts: Mapping[str, int]) -> str | None:
    """Why nobody may work on keyed topics with these numbers of partitions, with the fix; None where somebody may."""
    if spread.moving_to:
        return (
            f"users of {namespace} are being moved from {spread.num_partitions} to {spread.moving_to} partitions, and that is "
            f"not finished: run `python -m agents.repartition --partitions {spread.moving_to}`, which goes on where it ended"
        )
    known = spread.num_partitions or min(counts.values())
    others = [f"{topic} has {count}" for topic, count in counts.items() if count != known]
    if not others:
        return None
    if TopicNames(namespace).shadow_of:
        return (
            f"the shadow {namespace} has {known} partitions, and {', '.join(others)}: discard it, and begin a new one "
            "(`prefstream rebuild`)"
        )
    most = max(counts.values())
    fix = known * -(-most // known)
    return (
        f"the keyed topics must have equally many partitions, as many as users are spread over. That is {known}, and "
        f"{', '.join(others)}: somebody changed that. Users would lose their summaries and their order, and Kafka takes no "
        f"partition back: stop all workers, and run `python -m agents.repartition --partitions {fix}`"
    )
