"""Rejection sampling: the best of a state's samples, as an example of the prompt it answers."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from streams.evolution.brief import Brief
from streams.evolution.records import Completion, Prompt
from tests.training.cases import person
from training.rewards import Rewrite
from training.rollouts import Draft, Judged, Sampled
from training.sampling import SOURCE, State, examples_of, try_batch
from training.states import moments_of

STATES = [State(moment, old) for moment, old in zip(moments_of(person("ann", 40)), ("", "Loves war."), strict=True)]
WORTH = {"a": 0.2, "b": 0.8, "c": 0.5, "d": 0.6}


def sample(prompts: Sequence[Prompt]) -> list[Sampled]:
    return [Sampled((), (), Completion(text, "stop")) for text, _ in zip("abcd", prompts, strict=True)]


def judge(drafts: Sequence[Draft]) -> list[Judged]:
    return [Judged(Rewrite(WORTH[draft.answer.text], 0.0, 10, 160, draft.answer.text == "d"), "", "") for draft in drafts]


def test_the_best_of_each_state() -> None:
    tried = try_batch(STATES, 2, 160, Brief(), sample, judge)
    assert [(one.after, one.best_text, one.rewards) for one in tried] == [
        (20, "b", (0.2, 0.8)),
        (40, "c", (0.5, pytest.approx(-0.4))),
    ]
    assert tried[0].spread == pytest.approx(0.3)


def test_examples_are_of_the_prompts_that_were_answered() -> None:
    tried = try_batch(STATES, 2, 160, Brief(), sample, judge)
    examples = list(examples_of(tried, least_reward=0.4))
    assert [example.completion for example in examples] == ["b", "c"]
    assert examples[1].turns == Brief().write_prompt(STATES[1].moment.update("Loves war.", 160)).turns
    assert {(example.user, example.source) for example in examples} == {("ann", SOURCE)}


@pytest.mark.parametrize(("least", "kept"), [(0.4, ["b", "c"]), (0.6, ["b"]), (0.9, [])])
def test_what_is_worth_too_little_is_no_example(least: float, kept: list[str]) -> None:
    tried = try_batch(STATES, 2, 160, Brief(), sample, judge)
    assert [example.completion for example in examples_of(tried, least)] == kept


@pytest.mark.parametrize("best", [Rewrite(0.9, 0.9, 10, 160, is_broken=True), Rewrite(0.9, 0.9, 161, 160)])
def test_a_broken_or_long_text_is_no_example(best: Rewrite) -> None:
    tried = try_batch(STATES, 2, 160, Brief(), sample, lambda drafts: [Judged(best, "", "") for _ in drafts])
    assert list(examples_of(tried, least_reward=-2.0)) == []
