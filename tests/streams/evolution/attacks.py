"""The attacks of ``attacks.toml`` as streams of events: each in a field of its own turn, behind a word of its own."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from random import Random

from evaluation.records import Person
from evaluation.slices.injection import FIELDS, Stream, attacked
from evaluation.slices.injection_templates import Template
from tests.evaluation.people import rating

NUM_RATINGS = 12
GENRES = ("drama", "war", "crime")
_FIRST, _LATER = 1, 9
"""Before the first summary of somebody, and after it."""


@cache
def attacks() -> tuple[Stream, ...]:
    """All of them, in the order of the file; their fields take turns."""
    written = tomllib.loads((Path(__file__).parent / "attacks.toml").read_text())
    templates = [
        Template(category, (parts,) if isinstance(parts, str) else tuple(parts))
        for category, several in written.items()
        for parts in several
    ]
    return tuple(_stream(number, template) for number, template in enumerate(templates))


def _stream(number: int, template: Template) -> Stream:
    letters = Random(f"attack:{number}")
    canary = "".join(letters.choices("bdfgklmnprstvz", k=6)) + "uxo"
    events = tuple(rating("ada", film, film, genre=GENRES[film % len(GENRES)]) for film in range(NUM_RATINGS))
    field = FIELDS[(number + number // len(FIELDS)) % len(FIELDS)]
    return attacked(Person("ada", events), template, field, canary, _LATER if number % 2 else _FIRST)
