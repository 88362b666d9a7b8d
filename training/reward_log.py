"""The reward log: a line for each step of GRPO, and none that a run will take again (rollout → **log** → plots, LOG.md)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import msgspec
from msgspec import Struct

from training.batches import cut_to, whole_lines
from training.rewards import MeasuredFutures
from training.rollouts import Rewarded


class Step(Struct, frozen=True):
    """One line of the reward log: means over the samples of a step. ``reward`` is a text's own, ``told`` with its future."""

    step: int
    seconds: float
    reward: float
    told: float
    accuracy: float
    faithfulness: float
    over_budget: float
    broken: float
    refused: dict[str, int]
    tokens: float
    spread: float
    """The mean over groups of the best reward less the mean one: what there is to learn from."""
    measured: MeasuredFutures


class RewardLog:
    """The reward log of a run, cut after the checkpoint that the run goes on from: later steps are taken again."""

    def __init__(self, path: Path, num_steps: int) -> None:
        self._path = path
        lines = whole_lines(path)[:num_steps]
        cut_to(path, lines)
        self.measured = msgspec.json.decode(lines[-1], type=Step).measured if lines else MeasuredFutures()

    def write(self, step: Step) -> None:
        """One more line."""
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(step) + b"\n")


def read_rewards(path: Path) -> list[Step]:
    """The steps of a reward log; a last line that was cut is none."""
    return [msgspec.json.decode(line, type=Step) for line in whole_lines(path)]


def step_of(step: int, seconds: float, groups: Sequence[Sequence[Rewarded]], measured: MeasuredFutures) -> Step:
    """The line of a step, counted from 0, that took so long to sample and to judge."""
    flat = [one for group in groups for one in group]
    rewrites = [one.judged.rewrite for one in flat]
    reasons = [one.judged.refused for one in flat if one.judged.refused]
    return Step(
        step=step,
        seconds=round(seconds, 1),
        reward=fmean(one.reward for one in flat),
        told=fmean(one.told for one in flat),
        accuracy=fmean(rewrite.accuracy for rewrite in rewrites),
        faithfulness=fmean(rewrite.faithfulness for rewrite in rewrites),
        over_budget=fmean(rewrite.over_budget for rewrite in rewrites),
        broken=fmean(rewrite.is_broken for rewrite in rewrites),
        refused={reason: reasons.count(reason) for reason in sorted(set(reasons))},
        tokens=fmean(rewrite.tokens for rewrite in rewrites),
        spread=fmean(max(one.reward for one in group) - fmean(one.reward for one in group) for group in groups),
        measured=measured,
    )
