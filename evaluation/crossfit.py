"""Cross-fitting: who is asked, who a reader learns from, and whose behaviour its items are known by are different people.

Everybody is asked once, in one of five folds. A reader fitted to people its catalogue knows would trust the catalogue too much,
as it has seen their answers. So each of the other four folds has its turn: a reader is fitted to it and knows items by the
other three, and the four readers answer together.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from msgspec import Struct

from evaluation.catalogue import Catalogue
from evaluation.people import NUM_FOLDS, fold_of
from evaluation.records import Person


class Lesson(Struct, frozen=True, eq=False):
    """The people a reader is ``fitted`` to, and the ``catalogue`` of others that it knows items by."""

    fitted: frozenset[str]
    catalogue: Catalogue


class Fold(Struct, frozen=True, eq=False):
    """The people who are ``asked``, the ``catalogue`` of all others, and the ``lessons`` of the readers that answer."""

    asked: frozenset[str]
    catalogue: Catalogue
    lessons: tuple[Lesson, ...]


def folds_of(people: Mapping[str, Person], seed: int) -> tuple[Fold, ...]:
    """Five folds in which everybody is asked once; the same people and seed give the same folds."""
    of_fold = [frozenset(user for user in people if fold_of(user, seed) == fold) for fold in range(NUM_FOLDS)]
    items = Catalogue.of(people.values()).items

    @cache
    def without(unknown: frozenset[int]) -> Catalogue:
        others = (person for user, person in people.items() if fold_of(user, seed) not in unknown)
        return Catalogue.of(others, items=items)

    return tuple(
        Fold(
            asked,
            without(frozenset({fold})),
            tuple(Lesson(of_fold[other], without(frozenset({fold, other}))) for other in range(NUM_FOLDS) if other != fold),
        )
        for fold, asked in enumerate(of_fold)
    )
