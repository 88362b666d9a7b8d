"""Intervals: how sure a figure is, when people and not questions are what was drawn (grading → **intervals** → report)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

RESAMPLES = 2_000
LEVEL = 95.0


class Interval(Struct, frozen=True):
    """A mean in percent (a difference: in points) with its 95 % interval: ``num_pairs`` questions about ``num_users``."""

    mean: float
    low: float
    high: float
    num_pairs: int
    num_users: int


def interval(right: NDArray[np.float64], users: Sequence[str], seed: int) -> Interval:
    """The mean of ``right`` in percent, every question counting the same; users are resampled, with all their questions."""
    names, places = np.unique(np.asarray(users, dtype=object).astype(str), return_inverse=True)
    sums, counts = np.bincount(places, weights=right), np.bincount(places)
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    means = 100.0 * (drawn @ sums) / (drawn @ counts)
    low, high = np.percentile(means, [(100.0 - LEVEL) / 2, (100.0 + LEVEL) / 2])
    return Interval(float(100.0 * right.mean()), float(low), float(high), len(right), len(names))


def difference(ours: NDArray[np.float64], theirs: NDArray[np.float64], users: Sequence[str], seed: int) -> Interval:
    """How many points ``ours`` are above ``theirs``, answers to the same questions in the same order."""
    return interval(ours - theirs, users, seed)
