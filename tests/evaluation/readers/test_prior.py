"""The prior: it prefers what others like and know, and reads no view."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.catalogue import Catalogue
from evaluation.readers import prior
from evaluation.records import Asked, View
from prefstream.events import Item
from tests.evaluation.readers.films import ROMANCES, WARS, person

LIKED, DISLIKED, POPULAR, RARE = WARS[0], WARS[1], ROMANCES[0], ROMANCES[1]
OTHERS = Catalogue.of(
    [
        person(f"u{n}", (LIKED, POPULAR) if n % 2 else (LIKED,), (DISLIKED, POPULAR) if not n % 2 else (DISLIKED,))
        for n in range(8)
    ]
    + [person("odd", (RARE,), ()), person("even", (), (RARE,))]
)
STRANGE = Item("strange")


@pytest.mark.parametrize(
    ("taught", "asked"),
    [
        (((LIKED, DISLIKED), (LIKED, RARE), (POPULAR, DISLIKED)), (LIKED, POPULAR)),
        (((POPULAR, RARE), (POPULAR, STRANGE), (LIKED, RARE)), (POPULAR, RARE)),
    ],
    ids=["liked", "popular"],
)
def test_what_others_like_and_know_is_preferred(taught: tuple[tuple[Item, Item], ...], asked: tuple[Item, Item]) -> None:
    reader = prior.make(OTHERS)
    reader.fit([Asked(View(), *pair) for pair in taught], np.repeat(True, len(taught)))
    told, untold = reader.prefer([Asked(View("Loves opera."), *asked), Asked(View(), *asked)])
    assert told == untold > 0.5


def test_an_item_that_nobody_knows_is_average_and_unpopular() -> None:
    assert prior.Standing(OTHERS).differences([Asked(View(), STRANGE, STRANGE)]) == pytest.approx(0.0)
    mean, popularity = prior.Standing(OTHERS).differences([Asked(View(), LIKED, STRANGE)])[0]
    assert mean == pytest.approx(OTHERS.means[OTHERS.rows[LIKED.id]] - OTHERS.means.mean())
    assert popularity == pytest.approx(np.log(9))
