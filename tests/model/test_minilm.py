"""MiniLM itself, in the engine's environment: what means the same is near."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.readers.minilm import compute


def test_what_means_the_same_is_near() -> None:
    war, battle, love = np.concatenate(list(compute(["a war film", "a picture of a battle", "a love story"])))
    assert np.linalg.norm(war) == pytest.approx(1.0, abs=1e-5)
    assert war @ battle > war @ love + 0.1


def test_a_vector_does_not_depend_on_what_is_computed_beside_it() -> None:
    alone, beside = next(compute(["a war film"])), next(compute(["a war film", "a much longer text about a love story"]))
    assert alone == pytest.approx(beside, abs=1e-5)
