"""The ceiling: what numbers tell that are told nobody, from all of a person's evidence itself (evidence → **reader**).

Beside what the catalogue reader reads of the evidence: the nearest items by how strongly each was liked, factors of what
everybody thinks of all items, and a linear model of what is liked by what else is. A text tells it what it tells the catalogue
reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import svds

from evaluation.catalogue import LIKED, Catalogue
from evaluation.readers.catalogue import NUM_KEPT, Matrix, said_of
from evaluation.readers.prior import Standing
from evaluation.readers.understood import by_view, strengths_of
from evaluation.readers.weighed import Weighed
from evaluation.records import Asked, View

NUM_FACTORS = 12
FACTOR_PENALTY = 10.0
LINEAR_PENALTY = 200.0
NUM_COLUMNS = 3


class Numbers(Struct, frozen=True, eq=False, dict=True):
    """Three columns: nearest items, factors, linear model."""

    catalogue: Catalogue

    def differences(self, asked: Sequence[Asked]) -> NDArray[np.float64]:
        """Of evidence; zeros for a view that holds none."""
        differences = np.zeros((len(asked), NUM_COLUMNS))
        rows, unknown = self.catalogue.rows, len(self.catalogue.items)
        for view, places in by_view(asked):
            worth = self._worth(view)
            first, second = (
                [rows.get(getattr(asked[place], side).id, unknown) for place in places] for side in ("first", "second")
            )
            differences[places] = worth[first] - worth[second]
        return differences

    def _worth(self, view: View) -> NDArray[np.float64]:
        met = {
            row: strength for item, strength in strengths_of(view).items() if (row := self.catalogue.rows.get(item)) is not None
        }
        worth = np.zeros((len(self.catalogue.items) + 1, NUM_COLUMNS))
        if met:
            rows, strengths = np.array(list(met)), np.array(list(met.values()))
            usual = strengths - self.catalogue.means[rows]
            surprising = usual - usual.sum() / (len(usual) + FACTOR_PENALTY)
            worth[:-1, 0] = _nearest(self.catalogue.agreement[rows], surprising)
            worth[:-1, 1] = self._factored(rows, surprising)
            worth[:-1, 2] = self._linear[rows[strengths >= LIKED]].sum(axis=0)
        return worth

    def _factored(self, rows: NDArray[np.int64], surprising: NDArray[np.float64]) -> NDArray[np.float64]:
        own = self._factors[rows]
        squares = own.T @ own + FACTOR_PENALTY * np.eye(own.shape[1])
        return np.asarray(self._factors @ np.linalg.solve(squares, own.T @ surprising))

    @cached_property
    def _factors(self) -> NDArray[np.float64]:
        """Items by factors of what people think of them beyond the means, each of the length of its singular value's root."""
        surprising = _surprising(self.catalogue)
        num_factors = min(NUM_FACTORS, min(surprising.shape) - 1)
        if num_factors < 1:
            return np.zeros((len(self.catalogue.items), 1))
        _, values, factors = svds(surprising, k=num_factors, random_state=np.random.default_rng(0))
        return np.asarray(factors.T * np.sqrt(values))

    @cached_property
    def _linear(self) -> Matrix:
        """Items by items: what each liked one says of each other, all together, in a ridge regression ("EASE", Steck 2019)."""
        strengths = self.catalogue.strengths
        liked = sparse.csr_matrix(((strengths.data >= LIKED + 2.0) * 1.0, strengths.indices, strengths.indptr), strengths.shape)
        inverse = np.linalg.inv((liked.T @ liked).toarray() + LINEAR_PENALTY * np.eye(strengths.shape[1]))
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0.0)
        return np.asarray(weights, np.float32)


def _nearest(agreement: Matrix, surprising: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(surprising @ agreement / (np.abs(agreement).sum(axis=0) + 1.0))


def _surprising(catalogue: Catalogue) -> sparse.csr_matrix:
    """People by items: strengths less the item's mean, less what is then usual of the person."""
    met = catalogue.strengths
    above = met.data - 2.0 - catalogue.means[met.indices]
    per_person = np.diff(met.indptr)
    people = np.repeat(np.arange(len(per_person)), per_person)
    usual = np.bincount(people, weights=above, minlength=len(per_person)) / (per_person + FACTOR_PENALTY)
    return sparse.csr_matrix((above - usual[people], met.indices, met.indptr), met.shape)


@lru_cache(NUM_KEPT)
def _numbers(catalogue: Catalogue) -> Numbers:
    return Numbers(catalogue)


def make(catalogue: Catalogue) -> Weighed:
    """The reader."""
    return Weighed("ceiling", (Standing(catalogue),), (said_of(catalogue), _numbers(catalogue)))
