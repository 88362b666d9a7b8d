"""What a rewrite is worth: how well the next events are foreseen from it, how true it is, how long (text → **reward** → GRPO).

The return of a sample also counts what becomes of it later. The three modes differ in where that comes from:

==============  ========================================================================================================
``paper``       of a group one sample, picked at random, goes on to the next update, where it gets a group of its own; its
                future is that group's mean. Its siblings are given chance: 0.9 * 0.5 = 0.45 with one update to come.
``paper-centred``  the same, and the siblings are given the mean of the futures measured so far, so that a sample gains
                nothing by being picked.
``each``        every sample goes on by itself: R = r_0 + 0.9 r_1 + 0.81 r_2 and so on up to the horizon.
==============  ========================================================================================================

Source of ``paper``: AlignXplore+, the released trainer, with a horizon of two. The constant fits a reward whose chance level
is 0.5; with faithfulness in the reward a future is worth more than 0.5, and whoever is picked gains by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Literal

from msgspec import Struct

Mode = Literal["paper", "paper-centred", "each"]
DISCOUNT = 0.9
CHANCE = 0.5
"""What the paper takes an unmeasured update to be worth: a choice between two at random."""


class RewardWeights(Struct, frozen=True):
    """How much a faithful text is worth against one that foresees, and what is taken off."""

    faithfulness: float = 0.5
    over_budget: float = 0.2
    broken: float = 1.0


class Rewrite(Struct, frozen=True):
    """What is known of a sampled text.

    ``accuracy`` is the mean probability of the right answer over all pairs of the next events in both orders, and
    ``faithfulness`` the share of its claims that the events support, both 0 to 1. ``is_broken``: empty, an echo, unterminated.
    """

    accuracy: float
    faithfulness: float
    tokens: int
    max_tokens: int
    is_broken: bool = False

    @property
    def over_budget(self) -> float:
        """By how much of the budget the text is too long: 0 within it, at most 1."""
        return min(1.0, max(0, self.tokens - self.max_tokens) / self.max_tokens)


DEFAULT_WEIGHTS = RewardWeights()


def reward(rewrite: Rewrite, weights: RewardWeights = DEFAULT_WEIGHTS) -> float:
    """What the text is worth by itself: 1.5 at best, with the default weights."""
    worth = rewrite.accuracy + weights.faithfulness * rewrite.faithfulness - weights.over_budget * rewrite.over_budget
    return worth - weights.broken if rewrite.is_broken else worth


def discounted(rewards: Iterable[float], discount: float = DISCOUNT) -> float:
    """The return of one path: each reward counts ``discount`` times as much as the one before."""
    return reduce(lambda later, first: first + discount * later, reversed(tuple(rewards)), 0.0)


def futures(groups: Sequence[Sequence[float]], discount: float = DISCOUNT) -> list[float]:
    """What the picked sample of each group but the last led to: the next group's mean reward, and what that one's pick led to.

    ``groups`` are the rewards of the samples, an update each, oldest first.
    """
    measured: list[float] = []
    for group in reversed(groups[1:]):
        # Whoever is picked is picked blindly, so what that one led to stands for what any of the group would have.
        later = discount * measured[-1] if measured else 0.0
        measured.append(sum(group) / len(group) + later)
    return measured[::-1]


def returns_by_pick(
    groups: Sequence[Sequence[float]], picked: Sequence[int], unmeasured: Sequence[float], discount: float = DISCOUNT
) -> list[list[float]]:
    """The returns of every sample of a chain of groups, in which ``picked[i]`` of group i led to group i + 1.

    A sibling that was not picked gets ``unmeasured[i]`` for its future, see :func:`chance_futures`. The last group has none.
    """
    later = [discount * future for future in futures(groups, discount)]
    told = [list(group) for group in groups]
    for group, pick, of_pick, of_others in zip(told, picked, later, unmeasured, strict=False):
        for index in range(len(group)):
            group[index] += of_pick if index == pick else discount * of_others
    return told


def chance_futures(num_updates: int, discount: float = DISCOUNT, chance: float = CHANCE) -> list[float]:
    """What the paper gives a sample that was not picked, for each update but the last: chance at every update to come."""
    return [discounted([chance] * left, discount) for left in range(num_updates - 1, 0, -1)]


class MeasuredFutures(Struct):
    """The running means of the futures that were measured, by how many updates were still to come; chance before the first."""

    sums: dict[int, float] = {}
    counts: dict[int, int] = {}

    def add(self, measured: Sequence[float]) -> None:
        """Counts the futures of one chain, as :func:`futures` gives them."""
        for place, future in enumerate(measured):
            left = len(measured) - place
            self.sums[left] = self.sums.get(left, 0.0) + future
            self.counts[left] = self.counts.get(left, 0) + 1

    def means(self, num_updates: int, discount: float = DISCOUNT) -> list[float]:
        """What a sample that was not picked gets, for each update but the last."""
        unknown = chance_futures(num_updates, discount)
        left = range(num_updates - 1, 0, -1)
        return [
            self.sums[n] / self.counts[n] if self.counts.get(n) else chance for n, chance in zip(left, unknown, strict=True)
        ]
