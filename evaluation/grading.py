"""Grading: every question in both orders, of readers fitted to other people (views → reader → **grading** → report)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from evaluation.catalogue import Catalogue
from evaluation.crossfit import Fold, Lesson
from evaluation.records import Asked, Exam, Question, Reader, View

MakeReader = Callable[[Catalogue], Reader]

TIE = 1e-9
"""Probabilities closer to one half say nothing: the rounding of a mean of two is no preference."""


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


def answer(make_reader: MakeReader, exam: Exam, views: Sequence[View], folds: Sequence[Fold]) -> NDArray[np.float64]:
    """How probable each question's right answer is to readers that were fitted to other people's questions of the exam.

    ``views`` are those of the questions, in their order. A question that no fold asks is not a number.
    """
    (answers,) = answers_to(make_reader, exam, [views], folds)
    return answers


def answers_to(
    make_reader: MakeReader, exam: Exam, tellings: Sequence[Sequence[View | None]], folds: Sequence[Fold]
) -> list[NDArray[np.float64]]:
    """The same for several lists of views of the exam's questions, of readers that were fitted to the first list.

    Where a list has no view the question is not asked: its answer is not a number.
    """
    rows = [_rows(exam, views) for views in tellings]
    answers = [np.full(len(exam.questions), np.nan) for _ in tellings]
    for fold in folds:
        reader: Reader | None = None
        for told, probabilities in zip(rows, answers, strict=True):
            asked = [row for row in told if fold.asks(exam.people[row.question.user], row.question.after)]
            if asked:
                reader = reader or taught(make_reader, fold, rows[0])
                probabilities[[row.place for row in asked]] = ask(reader, asked)
    return answers


def _rows(exam: Exam, views: Sequence[View | None]) -> list[Row]:
    told = enumerate(zip(exam.questions, views, strict=True))
    return [Row(place, question, view) for place, (question, view) in told if view is not None]


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
