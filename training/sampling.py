"""S3, rejection sampling: several rewrites of each state, of which the best becomes an example (policy → **S3** → SFT).

States are sampled in batches, and a batch is written before the next one is begun, so a run that was killed goes on with the
batch it was at. Which texts a batch gets depends on the seed and on its number alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from streams.evolution.dialects import Dialect
from streams.evolution.records import Turn
from streams.evolution.thoughts import without_thought
from training.examples import Example
from training.rewards import Rewrite, reward
from training.rollouts import Draft, Judge, Judged, Sample
from training.states import Moment

SOURCE = "rejection sampling"


class State(Struct, frozen=True):
    """A moment and the text that is in force before it."""

    moment: Moment
    old_text: str


class Tried(Struct, frozen=True):
    """A state's samples: what each is worth, and the best text; its prompt, so that it becomes an example."""

    user: str
    after: int
    rewards: tuple[float, ...]
    refused: tuple[str, ...]
    turns: tuple[Turn, ...]
    best_text: str
    best: Rewrite

    @property
    def spread(self) -> float:
        """How much better the best sample is than the mean one."""
        return max(self.rewards) - sum(self.rewards) / len(self.rewards)


def try_batch(
    states: Sequence[State], num_samples: int, max_tokens: int, dialect: Dialect, sample: Sample, judge: Judge
) -> list[Tried]:
    """So many samples of each state, judged."""
    updates = [state.moment.update(state.old_text, max_tokens) for state in states for _ in range(num_samples)]
    prompts = [dialect.write_prompt(update) for update in updates]
    moments = [state.moment for state in states for _ in range(num_samples)]
    # As the model says it: the reward is to see what a dialect would leave out.
    drafts = [
        Draft(moment, update, prompt, sampled, without_thought(sampled.completion))
        for moment, update, prompt, sampled in zip(moments, updates, prompts, sample(prompts), strict=True)
    ]
    both = list(zip(drafts, judge(drafts), strict=True))
    return [_tried(both[begin : begin + num_samples]) for begin in range(0, len(both), num_samples)]


def _tried(group: Sequence[tuple[Draft, Judged]]) -> Tried:
    rewards = [reward(judged.rewrite) for _, judged in group]
    best = max(range(len(rewards)), key=rewards.__getitem__)
    first, _ = group[0]
    return Tried(
        first.moment.user,
        first.moment.after,
        tuple(rewards),
        tuple(judged.refused for _, judged in group),
        first.prompt.turns,
        group[best][0].answer.text,
        group[best][1].rewrite,
    )


def examples_of(tried: Sequence[Tried], least_reward: float) -> Iterator[Example]:
    """The best text of each state, where it is worth that much, within the budget and not refused."""
    for one in tried:
        if not one.best.is_broken and not one.best.over_budget and max(one.rewards) >= least_reward:
            yield Example(one.user, one.turns, one.best_text, SOURCE)
