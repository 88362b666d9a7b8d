"""Judging: what a reader makes of a sample, and what production would not have taken."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.records import Asked
from streams.evolution.brief import Brief
from streams.evolution.prose import parse
from streams.evolution.records import Completion
from streams.lexical import lean
from tests.training.cases import person
from training.judging import ReaderJudge
from training.rewards import reward
from training.rollouts import Draft, Sampled
from training.states import Moment, moments_of

MOMENT: Moment = moments_of(person("ann", 40))[0]
GOOD = "Loves war. Dislikes musical."
OLD = "Loves war."


class Lexical:
    """0.9 where the claims lean to an item, and a leaning to whatever comes first."""

    name = "lexical"

    def fit(self, asked: Sequence[Asked], took_first: NDArray[np.bool_]) -> None:
        """It has nothing to learn."""

    def prefer(self, asked: Sequence[Asked]) -> NDArray[np.float64]:
        leans = [lean(parse(one.view.text), one.first, one.second) for one in asked]
        return np.asarray([0.5 + 0.4 * np.sign(value) + 0.05 for value in leans])


def draft(text: str, finish_reason: str = "stop", tokens: int = 20, old_text: str = OLD) -> Draft:
    update = MOMENT.update(old_text, 160)
    completion = Completion(text, finish_reason, 100, tokens)
    return Draft(MOMENT, update, Brief().write_prompt(update), Sampled((), (), completion), completion)


EVENTS = " ".join(line for line in draft("").prompt.turns[1].content.splitlines() if line.startswith(('loved "', 'hated "')))
judge = ReaderJudge({"ann": Lexical()}, lambda text, _: 0.5 if "Loves" in text else 0.0)


def test_a_good_text() -> None:
    (judged,) = judge([draft(GOOD)])
    # Of what came after, every war film was loved and every musical was not.
    assert judged.rewrite.accuracy == pytest.approx(0.9)
    assert (judged.rewrite.faithfulness, judged.rewrite.is_broken, judged.text) == (0.5, False, GOOD)
    assert reward(judged.rewrite) == pytest.approx(0.9 + 0.25)


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (draft(GOOD, "length"), "finish_reason"),
        (draft(""), "empty"),
        (draft(GOOD + " <|im_end|>"), "template_tokens"),
        (draft(EVENTS, tokens=100), "echo"),
    ],
    ids=["unterminated", "empty", "template", "echo"],
)
def test_what_production_would_not_take(one: Draft, reason: str) -> None:
    """Nobody is shown it: the reader knows nothing, nothing is true, and the old text stays."""
    (judged,) = judge([one])
    assert (judged.refused, judged.text) == (reason, OLD)
    assert judged.rewrite.accuracy == pytest.approx(0.5)
    assert judged.rewrite.faithfulness == 0.0
    assert reward(judged.rewrite) == pytest.approx(-0.5)


def test_too_long_a_text_is_worth_less_and_replaces_nothing() -> None:
    (judged,) = judge([draft(GOOD, tokens=200)])
    assert (judged.refused, judged.text, judged.rewrite.over_budget) == ("", OLD, 0.25)
    assert reward(judged.rewrite) == pytest.approx(0.9 + 0.25 - 0.05)


def test_drafts_of_several_people_keep_their_order() -> None:
    bob = moments_of(person("bob", 40))[0]
    other = Draft(bob, bob.update("", 160), draft("").prompt, Sampled((), (), Completion("", "stop")), Completion(OLD, "stop"))
    both = ReaderJudge({"ann": Lexical(), "bob": Lexical()}, lambda text, _: 1.0)
    accuracies = [judged.rewrite.accuracy for judged in both([draft(GOOD), other, draft("")])]
    assert accuracies == pytest.approx([0.9, 0.9, 0.5])


def test_where_nothing_comes_after_a_text_is_worth_what_it_says() -> None:
    last = moments_of(person("ann", 40))[1]
    assert last.questions == ()
    update = last.update("", 160)
    completion = Completion(GOOD, "stop", 1, 10)
    one = Draft(last, update, Brief().write_prompt(update), Sampled((), (), completion), completion)
    (judged,) = judge([one])
    assert judged.rewrite.accuracy == 0.5
