"""Grading: every question in both orders, of readers fitted to other people (views → reader → **grading** → report)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from evaluation.catalogue import Catalogue
from evaluation.crossfit import Fold, Lesson
from evaluation.honesty import Dishonest, check_exam, check_folds, check_grading, check_views
from evaluation.records import Asked, Exam, Person, Question, Reader, View

MakeReader = Callable[[Catalogue], Reader]

TIE = 1e-9
"""Probabilities closer to one half say nothing: the rounding of a mean of two is no preference."""


MAX_CHECKED = 400
"""So many questions are also asked of readers that say nothing, to see that those are right in half of them."""


class Row(Struct, frozen=True, eq=False):
    """A question's place in its exam, and what is told of the person."""

    place: int
    question: Question
    view: View


class Together(Struct, frozen=True, eq=False):
    """Several readers that answer as one: the mean of their probabilities."""

    readers: tuple[Reader, ...]

    @property
    def name(self) -> str:
        """The name they all have."""
        return self.readers[0].name

    def fit(self, asked: Sequence[Asked], took_first: NDArray[np.bool_]) -> None:
        """Fits each of them."""
        for reader in self.readers:
            reader.fit(asked, took_first)

    def prefer(self, asked: Sequence[Asked]) -> NDArray[np.float64]:
        """The mean probability that the first item is taken."""
        return np.asarray(np.mean([reader.prefer(asked) for reader in self.readers], axis=0))


def answer(
    make_reader: MakeReader,
    exam: Exam,
    views: Sequence[View],
    folds: Sequence[Fold],
    fitted_to: Sequence[View] = (),
) -> NDArray[np.float64]:
    """How probable each question's right answer is to readers that were fitted to other people's questions of the exam.

    ``views`` are those of the questions, in their order. Readers are fitted to the others' of ``fitted_to``, and where none are
    given to their ``views``. Raises Dishonest where the answers would not say what they seem to say, and how to mend it.
    """
    learnt = fitted_to or views
    check_exam(exam)
    check_folds(exam, folds)
    check_views(exam, views)
    if fitted_to:
        check_views(exam, fitted_to)
    rows = _rows(exam, views)
    some = Random(exam.name).sample(rows, min(MAX_CHECKED, len(rows)))
    check_grading(exam.name, lambda make: float(right(_answers(make, some, some, exam.people, folds)).mean()))
    answers = _answers(make_reader, rows, _rows(exam, learnt), exam.people, folds)
    if np.isnan(answers).any():
        raise Dishonest(
            f"{exam.name}: a reader has no answer to {np.isnan(answers).sum()} questions: it says 0.5 if it cannot tell"
        )
    return answers


def _answers(
    make_reader: MakeReader, rows: Sequence[Row], learnt: Sequence[Row], people: Mapping[str, Person], folds: Sequence[Fold]
) -> NDArray[np.float64]:
    answers = np.full(len(rows), np.nan)
    for fold in folds:
        places = [place for place, row in enumerate(rows) if fold.asks(people[row.question.user], row.question.after)]
        if places:
            answers[places] = ask(taught(make_reader, fold, learnt), [rows[place] for place in places])
    return answers


def _rows(exam: Exam, views: Sequence[View]) -> list[Row]:
    return [Row(place, *both) for place, both in enumerate(zip(exam.questions, views, strict=True))]


def taught(make_reader: MakeReader, fold: Fold, rows: Sequence[Row]) -> Together:
    """The readers that may answer the people of a fold: each fitted to the rows of its lesson's people."""
    return Together(tuple(_taught(make_reader, lesson, rows) for lesson in fold.lessons))


def _taught(make_reader: MakeReader, lesson: Lesson, rows: Sequence[Row]) -> Reader:
    reader = make_reader(lesson.catalogue)
    learn(reader, [row for row in rows if row.question.user in lesson.fitted])
    return reader


def learn(reader: Reader, rows: Sequence[Row]) -> None:
    """Fits the reader to the answers of these rows, each asked in both orders."""
    reader.fit([*map(_forward, rows), *map(_backward, rows)], np.repeat([True, False], len(rows)))


def ask(reader: Reader, rows: Sequence[Row]) -> NDArray[np.float64]:
    """The probability of the right answers: the mean over both orders, so that a leaning to one place counts for nothing."""
    forward, backward = np.split(reader.prefer([*map(_forward, rows), *map(_backward, rows)]), 2)
    return np.asarray((forward + (1.0 - backward)) / 2.0)


def _forward(row: Row) -> Asked:
    return Asked(row.view, row.question.chosen, row.question.rejected, row.question.query)


def _backward(row: Row) -> Asked:
    return Asked(row.view, row.question.rejected, row.question.chosen, row.question.query)


def right(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 where the right answer is the more probable one, 0 where it is the less probable one, one half for a tie.

    No number where there was no answer.
    """
    lean = probabilities - 0.5
    decided = np.where(np.abs(lean) <= TIE, 0.5, (lean > 0).astype(np.float64))
    return np.where(np.isnan(lean), np.nan, decided)
