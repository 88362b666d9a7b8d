"""The ceiling's own numbers: each of the three knows the camps, and reads no text."""

from __future__ import annotations

import pytest

from evaluation.readers.ceiling import Numbers
from evaluation.records import View
from tests.evaluation.readers.films import ROMANCES, WARS, asked, catalogue, evidence_about, person


def test_every_number_leans_to_the_films_of_the_camp() -> None:
    view = View(evidence=evidence_about(person("x", WARS[3:], ROMANCES[3:])))
    forward, backward, _ = Numbers(catalogue()).differences(asked(view))
    assert (forward > 0).all()
    assert forward == pytest.approx(-backward)


def test_a_text_has_no_numbers() -> None:
    assert (Numbers(catalogue()).differences(asked(View("Loves war."))) == 0.0).all()
