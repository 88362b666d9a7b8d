"""The schedule of a run: which faults come in which episode; decided by a seed alone, so that a run can be played again."""

from __future__ import annotations

import random
from collections.abc import Sequence

from msgspec import Struct

FAULTS_PER_EPISODE = 10


class Plan(Struct, frozen=True):
    """One episode: the names of its faults in order, how many workers it begins with, and the seed of everything in it."""

    number: int
    seed: int
    num_workers: int
    faults: tuple[str, ...]


def schedule(names: Sequence[str], num_faults: int, seed: int) -> tuple[Plan, ...]:
    """Every fault equally often, give or take one, in random order, in episodes of ten."""
    chance = random.Random(seed)
    order: list[str] = []
    while len(order) < num_faults:
        order += chance.sample(names, len(names))
    chosen = order[:num_faults]
    parts = [chosen[start : start + FAULTS_PER_EPISODE] for start in range(0, num_faults, FAULTS_PER_EPISODE)]
    return tuple(
        Plan(number, chance.randrange(1 << 32), chance.choice((1, 2)), tuple(part)) for number, part in enumerate(parts, 1)
    )
