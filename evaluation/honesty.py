"""Honesty: the ways in which an evaluation flatters itself, each a check that every run passes (views → **honesty** → report).

====  ==========================================================================  =========================
trap  what would be wrong                                                         who refuses
====  ==========================================================================  =========================
1     a summary knows an event that is asked about                                ``check_views``
2     questions were left out after they were drawn                               ``register.Register``
3     an answer is asked for in one order only                                    ``check_grading``
4     a tie counts as right; what is known ends within a second                   ``check_grading``, ``check_exam``
5     a reader learnt which items are chosen, whoever asks                        ``register.Register``
6     a title is taken for something else, or for another item's                  ``check_exam``, ``check_views``
7     item statistics know the answers, or the future                             ``check_folds``
8     ``next_pop`` or ``next_popqual`` is told alone                              ``register.Register``
9     a summariser learnt from who is asked                                      ``check_strangers``
====  ==========================================================================  =========================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence, Set
from functools import partial
from hashlib import sha256
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from evaluation.catalogue import Catalogue, written
from evaluation.crossfit import STRICT, Fold, next_at
from evaluation.people import is_cut
from evaluation.records import Asked, Exam, Person, Question, View
from prefstream.events import Item
from streams.evidence import evidence_of
from streams.evolution.prose import parse

FROM_THE_FUTURE = 0.05
"""The share of texts that may quote a title the person meets only later: a model may hit on one by chance."""

MISREAD = 0.5
"""The share of texts in which a title may read as an attribute, for want of quotes: a small model slips, code never."""

_QUOTED = re.compile(r'"([^"]*)"')


class Dishonest(Exception):
    """An evaluation would not say what it seems to say; the message is what is wrong and how to mend it."""


def fingerprint(exam: Exam) -> str:
    """The SHA-256 of the questions in their order, with what is known at each: another one where any was left out."""
    drawn = sha256(exam.name.encode())
    for question in exam.questions:
        drawn.update(repr((question.user, question.after, question.chosen.id, question.rejected.id, question.query)).encode())
    return drawn.hexdigest()


def check_exam(exam: Exam) -> None:
    """Raises Dishonest: what is known ends within a second, or has an item under another id, or the two share a title."""
    if not exam.questions:
        raise Dishonest(f"{exam.name}: it asks nothing of anybody: take more people, or people with longer histories")
    met = {user: _first_met(person) for user, person in exam.people.items()}
    for user, after in dict.fromkeys((question.user, question.after) for question in exam.questions):
        _check_cut(exam.name, exam.people[user], after)
    for question in exam.questions:
        _check_pair(exam.name, question, met[question.user])


def check_strangers(exam: Exam, learnt_from: Set[str]) -> None:
    """Raises Dishonest: a summariser learnt from people who are asked, and may remember what they did next."""
    if seen := {question.user for question in exam.questions} & learnt_from:
        raise Dishonest(f"{exam.name}: a summariser learnt from {len(seen)} people who are asked: leave them out")


def _check_cut(exam: str, person: Person, after: int) -> None:
    events = person.events
    if not 0 <= after <= len(events) or not is_cut(events, after):
        raise Dishonest(
            f"{exam}: {after} of {len(events)} events are known of {person.user}, which ends within a second: "
            "ask at a cut point (evaluation.people.cut_at)"
        )
    if any(one.at > other.at for one, other in pairwise(events)):
        raise Dishonest(f"{exam}: the events of {person.user} are not in order of time: sort them")


def _check_pair(exam: str, question: Question, met: Mapping[str, int]) -> None:
    if _names(question.chosen) & _names(question.rejected):
        raise Dishonest(f"{exam}: {question.chosen.id} and {question.rejected.id} are one item by id or title: ask of two")
    for item in (question.chosen, question.rejected):
        by_id, by_title = (met.get(name, question.after) < question.after for name in (_identified(item), _titled(item.title)))
        if by_title and not by_id:
            raise Dishonest(
                f"{exam}: {question.user} met {item.id} under another id among their first {question.after} events: "
                "ask about what they do not know"
            )


def _first_met(person: Person) -> dict[str, int]:
    """At which of the person's events each item was first met, by id and by title."""
    met: dict[str, int] = {}
    for place, evidence in enumerate(map(evidence_of, person.events)):
        for item in (evidence.chosen, *evidence.rejected):
            for name in _names(item) if item is not None else ():
                met.setdefault(name, place)
    return met


def _names(item: Item) -> frozenset[str]:
    """What an item is known by: the two kinds never meet."""
    return frozenset({_identified(item), _titled(item.title)} if item.title else {_identified(item)})


def _identified(item: Item) -> str:
    return f"id {item.id}"


def _titled(title: str) -> str:
    return f"title {written(title)}"


def check_views(exam: Exam, views: Sequence[View]) -> None:
    """Raises Dishonest: a view knows what is asked about, does not say how many events it knows, or its titles are misread."""
    if len(views) != len(exam.questions):
        raise Dishonest(f"{exam.name}: {len(views)} views for {len(exam.questions)} questions: one for each, in their order")
    asked = zip(exam.questions, views, strict=True)
    told = {(question.user, question.after): view for question, view in asked if not view.stranger}
    for (user, after), view in told.items():
        _check_known(exam.name, exam.people[user], after, view)
    met = {user: _first_met(exam.people[user]) for user in {user for (user, _), view in told.items() if view.text}}
    texts = [(met[user], after, view.text) for (user, after), view in told.items() if view.text]
    early = sum(_quotes_the_future(*one) for one in texts)
    if early > FROM_THE_FUTURE * len(texts):
        raise Dishonest(
            f"{exam.name}: {early} of {len(texts)} texts quote a title that the person meets only later: "
            "the last update must end where the question stands"
        )
    misread = sum(_misreads_a_title(*one) for one in texts)
    if misread > MISREAD * len(texts):
        raise Dishonest(
            f"{exam.name}: in {misread} of {len(texts)} texts a title reads as an attribute: write titles in quotes"
        )


def _check_known(exam: str, person: Person, after: int, view: View) -> None:
    if not view.text and not view.evidence:
        return
    if not view.num_known and after:
        raise Dishonest(f"{exam}: a view of {person.user} does not say how many events it was made from: set num_known")
    if max(view.num_known, len(view.evidence)) > after:
        raise Dishonest(
            f"{exam}: of {person.user} {after} events may be known, and a view was made from "
            f"{max(view.num_known, len(view.evidence))}: the last update must end where the question stands"
        )
    if view.evidence and max(one.at_seconds for one in view.evidence) > person.events[after - 1].at.timestamp():
        raise Dishonest(f"{exam}: a view of {person.user} holds evidence from after their first {after} events")


def _quotes_the_future(met: Mapping[str, int], after: int, text: str) -> bool:
    return any(met.get(_titled(title), -1) >= after for title in _QUOTED.findall(text))


def _misreads_a_title(met: Mapping[str, int], after: int, text: str) -> bool:
    sections = parse(text).sections
    attributes = [value for one in sections for value in (*one.loves, *one.likes, *one.mixed, *one.dislikes, *one.often)]
    return any(met.get(_titled(value), after) < after for value in attributes)


def check_folds(exam: Exam, folds: Sequence[Fold]) -> None:
    """Raises Dishonest: a catalogue knows who is asked or fitted to, or the future; or a question is not asked exactly once."""
    for fold in folds:
        _check_people(fold)
        _check_time(exam.name, fold)
    for user, after in dict.fromkeys((question.user, question.after) for question in exam.questions):
        person = exam.people[user]
        asking = [fold for fold in folds if fold.asks(person, after)]
        if len(asking) != 1:
            raise Dishonest(
                f"{exam.name}: {user} is asked in {len(asking)} folds, not in one: draw exam and folds from one seed"
            )
        for catalogue in _catalogues(asking[0]):
            if catalogue.before_seconds is not None and catalogue.before_seconds > next_at(person, after):
                raise Dishonest(f"{exam.name}: a catalogue knows what happened after {user} is asked: end it before")


def _catalogues(fold: Fold) -> list[Catalogue]:
    return [fold.catalogue, *(lesson.catalogue for lesson in fold.lessons)]


def _check_people(fold: Fold) -> None:
    for catalogue in _catalogues(fold):
        if seen := catalogue.users & fold.asked:
            raise Dishonest(f"item statistics know {len(seen)} people who are asked: leave their fold out of the catalogue")
    for lesson in fold.lessons:
        if seen := lesson.fitted & fold.asked:
            raise Dishonest(f"a reader is fitted to {len(seen)} people whom it is asked about: fit it to another fold")
        if seen := lesson.fitted & lesson.catalogue.users:
            raise Dishonest(f"item statistics know {len(seen)} people whom a reader is fitted to: leave their fold out, too")


def _check_time(exam: str, fold: Fold) -> None:
    ends = [catalogue.before_seconds for catalogue in _catalogues(fold)]
    if STRICT in exam and any(end is None or end > fold.begins_at for end in ends):
        raise Dishonest(f"{exam}: a catalogue has no end in time, or ends after its era begins: use strict_folds_of")


class _Constant:
    """A reader that says nothing of anybody."""

    name = "constant"

    def __init__(self, probability: float) -> None:
        self._probability = probability

    def fit(self, asked: Sequence[Asked], took_first: NDArray[np.bool_]) -> None:
        """There is nothing to learn."""

    def prefer(self, asked: Sequence[Asked]) -> NDArray[np.float64]:
        """The same of every pair."""
        return np.full(len(asked), self._probability)


def _constant(probability: float, catalogue: Catalogue) -> _Constant:
    return _Constant(probability)


def check_grading(exam: str, accuracy_of: Callable[[Callable[[Catalogue], _Constant]], float]) -> None:
    """Raises Dishonest: ``accuracy_of`` gives a reader that always says the same more or less than half of the answers.

    One that leans to a place shows answers asked for in one order only; one that never leans shows ties counted as right.
    """
    for probability, why in ((0.5, "count ties half"), (0.9, "ask every question in both orders")):
        accuracy = accuracy_of(partial(_constant, probability))
        if accuracy != 0.5:
            raise Dishonest(f"{exam}: a reader that always says {probability} is right in {accuracy:.1%}, not in half: {why}")
