"""Cross-fitting: who is asked, who a reader learns from, and whose behaviour its items are known by are different people.

Everybody is asked once, in one of five folds. A reader fitted to people its catalogue knows would trust the catalogue too much,
as it has seen their answers. So of the other four folds each has its turn: a reader is fitted to it and knows items by the
other three, and the four readers answer together.

In the strict variant a catalogue also ends before what it is asked about: time is parted into eras, and a question of an era
is asked of catalogues of what happened before the era began. What a reader's few weights are fitted to are other people's
questions of all eras.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from msgspec import Struct

from evaluation.catalogue import Catalogue
from evaluation.people import NUM_FOLDS, fold_of
from evaluation.records import Person

STRICT = ", strict"
"""In the name of an exam whose item statistics are all from before what is asked about."""

ERAS_BEGIN_AT = (0.2, 0.4, 0.6, 0.8)
"""Shares of all events: nobody is asked before the first, as nothing is known of most items."""


class Lesson(Struct, frozen=True, eq=False):
    """The people a reader is ``fitted`` to, and the ``catalogue`` of others that it knows items by."""

    fitted: frozenset[str]
    catalogue: Catalogue


class Fold(Struct, frozen=True, eq=False):
    """The people who are ``asked``, the ``catalogue`` of all others, and the ``lessons`` of the readers that answer.

    They are asked here where what they do next begins in the era, from ``begins_at`` until before ``ends_at`` (seconds since
    1970): always, but for the strict variant.
    """

    asked: frozenset[str]
    catalogue: Catalogue
    lessons: tuple[Lesson, ...]
    begins_at: float = -math.inf
    ends_at: float = math.inf

    def asks(self, person: Person, after: int) -> bool:
        """Whether what the person does next, behind their first ``after`` events, is asked about in this fold."""
        at = next_at(person, after)
        return person.user in self.asked and self.begins_at <= at and (at < self.ends_at or self.ends_at == math.inf)


def next_at(person: Person, after: int) -> float:
    """When the first event behind the first ``after`` happened, in seconds since 1970; behind the last one: never yet."""
    return person.events[after].at.timestamp() if after < len(person.events) else math.inf


def folds_of(people: Mapping[str, Person], seed: int) -> tuple[Fold, ...]:
    """Five folds in which everybody is asked once; the same people and seed give the same folds."""
    return _folds(people, seed, Catalogue.of(people.values()), (-math.inf, math.inf))


def strict_folds_of(people: Mapping[str, Person], seed: int, shares: Sequence[float] = ERAS_BEGIN_AT) -> tuple[Fold, ...]:
    """Five folds an era: no item statistic is from the future. ``shares`` of all events lie before the eras, rising."""
    times = np.sort([event.at.timestamp() for person in people.values() for event in person.events])
    begins = [float(times[int(share * len(times))]) for share in shares]
    items = Catalogue.of(people.values()).items
    eras = pairwise([*begins, math.inf])
    return tuple(fold for era in eras for fold in _folds(people, seed, Catalogue.of(people.values(), era[0], items), era))


def _folds(users: Iterable[str], seed: int, everybody: Catalogue, era: tuple[float, float]) -> tuple[Fold, ...]:
    of_fold: list[set[str]] = [set() for _ in range(NUM_FOLDS)]
    for user in users:
        of_fold[fold_of(user, seed)].add(user)
    pairs: dict[frozenset[int], Catalogue] = {}

    def without(*folds: int) -> Catalogue:
        left = frozenset(folds)
        if left not in pairs:
            pairs[left] = everybody.without(set[str]().union(*(of_fold[fold] for fold in folds)))
        return pairs[left]

    folds = range(NUM_FOLDS)
    return tuple(
        Fold(
            frozenset(of_fold[fold]),
            without(fold),
            tuple(Lesson(frozenset(of_fold[other]), without(fold, other)) for other in folds if other != fold),
            *era,
        )
        for fold in folds
    )
