"""The lexical reader (R1): what a text's words alone say of an item, by :mod:`streams.lexical` (view → **reader**)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from evaluation.catalogue import Catalogue
from evaluation.readers.prior import Standing
from evaluation.readers.understood import claims_of
from evaluation.readers.weighed import Weighed, probability
from evaluation.records import Asked
from streams.lexical import lean


class Lexical(Struct, frozen=True):
    """A reader that knows no catalogue and learns nothing. A lean is taken for log odds: only its sign is more than a guess."""

    name: str = "lexical"

    def fit(self, asked: Sequence[Asked], took_first: NDArray[np.bool_]) -> None:
        """There is nothing to learn."""

    def prefer(self, asked: Sequence[Asked]) -> NDArray[np.float64]:
        """The probability that the first item is taken."""
        return probability(self.differences(asked)[:, 0])

    def differences(self, asked: Sequence[Asked]) -> NDArray[np.float64]:
        """One column: how far the claims lean to the first item."""
        return np.array([[lean(claims_of(one.view), one.first, one.second)] for one in asked]).reshape(len(asked), 1)


def make(_: Catalogue) -> Lexical:
    """The reader; of the catalogue it needs nothing."""
    return Lexical()


def make_with_prior(catalogue: Catalogue) -> Weighed:
    """The prior and the lean, weighed against each other on other people."""
    return Weighed("prior + lexical", (Standing(catalogue),), (Lexical(),))
