"""The catalogue reader (R2), the primary one: what a view says, understood by what other people did (view → **reader**).

It is the prior and, weighed against it on other people's questions,

- *levels*: how much of an item is loved, liked, mixed, disliked or often chosen;
- *circles*: how much more than most those who liked the item take of what is loved, liked, mixed, disliked or often chosen;
- *titles*, favourites and dislikes apart: who agrees on them and the item (co-rating), who likes both (co-like), who met both.

With evidence instead of a text, the direct baseline, the same is read of the evidence itself, all of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy import sparse

from evaluation.catalogue import LIKED, Catalogue
from evaluation.readers.prior import Standing
from evaluation.readers.understood import LEVELS, Understood, attributes_of, by_view, understood
from evaluation.readers.weighed import Weighed
from evaluation.records import Asked

Matrix = NDArray[np.float32]
TOGETHER_OF = 1.0
CIRCLE_OF = 10.0
NUM_KEPT = 20
"""Catalogues whose matrices are kept, 23 MB each for 1,682 items: those of one cross-fitting."""


class Said(Struct, frozen=True, eq=False, dict=True):
    """What a view says of an item by itself and through other people, as columns: levels, circles, titles."""

    catalogue: Catalogue

    def differences(self, asked: Sequence[Asked]) -> NDArray[np.float64]:
        """A column for each level, each level's circle, and each way in which favourites and dislikes speak for an item."""
        differences = np.zeros((len(asked), 2 * len(LEVELS) + 2 * len(self._together)))
        for view, places in by_view(asked):
            first, second = (self._rows(asked, places, side) for side in ("first", "second"))
            worth = self._worth(understood(view, self.catalogue), np.union1d(first, second))
            differences[places] = worth[first] - worth[second]
        return differences

    def _rows(self, asked: Sequence[Asked], places: Sequence[int], side: str) -> NDArray[np.int64]:
        # The last row is that of an item nobody knows: all zeros.
        unknown = len(self.catalogue.items)
        return np.array([self.catalogue.rows.get(getattr(asked[place], side).id, unknown) for place in places])

    def _worth(self, said: Understood, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """The columns of these rows; the others are zeros."""
        worth = np.zeros((len(self.catalogue.items) + 1, 2 * len(LEVELS) + 2 * len(self._together)))
        rows = rows[rows < len(self.catalogue.items)]
        columns = [
            matrix[rows][:, self._named(said, level)].sum(axis=1) for matrix in (self._parts, self._circles) for level in LEVELS
        ]
        columns += [_spoken(parts, matrix, rows) for parts in (said.liked, said.disliked) for matrix in self._together]
        worth[rows] = np.stack(columns, axis=1)
        return worth

    def _named(self, said: Understood, level: str) -> list[int]:
        return sorted(self._attributes[value] for value in said.levels[level] if value in self._attributes)

    @cached_property
    def _attributes(self) -> dict[str, int]:
        names = dict.fromkeys(name for item in self.catalogue.items for name in attributes_of(item))
        return {name: column for column, name in enumerate(names)}

    @cached_property
    def _parts(self) -> Matrix:
        """Items by attributes: the part each has of the item; two that are loved are worth more than one."""
        parts = np.zeros((len(self.catalogue.items), len(self._attributes)), np.float32)
        for row, item in enumerate(self.catalogue.items):
            names = attributes_of(item)
            parts[row, [self._attributes[name] for name in names]] = 1.0 / (len(names) + 1)
        return parts

    @cached_property
    def _circles(self) -> Matrix:
        """Items by attributes: how much more than most people those who liked the item take of it, in standard deviations."""
        liked = _where(self.catalogue, LIKED)
        shares = (liked @ (self._parts > 0).astype(np.float64)) / (_sums(liked, 1) + 1.0)[:, None]
        deviations = shares.std(axis=0)
        unusual = (shares - shares.mean(axis=0)) / np.where(deviations > 0, deviations, 1.0)
        return np.asarray((liked.T @ unusual) / (_sums(liked, 0) + CIRCLE_OF)[:, None], np.float32)

    @cached_property
    def _together(self) -> tuple[Matrix, ...]:
        liked = _where(self.catalogue, LIKED)
        return self.catalogue.agreement, *(_lift(took, liked) for took in (liked, _where(self.catalogue, -1.0)))


def _where(catalogue: Catalogue, least: float) -> sparse.csr_matrix:
    """People by items: 1 where the strength is at least ``least``."""
    strengths = catalogue.strengths
    return sparse.csr_matrix(((strengths.data >= least + 2.0) * 1.0, strengths.indices, strengths.indptr), strengths.shape)


def _sums(matrix: sparse.csr_matrix, axis: int) -> NDArray[np.float64]:
    return np.asarray(matrix.sum(axis=axis), np.float64).ravel()


def _lift(took: sparse.csr_matrix, liked: sparse.csr_matrix) -> Matrix:
    """Items by items: the logarithm of how much oftener both were taken by one person than by chance, drawn to 0.

    Less what a liked item says on average: another person's favourites must not speak for an item because it is popular.
    """
    by_chance = np.outer(_sums(took, 0), _sums(took, 0)) / max(took.shape[0], 1)
    lift = np.log((took.T @ took).toarray() + TOGETHER_OF) - np.log(by_chance + TOGETHER_OF)
    np.fill_diagonal(lift, 0.0)
    weights = _sums(liked, 0)
    return np.asarray(lift - weights @ lift / max(weights.sum(), 1.0), np.float32)


def _spoken(parts: Mapping[int, float], matrix: Matrix, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """How some items speak for those of the rows: added up, less by the root of their number."""
    weights = np.array(list(parts.values()))
    spoken = weights @ matrix[list(parts)][:, rows] if parts else np.zeros(len(rows))
    return np.asarray(spoken / np.sqrt(max(weights.sum(), 1.0)))


@lru_cache(NUM_KEPT)
def said_of(catalogue: Catalogue) -> Said:
    """The features of a catalogue; its matrices take half a second, and every reader of it needs them."""
    return Said(catalogue)


def make(catalogue: Catalogue) -> Weighed:
    """The reader."""
    return Weighed("catalogue", (Standing(catalogue),), (said_of(catalogue),))
