"""The prior (R0): how good and how popular items are to other people; it reads no view (catalogue → **reader**)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from evaluation.catalogue import Catalogue
from evaluation.readers.weighed import Weighed
from evaluation.records import Asked
from prefstream.events import Item


class Standing(Struct, frozen=True, eq=False):
    """An item's mean strength, and the logarithm of how many met it; an item nobody knows is average and met by nobody."""

    catalogue: Catalogue

    def differences(self, asked: Sequence[Asked]) -> NDArray[np.float64]:
        """Two columns: mean and popularity."""
        first, second = ([self._row(getattr(one, side)) for one in asked] for side in ("first", "second"))
        standing = self._standing()
        return np.asarray(standing[first] - standing[second])

    def _row(self, item: Item) -> int:
        return self.catalogue.rows.get(item.id, len(self.catalogue.items))

    def _standing(self) -> NDArray[np.float64]:
        means, counts = self.catalogue.means, self.catalogue.counts
        average = means.mean() if len(means) else 0.0
        return np.stack([np.append(means, average), np.append(np.log1p(counts), 0.0)], axis=1)


def make(catalogue: Catalogue) -> Weighed:
    """The reader."""
    return Weighed("prior", (Standing(catalogue),))
