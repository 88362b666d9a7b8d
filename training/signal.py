"""S0, the signal: for each question, how probable its answer is without the history and with it (exam → **S0** → S1).

The two models are readers: one that knows other people's behaviour alone, and one that is also told everything the person did.
Counts in numpy serve for ratings; a language model with the history in its prompt goes behind the same interface.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from evaluation.crossfit import Fold
from evaluation.grading import MakeReader, answer
from evaluation.records import Exam, View
from streams.evidence import evidence_of
from training.pruning import Scored

_LEAST_P = 1e-6


class Fit(Struct, frozen=True):
    """How well each model foresees held-out people's answers: mean negative log likelihoods, in nats; 0.693 is chance."""

    num_questions: int
    num_people: int
    nll_without: float
    nll_with: float


def score(exam: Exam, without: MakeReader, with_history: MakeReader, folds: Sequence[Fold]) -> list[Scored]:
    """Every question of the exam, in its order, as both readers see it; each was fitted to other people."""
    known = [View() for _ in exam.questions]
    chances = answer(without, exam, known, folds), answer(with_history, exam, _histories(exam), folds)
    log_p0, log_p1 = (np.log(np.clip(chance, _LEAST_P, 1.0)) for chance in chances)
    places: dict[tuple[str, int], int] = {}
    scored = []
    for question, p0, p1 in zip(exam.questions, log_p0, log_p1, strict=True):
        place = places.get((question.user, question.after), 0)
        places[question.user, question.after] = place + 1
        scored.append(Scored(question.user, question.after, place, float(p0), float(p1)))
    return scored


def _histories(exam: Exam) -> list[View]:
    """What the person did before each question; those asked at one moment share it."""
    views: dict[tuple[str, int], View] = {}
    for question in exam.questions:
        key = question.user, question.after
        if key not in views:
            known = exam.people[question.user].events[: question.after]
            views[key] = View(evidence=tuple(map(evidence_of, known)), num_known=question.after)
    return [views[question.user, question.after] for question in exam.questions]


def fit_of(scored: Sequence[Scored]) -> Fit:
    """How well the two models did, over all questions."""
    return Fit(
        len(scored),
        len({one.user for one in scored}),
        -float(np.mean([one.log_p0 for one in scored])),
        -float(np.mean([one.log_p1 for one in scored])),
    )
