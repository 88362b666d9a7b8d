"""Examining: an exam drawn once, a reader's answers to it, all a claim needs, and the table of them (grading → **report**).

A report is written from a :class:`Table`, and :func:`table_of` makes none where a check of :mod:`evaluation.honesty` fails.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from evaluation.crossfit import Fold
from evaluation.grading import MakeReader, answers_to, right
from evaluation.honesty import Dishonest, check_exam, check_folds, check_grading, check_views, fingerprint
from evaluation.intervals import Interval, difference, interval
from evaluation.records import Exam, Question, View

MIN_SHUFFLES = 5
MIN_SEEDS = 2
MAX_SHUFFLED = 4_000
"""So many questions of an exam are also asked with other people's views, in each shuffle."""

MAX_CHECKED = 400
"""So many are also asked of readers that say nothing, to see that those are right in half of them."""

PRIOR, CEILING = "prior", "ceiling"
"""The readers that every table has, by name."""


class Drawn(Struct, frozen=True, eq=False):
    """An exam as it was drawn before any reader existed, its fingerprint, and how to draw it again."""

    exam: Exam
    folds: tuple[Fold, ...]
    seed: int
    draw: Callable[[], Exam]
    sha256: str


def drawn(draw: Callable[[], Exam], folds: Sequence[Fold], seed: int) -> Drawn:
    """Draws the exam. Raises Dishonest where it asks what must not be asked."""
    exam = draw()
    check_exam(exam)
    check_folds(exam, folds)
    return Drawn(exam, tuple(folds), seed, draw, fingerprint(exam))


class Grade(Struct, frozen=True, eq=False):
    """How a reader did in an exam when it was told what a setting tells; of several seeds, one behind the other.

    ``right`` has for each question 1, 0, or one half for a tie; ``untold`` the same where the reader was told nothing, and
    ``strangers`` (shuffles by questions) where it was told of somebody else; not a number where that was not asked.
    """

    task: str
    reader: str
    setting: str
    summariser: str
    seeds: tuple[int, ...]
    users: tuple[str, ...]
    right: NDArray[np.float64]
    untold: NDArray[np.float64]
    strangers: NDArray[np.float64]
    fingerprints: tuple[str, ...]

    @property
    def accuracy(self) -> Interval:
        """In percent."""
        return interval(self.right, self.users, self.seeds[0])

    @property
    def stranger_accuracy(self) -> Interval:
        """In percent, when told of somebody else."""
        return self._over(lambda asked: self.strangers.mean(axis=0)[asked])

    @property
    def gain(self) -> Interval:
        """Points over the same reader told of somebody else: what is the person's own, and not learnt of the items."""
        return self._over(lambda asked: (self.right - self.strangers.mean(axis=0))[asked])

    @property
    def stranger_gain(self) -> Interval:
        """Points that being told of somebody else is over being told nothing: not far from 0, or views leak something."""
        return self._over(lambda asked: (self.strangers.mean(axis=0) - self.untold)[asked])

    def _over(self, what: Callable[[NDArray[np.bool_]], NDArray[np.float64]]) -> Interval:
        asked = ~np.isnan(self.strangers[0])
        return interval(
            what(asked), [user for user, is_asked in zip(self.users, asked, strict=True) if is_asked], self.seeds[0]
        )


def examine(
    make_reader: MakeReader,
    of: Drawn,
    views: Sequence[View],
    *,
    setting: str,
    summariser: str = "",
    num_shuffles: int = MIN_SHUFFLES,
) -> Grade:
    """The grade of a reader that is fitted to other people's views, and told each person's own, nobody's and strangers'.

    ``views`` are those of the exam's questions, in their order. Raises Dishonest.
    """
    exam, folds = of.exam, of.folds
    if fingerprint(exam) != of.sha256:
        raise Dishonest(f"{exam.name}: its questions are not those that were drawn: grade all of them")
    check_views(exam, views)
    check_folds(exam, folds)
    check_grading(exam.name, lambda make: _accuracy(answers_to(make, exam, [_some(views, MAX_CHECKED, of.seed)], folds)[0]))
    own, untold, *others = (right(each) for each in answers_to(make_reader, exam, _tellings(of, views, num_shuffles), folds))
    if np.isnan(own).any():
        raise Dishonest(f"{exam.name}: {np.isnan(own).sum()} questions have no answer: a reader says 0.5 where it cannot tell")
    return Grade(
        task=exam.name,
        reader=make_reader(folds[0].catalogue).name,
        setting=setting,
        summariser=summariser,
        seeds=(of.seed,),
        users=tuple(question.user for question in exam.questions),
        right=own,
        untold=untold,
        strangers=np.reshape(others, (num_shuffles, len(own))),
        fingerprints=(of.sha256,),
    )


def _accuracy(answers: NDArray[np.float64]) -> float:
    return float(np.nanmean(right(answers)))


def _tellings(of: Drawn, views: Sequence[View], num_shuffles: int) -> list[Sequence[View | None]]:
    seeds = range(of.seed, of.seed + num_shuffles)
    untold = [View()] * len(views)
    return [views, untold, *(_some(strangers(of.exam, views, seed), MAX_SHUFFLED, of.seed) for seed in seeds)]


def _some(views: Sequence[View], most: int, seed: int) -> list[View | None]:
    """The views at ``most`` places, always the same ones, drawn by the seed; elsewhere none."""
    places = set(Random(seed).sample(range(len(views)), min(most, len(views))))
    return [view if place in places else None for place, view in enumerate(views)]


def strangers(exam: Exam, views: Sequence[View], seed: int) -> list[View]:
    """For each question the view of somebody else who is asked, as early as it: nobody's stands for two people.

    Of a person who is asked several times, the last view that is not later, or the first. Raises Dishonest: one person only.
    """
    told: defaultdict[str, dict[int, View]] = defaultdict(dict)
    for question, view in zip(exam.questions, views, strict=True):
        told[question.user][question.after] = view
    users = sorted(told)
    if len(users) < 2:
        raise Dishonest(f"{exam.name}: another person's view takes two people")
    Random(seed).shuffle(users)
    next_one = dict(zip(users, [*users[1:], users[0]], strict=True))
    afters = {user: sorted(theirs) for user, theirs in told.items()}

    def of_other(question: Question) -> View:
        other = next_one[question.user]
        place = bisect_right(afters[other], question.after) - 1
        return told[other][afters[other][max(place, 0)]]

    return [of_other(question) for question in exam.questions]


def pooled(grades: Sequence[Grade]) -> Grade:
    """The grades of one reader in one setting, of several seeds, as one: people stay together in its intervals.

    Raises Dishonest where they are of different readers, settings, summarisers or tasks, or a seed comes twice.
    """
    first = grades[0]
    if len({(grade.task, grade.reader, grade.setting, grade.summariser) for grade in grades}) > 1:
        raise Dishonest(f"{first.task}: only grades of one reader, setting and summariser are one")
    seeds = tuple(seed for grade in grades for seed in grade.seeds)
    if len(set(seeds)) < len(seeds):
        raise Dishonest(f"{first.task}: a seed comes twice among {seeds}")
    return replace(
        first,
        seeds=seeds,
        users=tuple(user for grade in grades for user in grade.users),
        right=np.concatenate([grade.right for grade in grades]),
        untold=np.concatenate([grade.untold for grade in grades]),
        strangers=np.concatenate([grade.strangers for grade in grades], axis=1),
        fingerprints=tuple(print_ for grade in grades for print_ in grade.fingerprints),
    )


def versus(ours: Grade, theirs: Grade) -> Interval:
    """How many points ``ours`` is above ``theirs``, over the same questions. Raises Dishonest where they are others."""
    if ours.fingerprints != theirs.fingerprints:
        raise Dishonest(f"{ours.task} and {theirs.task}: grades of other questions cannot be compared: draw one exam for both")
    return difference(ours.right, theirs.right, ours.users, ours.seeds[0])


class Table(Struct, frozen=True, eq=False):
    """Grades that may be told together.

    ``biased`` are those above the prior, though no better told of the person than of somebody else: such a reader learnt which
    items are chosen, and that is nothing a summary gave it.
    """

    grades: tuple[Grade, ...]
    biased: tuple[Grade, ...]


def table_of(grades: Sequence[Grade], exams: Iterable[Drawn]) -> Table:
    """The grades as a table, when they may be told. Raises Dishonest: which rule they break, and what to do.

    The exams are drawn again: their questions must be those of the grades, so that none was left out for its answer.
    """
    again = {fingerprint(exam): len(exam.questions) for exam in (of.draw() for of in exams)}
    for grade in grades:
        _check_grade(grade, again)
    tasks = {grade.task for grade in grades}
    for task in tasks:
        readers = {grade.reader for grade in grades if grade.task == task}
        if missing := {PRIOR, CEILING} - readers:
            raise Dishonest(f"{task}: without {' and '.join(sorted(missing))} nobody knows what its figures are worth: add it")
        if task.startswith("next_") and not any(_is_beside(other, task) for other in tasks):
            raise Dishonest(f"{task}: it partly says what the site showed together: tell it beside order_matched")
    return Table(tuple(grades), tuple(grade for grade in grades if _is_biased(grade, grades)))


def _is_biased(grade: Grade, beside: Sequence[Grade]) -> bool:
    priors = [one for one in beside if one.reader == PRIOR and one.fingerprints == grade.fingerprints]
    return any(versus(grade, prior).low > 0 for prior in priors) and grade.gain.low <= 0


def _is_beside(other: str, task: str) -> bool:
    return other.startswith("order_matched") and other.partition(",")[2] == task.partition(",")[2]


def _check_grade(grade: Grade, num_drawn: Mapping[str, int]) -> None:
    whose = f"{grade.task}, {grade.reader}, {grade.setting}"
    num_shuffles, num_asked = grade.strangers.shape
    if not num_drawn.keys() >= set(grade.fingerprints):
        raise Dishonest(f"{whose}: these are not the questions that are drawn: grade all of them, and leave none out")
    num_questions = sum(num_drawn[sha256] for sha256 in grade.fingerprints)
    if {num_questions} != {num_asked, len(grade.users), len(grade.right), len(grade.untold)}:
        raise Dishonest(f"{whose}: {len(grade.right)} answers to {num_questions} questions: leave none out")
    if num_shuffles < MIN_SHUFFLES:
        raise Dishonest(f"{whose}: {num_shuffles} shuffles of other people's views are too few: {MIN_SHUFFLES} or more")
    if len(grade.seeds) < MIN_SEEDS:
        raise Dishonest(f"{whose}: one seed says little: examine with {MIN_SEEDS} and pool them")
