"""Catalogue: what other people's behaviour says of items (people → **catalogue** → reader).

A catalogue knows whose behaviour it was made of, so that grading can refuse one that has seen the answers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cached_property, lru_cache

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy import sparse

from evaluation.records import Person
from prefstream.events import Item
from streams.evidence import Evidence, evidence_of, title_of
from streams.evolution.prose import MAX_TITLE_CHARS, quotable
from streams.weights import TallyPolicy

MEAN_OF = 5.0  # so many people at the mean of all items stand behind every item
AGREEMENT_OF = 20.0
LIKED_OF = 5.0
LIKED = 0.5  # a strength from which somebody liked an item: 4 of 5 stars


class Catalogue(Struct, frozen=True, dict=True, eq=False):
    """Items and what ``people`` made of them, before the instant ``before_seconds`` where one is given.

    Arrays have a row per item, in the order of ``items``. ``strengths`` is sparse, ``people`` by items: how strongly each of
    them liked an item, -1 to 1 (the last time they met it), plus 2, so that no entry is 0.
    """

    items: tuple[Item, ...]
    people: tuple[str, ...]
    before_seconds: float | None
    strengths: sparse.csr_matrix

    @classmethod
    def of(cls, people: Iterable[Person], before_seconds: float | None = None, items: Iterable[Item] = ()) -> Catalogue:
        """The catalogue of these people's events, of those before ``before_seconds`` alone where it is given.

        ``items`` are known even where nobody met them.
        """
        people = tuple(people)
        known = {item.id: item for item in items}
        met: list[tuple[int, str, float]] = []
        for place, person in enumerate(people):
            for item, strength in _met(person, before_seconds).values():
                known.setdefault(item.id, item)
                met.append((place, item.id, strength))
        rows = {item: row for row, item in enumerate(known)}
        users = tuple(person.user for person in people)
        return cls(tuple(known.values()), users, before_seconds, _matrix(met, rows, len(people)))

    def without(self, users: Collection[str]) -> Catalogue:
        """The catalogue of everybody else; it has the same items in the same rows."""
        kept = [place for place, user in enumerate(self.people) if user not in users]
        others = tuple(self.people[place] for place in kept)
        return Catalogue(self.items, others, self.before_seconds, self.strengths[kept])

    @cached_property
    def users(self) -> frozenset[str]:
        """Whose behaviour it was made of."""
        return frozenset(self.people)

    @cached_property
    def rows(self) -> dict[str, int]:
        """The row of each item, by id."""
        return {item.id: row for row, item in enumerate(self.items)}

    @cached_property
    def titles(self) -> tuple[str, ...]:
        """The title of each item, or its id where it has none, as a summary writes it, in lower case."""
        return tuple(written(title_of(item)) for item in self.items)

    @cached_property
    def titled(self) -> dict[str, tuple[int, ...]]:
        """The rows of each title: several where items share one."""
        rows: dict[str, tuple[int, ...]] = {}
        for row, title in enumerate(self.titles):
            rows[title] = (*rows.get(title, ()), row)
        return rows

    @cached_property
    def counts(self) -> NDArray[np.float64]:
        """How many people met each item."""
        return np.bincount(self.strengths.indices, minlength=len(self.items)).astype(np.float64)

    @cached_property
    def means(self) -> NDArray[np.float64]:
        """The mean strength of each item, -1 to 1, drawn to that of all items by five people's worth."""
        met = self.strengths
        total = met.data.sum() - 2.0 * met.nnz
        sums = np.bincount(met.indices, weights=met.data - 2.0, minlength=len(self.items))
        return np.asarray((sums + MEAN_OF * total / max(met.nnz, 1)) / (self.counts + MEAN_OF))

    @cached_property
    def by_rank(self) -> NDArray[np.int64]:
        """The rows, of the most popular item first: by how many met it; ties by their place among the items."""
        return np.argsort(-self.counts, kind="stable")

    @cached_property
    def ranks(self) -> NDArray[np.int64]:
        """The place of each item in ``by_rank``, 0 the most popular."""
        ranks = np.empty(len(self.items), np.int64)
        ranks[self.by_rank] = np.arange(len(self.items))
        return ranks

    @cached_property
    def agreement(self) -> NDArray[np.float32]:
        """Items by items, -1 to 1: how alike the same people took both, against what each of them thinks of all items.

        The cosine of strengths less the person's mean, over those who met both, drawn to 0 where they are few; 0 with itself.
        """
        met = _centred(self.strengths)
        there = sparse.csr_matrix((np.ones_like(met.data), met.indices, met.indptr), met.shape)
        together = _dense(there.T @ there)
        squares = _dense(met.multiply(met).T @ there)
        cosine = _dense(met.T @ met) / np.sqrt(np.maximum(squares * squares.T, 1e-12))
        return _without_self(cosine * together / (together + AGREEMENT_OF))

    @cached_property
    def liked_together(self) -> NDArray[np.float32]:
        """Items by items, 0 to 1: the share of people who liked both among those who liked either (Salton's cosine, shrunk).

        It partly reflects what a site showed together, so no result that rests on it alone is reported alone.
        """
        met = self.strengths
        liked = sparse.csr_matrix(((met.data >= LIKED + 2.0).astype(np.float64), met.indices, met.indptr), met.shape)
        both = _dense(liked.T @ liked)
        each = np.sqrt(both.diagonal() + LIKED_OF)
        return _without_self(both / each[:, None] / each[None, :])


@lru_cache(maxsize=1 << 16)
def written(title: str) -> str:
    """A title as a summary writes it between quotes, in lower case: what titles are compared by."""
    return quotable(title, MAX_TITLE_CHARS).casefold()


def _met(person: Person, before_seconds: float | None) -> dict[str, tuple[Item, float]]:
    """What the person met and how strongly they took it, by item id."""
    met: dict[str, tuple[Item, float]] = {}
    for evidence in map(evidence_of, person.events):
        if before_seconds is None or evidence.at_seconds < before_seconds:
            met.update((item.id, (item, strength)) for item, strength in _touched(evidence))
    return met


def _touched(evidence: Evidence) -> list[tuple[Item, float]]:
    if evidence.chosen is None:
        return [(item, evidence.strength) for item in evidence.rejected]
    # What was left for something better was not disliked for it: together they weigh as much as in the tally.
    left = -TallyPolicy().left * evidence.strength / max(len(evidence.rejected), 1)
    return [(evidence.chosen, evidence.strength), *((item, left) for item in evidence.rejected)]


def _matrix(met: list[tuple[int, str, float]], rows: dict[str, int], num_people: int) -> sparse.csr_matrix:
    entries = [strength + 2.0 for _, _, strength in met]
    places = ([place for place, _, _ in met], [rows[item] for _, item, _ in met])
    return sparse.csr_matrix((entries, places), shape=(num_people, len(rows)), dtype=np.float64)


def _centred(met: sparse.csr_matrix) -> sparse.csr_matrix:
    per_person = np.diff(met.indptr)
    means = np.asarray(met.sum(axis=1)).ravel() / np.maximum(per_person, 1)
    return sparse.csr_matrix((met.data - np.repeat(means, per_person), met.indices, met.indptr), met.shape)


def _dense(product: sparse.csr_matrix) -> NDArray[np.float64]:
    return np.asarray(product.toarray(), np.float64)


def _without_self(matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    np.fill_diagonal(matrix, 0.0)
    return matrix.astype(np.float32)
