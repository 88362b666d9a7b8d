"""Implicit reward: does a model trained on preferences prefer the right answer more than it did before (DPO's own test)?

The implicit reward of an answer is how much likelier the trained model finds it than its reference, both given the same prompt.
A row is right where the chosen answer's is strictly greater; a tie is wrong, or who changed nothing would be right by half.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray


class LogProbabilities(Struct, frozen=True):
    """Of one row's two answers, summed over their tokens, as the trained model and the reference have them."""

    trained_chosen: float
    trained_rejected: float
    reference_chosen: float
    reference_rejected: float

    @property
    def margin(self) -> float:
        """How much greater the implicit reward of the chosen answer is, in nats (beta changes no sign)."""
        return (self.trained_chosen - self.reference_chosen) - (self.trained_rejected - self.reference_rejected)


def right(rows: Sequence[LogProbabilities]) -> NDArray[np.float64]:
    """1 for each row whose chosen answer is rewarded more, 0 for the others, ties and what is no number among them.

    Its mean is the accuracy (:func:`evaluation.intervals.interval`); of two runs on the same rows
    :func:`evaluation.intervals.difference` is the gap, as between a person's true vector and the inferred one.
    """
    return np.array([row.margin > 0 for row in rows], dtype=np.float64)
