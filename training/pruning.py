"""S1, pruning: the questions that a history answers and popularity does not, two for each person (S0 → **S1** → S4).

A question is told by its *gap*, log p1 - log p0: what knowing the history adds. Only people to train on are pruned; whoever
prunes questions of an evaluation by their labels measures the pruning (55.4 became 76.8 here). The same number drawn at
random is the control. Source: AlignXplore+, pruning; its thresholds were never published.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter

from msgspec import Struct

MIN_HISTORY = 4


class Scored(Struct, frozen=True):
    """One question as S0 has scored it: ``after`` so many of the person's events, ``place`` among their questions there.

    ``log_p0`` is the log probability of the right answer without the history, ``log_p1`` with it.
    """

    user: str
    after: int
    place: int
    log_p0: float
    log_p1: float

    @property
    def gap(self) -> float:
        """What the history adds, in nats."""
        return self.log_p1 - self.log_p0


class Thresholds(Struct, frozen=True):
    """What is kept: the ``top_share`` by gap, of these what is right with ``least_p``, of these a band, of these the people.

    ``band`` is (from, to), shares of the questions in order of p1, the surest first: (0.0, 0.1) are the easiest tenth; (0, 1)
    keeps all. A person keeps at least ``min_targets`` questions or none.
    """

    top_share: float = 0.5
    least_p: float = 0.7
    band: tuple[float, float] = (0.0, 1.0)
    min_targets: int = 4


def prune(scored: Sequence[Scored], thresholds: Thresholds) -> list[Scored]:
    """The questions worth training on, by person and in order of time."""
    telling = sorted(scored, key=_most_telling)[: round(len(scored) * thresholds.top_share)]
    solvable = sorted((one for one in telling if one.log_p1 >= math.log(thresholds.least_p)), key=_surest)
    first, last = (round(len(solvable) * share) for share in thresholds.band)
    return [one for group in _by_person(solvable[first:last]) if len(group) >= thresholds.min_targets for one in group]


def draw_control(scored: Sequence[Scored], num_questions: int, seed: int) -> list[Scored]:
    """As many questions drawn at random: what pruning has to beat."""
    drawn = random.Random(seed).sample(list(scored), min(num_questions, len(scored)))
    return [one for group in _by_person(drawn) for one in group]


def pick_two(targets: Sequence[Scored]) -> tuple[Scored, Scored] | None:
    """Of one person's kept questions the most telling two that two updates can stand between, the earlier one first.

    There is something before the first, at least two events between them, and at least ``MIN_HISTORY`` before the second.
    """
    ranked = sorted(targets, key=_most_telling)
    for index, one in enumerate(ranked):
        for other in ranked[index + 1 :]:
            early, late = sorted((one, other), key=attrgetter("after"))
            if early.after >= 1 and late.after - early.after >= 2 and late.after >= MIN_HISTORY:
                return early, late
    return None


def people_of(scored: Iterable[Scored]) -> dict[str, list[Scored]]:
    """The questions of each person, in order of time."""
    return {group[0].user: group for group in _by_person(scored)}


def _by_person(scored: Iterable[Scored]) -> list[list[Scored]]:
    in_order = sorted(scored, key=attrgetter("user", "after", "place"))
    return [list(group) for _, group in groupby(in_order, key=attrgetter("user"))]


def _most_telling(one: Scored) -> tuple[float, str, int, int]:
    return -one.gap, one.user, one.after, one.place


def _surest(one: Scored) -> tuple[float, str, int, int]:
    return -one.log_p1, one.user, one.after, one.place
