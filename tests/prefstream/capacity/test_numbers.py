"""Numbers as people write and read them."""

from __future__ import annotations

import pytest

from prefstream.capacity.numbers import human, human_bytes, human_seconds, human_share, read_amount


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1e9", 1e9),
        ("1.2M", 1.2e6),
        ("20%", 0.2),
        ("50,000", 5e4),
        ("1,234,567.5", 1_234_567.5),
        (" 10k ", 1e4),
        ("2 B", 2e9),
        ("1g", 1e9),
        ("0", 0),
    ],
)
def test_amounts_are_read(text: str, amount: float) -> None:
    assert read_amount(text) == pytest.approx(amount)


@pytest.mark.parametrize(
    "text", ["", "abc", "-1", "1 2", "1.2.3", "nan", "inf", "1e999", "5x", "2,5", "1,0000", "1,,000", "1000,000"]
)
def test_what_is_no_amount_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no amount: write a number such as 1200, 1\.2M"):
        read_amount(text)


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (0, "0"),
        (0.0418, "0.042"),
        (2.586, "2.6"),
        (7, "7"),
        (61.72, "61.7"),
        (999.9, "1,000"),
        (9_740, "9,740"),
        (12_345, "12.3 k"),
        (289_351, "289 k"),
        (999_900, "1 M"),
        (1_234_567, "1.2 M"),
        (3.944e9, "3.9 B"),
        (3.74e12, "3.7 T"),
    ],
)
def test_amounts_are_shown_with_the_digits_that_count(amount: float, shown: str) -> None:
    assert human(amount) == shown


def test_units_are_the_largest_that_fit() -> None:
    sizes = (950, 9_740, 2.64e11, 3.28e14, 2e15)
    assert [human_bytes(size) for size in sizes] == ["950 B", "9.7 kB", "264 GB", "328 TB", "2 PB"]
    times = (0.2, 60, 89, 300, 5_400, 200_000)
    assert [human_seconds(time) for time in times] == ["0.2 s", "60 s", "89 s", "5 min", "1.5 h", "2.3 d"]
    assert [human_share(share) for share in (0, 1e-9, 0.2, 1)] == ["0 %", "0 %", "20 %", "100 %"]
