"""What an answer is worth: both orders always, ties half, nothing for leaning to one place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evaluation.catalogue import Catalogue
from evaluation.crossfit import folds_of
from evaluation.grading import answer, right
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
