"""A panel's number reads as a person would say it."""

from __future__ import annotations

import pytest

from deploy.grafana.boards import Unit
from deploy.observe.units import shown


@pytest.mark.parametrize(
    ("unit", "value", "words"),
    [
        ("s", 0, "0 s"),
        ("s", 0.25, "250 ms"),
        ("s", 61, "61 s"),
        ("s", 210, "3.5 min"),
        ("s", 7_200, "2 h"),
        ("s", 864_000, "10 d"),
        ("bytes", 512, "512 B"),
        ("bytes", 1_020, "0.996 KiB"),
        ("bytes", 190_840_832, "182 MiB"),
        ("bytes", 3 * 1_024**5, "3.07e+03 TiB"),
        ("percentunit", 0.2534, "25.3 %"),
        ("eps", 20.4, "20.4/s"),
        ("ops", 0, "0/s"),
        ("short", 2_400, "2.4 k"),
        ("short", 3_200_000, "3.2 M"),
        ("none", 1, "1"),
        ("currency", 0.0646, "0.0646"),
    ],
)
def test_a_number_with_its_unit(unit: Unit, value: float, words: str) -> None:
    assert shown(unit, value) == words
