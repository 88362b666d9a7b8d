"""Rollouts: which text each update starts from, whose future counts, and what becomes of an answer that is refused."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from streams.evolution.brief import Brief
from streams.evolution.records import Completion, Prompt
from tests.training.cases import person
from training.rewards import MeasuredFutures, Mode, Rewrite
from training.rollouts import Draft, Episode, Judged, Plan, Sampled, Streaming
from training.states import moments_of

MOMENTS = moments_of(person("ann", 60))


class Model:
    """Answers "text 1", "text 2" and so on, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, prompts: Sequence[Prompt]) -> list[Sampled]:
        begun = sum(map(len, self.asked))
        self.asked.append([prompt.turns[-1].content for prompt in prompts])
        return [Sampled((1,), (place,), Completion(f" text {begun + place} ", "stop", 1, 1)) for place in range(len(prompts))]

    def old_texts(self, call: int) -> list[str]:
        return [asked.partition("<old_summary>\n")[2].partition("\n")[0] for asked in self.asked[call]]


def worth(number: int) -> float:
    return number / 100


def judge(drafts: Sequence[Draft]) -> list[Judged]:
    numbers = [int(draft.answer.text.removeprefix("text ")) for draft in drafts]
    return [
        Judged(Rewrite(worth(number), 0.0, 1, 160), draft.answer.text) for number, draft in zip(numbers, drafts, strict=True)
    ]


def refusing(drafts: Sequence[Draft]) -> list[Judged]:
    return [Judged(Rewrite(0.5, 0.0, 1, 160, True), draft.update.old_text, "echo") for draft in drafts]


def streaming(model: Model, mode: Mode, num_samples: int = 2, measured: MeasuredFutures | None = None) -> Streaming:
    return Streaming(Plan(mode, num_samples), Brief(), model, judge, measured or MeasuredFutures())


def test_paper_one_of_a_group_goes_on() -> None:
    model = Model()
    groups = streaming(model, "paper").roll([Episode(MOMENTS[:2], "first")], Random(0))
    assert model.old_texts(0) == ["first", "first"]
    picked = int(model.old_texts(1)[0].removeprefix("text "))
    assert model.old_texts(1) == [f"text {picked}"] * 2
    assert [one.stage for group in groups for one in group] == [0, 0, 1, 1]
    future = 0.9 * (worth(2) + worth(3)) / 2
    assert [one.told for one in groups[0]] == pytest.approx(
        [worth(number) + (future if number == picked else 0.45) for number in (0, 1)]
    )
    assert [one.told for one in groups[1]] == pytest.approx([worth(2), worth(3)])


def test_paper_centred_gives_siblings_the_measured_future() -> None:
    measured = MeasuredFutures()
    groups = streaming(Model(), "paper-centred", measured=measured).roll([Episode(MOMENTS[:2])], Random(0))
    assert measured.counts == {1: 1}
    future = 0.9 * (worth(2) + worth(3)) / 2
    assert [one.told for one in groups[0]] == pytest.approx([worth(0) + future, worth(1) + future])


def test_each_sample_goes_on_by_itself() -> None:
    model = Model()
    (group,) = streaming(model, "each").roll([Episode(MOMENTS, "first")], Random(0))
    assert [model.old_texts(call) for call in range(3)] == [["first"] * 2, ["text 0", "text 1"], ["text 2", "text 3"]]
    assert [one.told for one in group] == pytest.approx(
        [worth(first) + 0.9 * worth(first + 2) + 0.81 * worth(first + 4) for first in (0, 1)]
    )
    assert [one.reward for one in group] == pytest.approx([worth(0), worth(1)])


def test_episodes_go_forward_together_and_stay_apart() -> None:
    model = Model()
    others = moments_of(person("bob", 40, first=100))
    groups = streaming(model, "paper").roll([Episode(MOMENTS[:2], "ann's"), Episode(others, "bob's")], Random(0))
    assert model.old_texts(0) == ["ann's"] * 2 + ["bob's"] * 2
    assert [group[0].draft.moment.user for group in groups] == ["ann", "ann", "bob", "bob"]
    assert [group[0].stage for group in groups] == [0, 1, 0, 1]
    assert [len(asked) for asked in model.asked] == [4, 4]


def test_a_refused_text_replaces_nothing() -> None:
    model = Model()
    Streaming(Plan("paper", 2), Brief(), model, refusing, MeasuredFutures()).roll([Episode(MOMENTS[:2], "first")], Random(0))
    assert model.old_texts(1) == ["first", "first"]


def test_the_updates_are_those_of_the_person() -> None:
    model = Model()
    streaming(model, "paper").roll([Episode(MOMENTS[:2])], Random(0))
    assert '"Film 19 (1979)"' in model.asked[0][0]
    assert '"Film 39 (1999)"' in model.asked[1][0]
