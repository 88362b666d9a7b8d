"""Small files of our own making in the forms of the published ones: what the tests of loaders and converters read."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

BAKERY: dict[str, str | None] = {
    "query": "Any news from the harbour?",
    "chosen": "Title: Bakery opens at the harbour\nAbstract: It sells rye bread from six in the morning.",
    "rejected": "Title: Rowing club elects a board\nAbstract: Nine people voted.",
}
FILM: dict[str, str | None] = {
    "query": None,
    "chosen": "Title: The Quiet Ferry (1998), Genres: Drama|Film-Noir",
    "rejected": "Title: Loud Boats (2001), Genres: Action",
}
COMMENT: dict[str, str | None] = {
    "query": "How do I fix a leaking tap?",
    "chosen": "Turn the water off first.",
    "rejected": None,
}


def write_lines(path: Path, rows: Iterable[object]) -> Path:
    """``rows`` as JSON lines, gzipped where the name says so."""
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def upi(userid: str | int, history: Iterable[Mapping[str, object]], target: Mapping[str, object] = BAKERY) -> dict[str, object]:
    """A line of a benchmark file of AlignXplore+."""
    return {"userid": userid, "history": list(history), "target": target}


def direction(**values: float) -> list[float]:
    """90 numbers, all neutral but those named by their index, as ``_16=1.0``."""
    vector = [0.5] * 90
    for name, value in values.items():
        vector[int(name.strip("_"))] = value
    return vector


def alignx_row(**changes: object) -> dict[str, object]:
    """A row of AlignX with all parts of a persona."""
    row: dict[str, object] = {
        "prompt": "How long does dough rest?",
        "chosen": "An hour.",
        "rejected": "It depends on a great many things, all of which I will list.",
        "Preference Direction": direction(_16=1.0),
        "Demographic Information": "A young baker who likes short answers.",
        "User-Generated Content": [
            {"prompt": "Is rye hard to bake?", "comment": "No.", "Preference Direction": direction(_16=1.0)}
        ],
        "Pair-wise Comparative Feedback": [
            {
                "prompt": "Which oven?",
                "chosen": "A hot one.",
                "rejected": "Let me begin in 1901.",
                "Preference Direction": direction(_16=1.0, _64=0.0),
            }
        ],
        "profile": "Concise communication style",
    }
    return {**row, **changes}
