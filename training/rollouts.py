"""Rollouts: a person's updates sampled in groups, each from a text that the model itself wrote before (S4's **rollout**).

All episodes of a step go forward together, one update at a time, so that a model is called in bulk. A text that production
would refuse replaces nothing: the next update starts from the text before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from msgspec import Struct

from streams.evolution.dialects import Dialect
from streams.evolution.records import Completion, Prompt, Update
from streams.evolution.thoughts import without_thought
from training.rewards import (
    DISCOUNT,
    MeasuredFutures,
    Mode,
    Rewrite,
    chance_futures,
    discounted,
    futures,
    returns_by_pick,
    reward,
)
from training.states import Moment


class Sampled(Struct, frozen=True):
    """A sample: what was asked and answered, as tokens and as the server would tell it."""

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    completion: Completion


class Draft(Struct, frozen=True):
    """A sample where it was made: the moment, the update it answers, its prompt, and the answer as the dialect reads it."""

    moment: Moment
    update: Update
    prompt: Prompt
    sampled: Sampled
    answer: Completion


class Judged(Struct, frozen=True):
    """A draft's worth by itself, and the text in force after it: its own, or the old one where it is refused."""

    rewrite: Rewrite
    text: str
    refused: str = ""


class Episode(Struct, frozen=True):
    """A person's next updates, as many as the horizon, and the text they start from."""

    moments: tuple[Moment, ...]
    text: str = ""


class Rewarded(Struct, frozen=True):
    """A draft with what it is worth by itself and with its future; ``stage`` counts the updates of its episode."""

    draft: Draft
    judged: Judged
    stage: int
    reward: float
    told: float
    """The return: what the policy gradient sees."""


Sample = Callable[[Sequence[Prompt]], Sequence[Sampled]]
Judge = Callable[[Sequence[Draft]], Sequence[Judged]]


class Plan(Struct, frozen=True):
    """How a step samples: ``num_samples`` a group, futures by ``mode``, texts of at most ``max_tokens``."""

    mode: Mode = "paper-centred"
    num_samples: int = 4
    discount: float = DISCOUNT
    max_tokens: int = 160


class Streaming:
    """Samples episodes with one model, in one dialect; keeps the mean of the futures it has measured."""

    def __init__(self, plan: Plan, dialect: Dialect, sample: Sample, judge: Judge, measured: MeasuredFutures) -> None:
        self._plan = plan
        self._dialect = dialect
        self._sample = sample
        self._judge = judge
        self._measured = measured

    def roll(self, episodes: Sequence[Episode], random: Random) -> list[list[Rewarded]]:
        """The groups to learn from, in the order of the episodes: one of each update; with ``each`` of the first update alone.

        Every episode has the same number of moments.
        """
        if self._plan.mode == "each":
            return self._each(episodes)
        return self._chains(episodes, random)

    def _each(self, episodes: Sequence[Episode]) -> list[list[Rewarded]]:
        """Every sample goes on by itself to the horizon."""
        firsts = self._group(episodes, 0, [episode.text for episode in episodes])
        paths = [[one] for group in firsts for one in group]
        owners = [episode for episode in episodes for _ in range(self._plan.num_samples)]
        for stage in range(1, len(episodes[0].moments)):
            texts = [path[-1][1].text for path in paths]
            for path, one in zip(paths, self._at(owners, stage, texts), strict=True):
                path.append(one)
        told = iter(discounted([reward(judged.rewrite) for _, judged in path], self._plan.discount) for path in paths)
        return [[Rewarded(draft, judged, 0, reward(judged.rewrite), next(told)) for draft, judged in group] for group in firsts]

    def _chains(self, episodes: Sequence[Episode], random: Random) -> list[list[Rewarded]]:
        """Of each group one sample goes on, to a group of its own."""
        num_updates = len(episodes[0].moments)
        texts = [episode.text for episode in episodes]
        groups: list[list[list[tuple[Draft, Judged]]]] = [[] for _ in episodes]
        picks: list[list[int]] = [[] for _ in episodes]
        for stage in range(num_updates):
            for place, group in enumerate(self._group(episodes, stage, texts)):
                groups[place].append(group)
                picks[place].append(random.randrange(len(group)))
                texts[place] = group[picks[place][-1]][1].text
        return [group for chain, picked in zip(groups, picks, strict=True) for group in self._told(chain, picked)]

    def _told(self, chain: list[list[tuple[Draft, Judged]]], picked: list[int]) -> list[list[Rewarded]]:
        rewards = [[reward(judged.rewrite) for _, judged in group] for group in chain]
        discount = self._plan.discount
        if self._plan.mode == "paper":
            unmeasured = chance_futures(len(chain), discount)
        else:
            # Its own futures count too: the first steps would otherwise be centred on chance.
            self._measured.add(futures(rewards, discount))
            unmeasured = self._measured.means(len(chain), discount)
        told = returns_by_pick(rewards, picked, unmeasured, discount)
        return [
            [Rewarded(*both, stage, now, worth) for both, now, worth in zip(group, rewards[stage], told[stage], strict=True)]
            for stage, group in enumerate(chain)
        ]

    def _group(self, episodes: Sequence[Episode], stage: int, texts: Sequence[str]) -> list[list[tuple[Draft, Judged]]]:
        """So many samples of one update of each episode."""
        num = self._plan.num_samples
        flat = self._at(
            [episode for episode in episodes for _ in range(num)], stage, [text for text in texts for _ in range(num)]
        )
        return [flat[begin : begin + num] for begin in range(0, len(flat), num)]

    def _at(self, episodes: Sequence[Episode], stage: int, texts: Sequence[str]) -> list[tuple[Draft, Judged]]:
        """One sample of one update of each episode."""
        moments = [episode.moments[stage] for episode in episodes]
        updates = [moment.update(text, self._plan.max_tokens) for moment, text in zip(moments, texts, strict=True)]
        prompts = [self._dialect.write_prompt(update) for update in updates]
        # As the model says it: the reward is to see what a dialect would leave out.
        drafts = [
            Draft(moment, update, prompt, sampled, without_thought(sampled.completion))
            for moment, update, prompt, sampled in zip(moments, updates, prompts, self._sample(prompts), strict=True)
        ]
        return list(zip(drafts, self._judge(drafts), strict=True))
