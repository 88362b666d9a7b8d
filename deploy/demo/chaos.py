"""Chaos: when the worker is killed (kill -9), and which time it loses its disk; decided before the start, from a seed."""

from __future__ import annotations

import random

from msgspec import Struct

NUM_KILLS = 3
# In the middle: there is something to lose, and something still to come.
_FROM, _TO = 0.12, 0.9


class Kill(Struct, frozen=True):
    """One kill -9, ``due_seconds`` after the start of the replay; ``loses_disk``: its data directory is thrown away."""

    due_seconds: float
    loses_disk: bool


def kills(seed: int, seconds: float) -> tuple[Kill, ...]:
    """Three kills at random moments, one in each third of the middle of the replay; one of them loses its disk."""
    chance = random.Random(seed)
    third = (_TO - _FROM) * seconds / NUM_KILLS
    dues = [_FROM * seconds + (number + chance.random()) * third for number in range(NUM_KILLS)]
    unlucky = chance.randrange(NUM_KILLS)
    return tuple(Kill(due, number == unlucky) for number, due in enumerate(dues))
