"""Directions: many vectors of one person as one, by counting what they say for and against (vectors → **direction** → words).

For each dimension P and N are what says 1 and what says 0, decayed by the vectors since. The direction is
(P - N) / (P + N + k), the confidence 1 - k / (P + N + k). A vector that says nothing of a dimension adds nothing and dilutes
nothing, however many there are, and what cancels out is nobody's preference. (The published mean asks for 20 net votes of 100,
and turns a history that cancels in every dimension into 90 dislikes.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from evaluation.space import NUM_DIMENSIONS, UNKNOWN, State


class BridgePolicy(Struct, frozen=True):
    """How counts become a direction, and what of it is told.

    After ``half_life`` further vectors one counts half. ``prior`` is k. Told is what leans by ``least_lean`` of 0 to 1 or more,
    with ``least_evidence`` counted: half a vector, so that a single one is told for one half-life.
    """

    half_life: float = 50.0
    prior: float = 1.0
    least_lean: float = 0.2
    least_evidence: float = 0.5


DEFAULT_POLICY = BridgePolicy()


class Counted(Struct, frozen=True):
    """What was counted so far: for each dimension how much says 1, and how much says 0."""

    ones: tuple[float, ...] = (0.0,) * NUM_DIMENSIONS
    zeros: tuple[float, ...] = (0.0,) * NUM_DIMENSIONS


class Leaning(Struct, frozen=True):
    """One dimension of a person: direction -1 to 1, confidence 0 to 1, and what they rest on."""

    direction: float
    confidence: float
    evidence: float


def count(counted: Counted, vectors: Iterable[Sequence[float]], policy: BridgePolicy = DEFAULT_POLICY) -> Counted:
    """The counts with the vectors added, oldest first; a vector has 0, 0.5 or 1 for each dimension, 0.5 for nothing."""
    kept = 0.5 ** (1.0 / policy.half_life)
    ones, zeros = counted.ones, counted.zeros
    for vector in vectors:
        ones = tuple(before * kept + (value > UNKNOWN) for before, value in zip(ones, vector, strict=True))
        zeros = tuple(before * kept + (value < UNKNOWN) for before, value in zip(zeros, vector, strict=True))
    return Counted(ones, zeros)


def leanings(counted: Counted, policy: BridgePolicy = DEFAULT_POLICY) -> tuple[Leaning, ...]:
    """The person, a leaning for each dimension."""
    return tuple(_leaning(ones, zeros, policy.prior) for ones, zeros in zip(counted.ones, counted.zeros, strict=True))


def _leaning(ones: float, zeros: float, prior: float) -> Leaning:
    evidence = ones + zeros
    return Leaning((ones - zeros) / (evidence + prior), evidence / (evidence + prior), evidence)


def states_of(counted: Counted, policy: BridgePolicy = DEFAULT_POLICY) -> tuple[State, ...]:
    """What is told of each dimension: 1, 0, or None for what is unknown or cancels out."""
    return tuple(_state(leaning, policy) for leaning in leanings(counted, policy))


def _state(leaning: Leaning, policy: BridgePolicy) -> State:
    if leaning.evidence < policy.least_evidence or abs(leaning.direction) < policy.least_lean:
        return None
    return 1 if leaning.direction > 0 else 0
