"""Who must not go on says how one can."""

from __future__ import annotations

import pytest

from prefstream.spread import Spread, why_unfit


@pytest.mark.parametrize(
    ("namespace", "fix"),
    [
        ("shop", "run `python -m agents.repartition --partitions 8`"),
        ("shop.shadow-next", "discard it, and begin a new one (`prefstream rebuild`)"),
    ],
)
def test_topics_with_more_partitions_than_users_are_spread_over(namespace: str, fix: str) -> None:
    counts = {f"{namespace}.pending": 4, "shop.events": 8}
    assert fix in (why_unfit(namespace, Spread(4), counts) or "")
    assert why_unfit(namespace, Spread(8), {"shop.events": 8}) is None
