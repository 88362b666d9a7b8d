"""Cross-fitting: who is asked, who a reader learns from, and whose behaviour its items are known by are different people.

Everybody is asked once. Of the other four folds, three are what items are known by and one is what a reader's weights are
fitted to: a reader fitted to people its catalogue knows would trust the catalogue too much, as it has seen their answers.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from evaluation.catalogue import Catalogue
from evaluation.people import NUM_FOLDS, fold_of
from evaluation.records import Person


class Fold(Struct, frozen=True, eq=False):
    """The people who are ``asked``, those a reader is ``fitted`` to, and the ``catalogue`` of the rest."""

    asked: frozenset[str]
    fitted: frozenset[str]
    catalogue: Catalogue


def folds_of(people: Mapping[str, Person], seed: int) -> tuple[Fold, ...]:
    """Five folds in which everybody is asked once; the same people and seed give the same folds."""
    of_fold = [frozenset(user for user in people if fold_of(user, seed) == fold) for fold in range(NUM_FOLDS)]
    items = Catalogue.of(people.values()).items
    folds = []
    for fold, asked in enumerate(of_fold):
        fitted = of_fold[(fold + 1) % NUM_FOLDS]
        others = (person for user, person in people.items() if user not in asked | fitted)
        folds.append(Fold(asked, fitted, Catalogue.of(others, items=items)))
    return tuple(folds)
