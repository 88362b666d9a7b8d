"""What an answer is worth: both orders always, ties half, nothing for leaning to one place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.catalogue import Catalogue
from evaluation.crossfit import folds_of
from evaluation.grading import Row, answer, right, taught
from evaluation.records import Asked, Exam, Person, Question, View
from prefstream.events import Item

PEOPLE = {f"u{number}": Person(f"u{number}", ()) for number in range(40)}
QUESTIONS = tuple(Question(user, 0, Item("better"), Item("worse")) for user in PEOPLE)
EXAM = Exam("order", PEOPLE, QUESTIONS)
VIEWS = [View()] * len(QUESTIONS)


class Always:
    """A reader that gives one answer, whatever is asked."""

    name = "always"

    def __init__(self, probability: float) -> None:
        self._probability = probability

    def fit(self, asked: Sequence[Asked], took_first: NDArray[np.bool_]) -> None:
        """There is nothing to learn."""

    def prefer(self, asked: Sequence[Asked]) -> NDArray[np.float64]:
        """The one answer."""
        return np.full(len(asked), self._probability)


def test_a_constant_reader_is_right_half_of_the_time_exactly() -> None:
    folds = folds_of(PEOPLE, seed=0)
    for constant in (0.0, 0.1, 0.3, 1 / 3, 0.5, 0.95, 1.0):

        def make(catalogue: Catalogue, constant: float = constant) -> Always:
            return Always(constant)

        assert right(answer(make, EXAM, VIEWS, folds)).mean() == 0.5


def test_nobody_is_asked_by_a_reader_that_knows_them_or_was_fitted_to_whom_it_knows() -> None:
    folds = folds_of(PEOPLE, seed=0)
    assert sorted(user for fold in folds for user in fold.asked) == sorted(PEOPLE)
    for fold in folds:
        assert fold.catalogue.users == PEOPLE.keys() - fold.asked
        assert frozenset().union(*(lesson.fitted for lesson in fold.lessons)) == fold.catalogue.users
        for lesson in fold.lessons:
            assert lesson.catalogue.users == fold.catalogue.users - lesson.fitted


class Taught(Always):
    """A reader that says which share of all people it was fitted to."""

    def fit(self, asked: Sequence[Asked], took_first: NDArray[np.bool_]) -> None:
        """Both orders of each question come, so that nothing can be learnt of the place."""
        assert took_first.sum() * 2 == len(asked)
        self._probability = float(took_first.sum()) / len(PEOPLE)


def test_the_readers_of_all_lessons_answer_together() -> None:
    (fold, *_) = folds_of(PEOPLE, seed=0)
    rows = [Row(place, question, View()) for place, question in enumerate(QUESTIONS)]
    reader = taught(lambda catalogue: Taught(0.0), fold, rows)
    share = len(fold.catalogue.users) / len(PEOPLE) / len(fold.lessons)
    assert reader.name == "always"
    assert reader.prefer([Asked(View(), Item("a"), Item("b"))]) == pytest.approx(share)
