"""Weighed features: a reader that adds up what speaks for either item, by weights learnt from others (view → **reader**)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from evaluation.records import Asked

INVERSE_PENALTY = 0.003
"""On what is said, whose features are scaled to a mean square of 1: with 1.0, what says nothing costs two points."""
KNOWN_SCALE = 10.0
"""What is known without a view is scaled up, and so hardly penalised: a view that says nothing leaves the prior as it is."""
MAX_ITERATIONS = 1_000


class Features(Protocol):
    """Something that can speak for an item."""

    def differences(self, asked: Sequence[Asked]) -> NDArray[np.float64]:
        """A row a question, a column a feature: that of the first item less that of the second.

        Exchanging the items turns the sign of the row and changes nothing else; 0 where the feature says nothing.
        """


class Weighed:
    """A logistic regression without an intercept, so that it leans to neither place; before it is fitted nothing speaks.

    ``known`` features need no view, ``said`` ones are what a view says.
    """

    def __init__(self, name: str, known: Sequence[Features] = (), said: Sequence[Features] = ()) -> None:
        self.name = name
        self._known = known
        self._said = said
        self._weights: NDArray[np.float64] | None = None

    def fit(self, asked: Sequence[Asked], took_first: NDArray[np.bool_]) -> None:
        """The weights of the features; of no question at all nothing is learnt."""
        if not asked:
            return
        differences = self._differences(asked)
        scale = np.sqrt((differences**2).mean(axis=0))
        scale[scale == 0] = 1.0
        scale[: self._num_known(asked)] /= KNOWN_SCALE
        chosen = np.where(took_first[:, None], differences, -differences) / scale
        model = LogisticRegression(C=INVERSE_PENALTY, fit_intercept=False, max_iter=MAX_ITERATIONS)
        model.fit(np.vstack([chosen, -chosen]), np.repeat([True, False], len(chosen)))
        self._weights = model.coef_[0] / scale

    def prefer(self, asked: Sequence[Asked]) -> NDArray[np.float64]:
        """The probability that the first item is taken."""
        if not asked or self._weights is None:
            return np.full(len(asked), 0.5)
        return probability(self._differences(asked) @ self._weights)

    def _differences(self, asked: Sequence[Asked]) -> NDArray[np.float64]:
        return np.hstack([features.differences(asked) for features in (*self._known, *self._said)])

    def _num_known(self, asked: Sequence[Asked]) -> int:
        return sum(features.differences(asked[:1]).shape[1] for features in self._known)


def probability(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """The logistic function, which is 1/2 at 0 and never overflows."""
    return np.asarray(0.5 + 0.5 * np.tanh(log_odds / 2.0))
