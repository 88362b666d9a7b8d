"""A row is right where training made the chosen answer likelier by more than the rejected one; no change is no success."""

from __future__ import annotations

import math

import pytest

from evaluation.implicit_reward import LogProbabilities, right


@pytest.mark.parametrize(
    ("row", "is_right"),
    [
        (LogProbabilities(-10.0, -10.0, -12.0, -11.0), 1.0),
        (LogProbabilities(-12.0, -11.0, -10.0, -10.0), 0.0),
        (LogProbabilities(-5.0, -90.0, -5.0, -90.0), 0.0),
        (LogProbabilities(-50.0, -9.0, -60.0, -10.0), 1.0),
        (LogProbabilities(math.nan, -9.0, -60.0, -10.0), 0.0),
        (LogProbabilities(-math.inf, -math.inf, -1.0, -1.0), 0.0),
    ],
    ids=["right", "wrong", "unchanged", "unlikelier, and right", "no number", "both impossible"],
)
def test_the_reference_is_taken_off(row: LogProbabilities, is_right: float) -> None:
    assert right([row]).tolist() == [is_right]
