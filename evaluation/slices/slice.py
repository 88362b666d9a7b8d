"""A slice: the same questions about the same people, and something changed in what they did (exam → **slice** → comparison)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from evaluation.records import Exam, Person, Question
from prefstream.events import Event


class Slice(Struct, frozen=True):
    """What is compared: the ``changed`` exam with the one as it ``was``, whose questions are the same ones in the same order.

    Where nothing ``was`` the changed exam is compared with the prior on its own questions. ``least`` is the least difference
    that must hold, in points, changed less compared; None where it is only reported.
    """

    name: str
    changed: Exam
    was: Exam | None = None
    least: float | None = None


Change = Callable[[tuple[Event, ...], tuple[Event, ...]], tuple[tuple[Event, ...], tuple[Event, ...]]]
"""Of what is known of a person and what comes behind it, both as they are in the slice."""


def changed(exam: Exam, change: Change) -> Exam:
    """The exam after the change; each person's questions stand behind one number of events."""
    known = {question.user: question.after for question in exam.questions}
    if any(known[question.user] != question.after for question in exam.questions):
        raise ValueError(f"{exam.name}: a slice is of an exam that asks everybody once, after one number of events")
    parts = {user: change(exam.people[user].events[:after], exam.people[user].events[after:]) for user, after in known.items()}
    return Exam(exam.name, _people(parts), _questions(exam.questions, parts))


def _people(parts: Mapping[str, tuple[tuple[Event, ...], tuple[Event, ...]]]) -> dict[str, Person]:
    return {user: Person(user, known + coming) for user, (known, coming) in parts.items()}


def _questions(
    questions: Sequence[Question], parts: Mapping[str, tuple[tuple[Event, ...], tuple[Event, ...]]]
) -> tuple[Question, ...]:
    return tuple(replace(question, after=len(parts[question.user][0])) for question in questions)
