"""MovieLens 100K, 943 people's 100,000 ratings with their times: fetched once into the cache folder, read in order of time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from msgspec import Struct
from pyarrow import parquet

from deploy.demo.carrier import RATINGS, fetched

_GENRES = (
    *("Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy"),
    *("Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
_SORTED_BY = re.compile(r"(^|\()([^()]+), (The|An|A|Das|Der|Det|Die|El|Il|La|Les|Le|L'|O)(?= \(|\)|$)")


class Film(Struct, frozen=True):
    """A film as the platform's catalogue has it."""

    id: int
    title: str
    genres: tuple[str, ...]


class PastRating(Struct, frozen=True):
    """What somebody thought of a film, 1 to 5 stars, and when (seconds since 1970)."""

    user: int
    film: Film
    stars: int
    at_seconds: int


def load_ratings() -> list[PastRating]:
    """All ratings in order of time, fetched now if need be (22 MB, the first time only).

    Raises CarrierUnavailable.
    """
    return read_ratings(fetched(RATINGS))


def read_ratings(folder: Path) -> list[PastRating]:
    """The ratings in ``folder``, in order of time; at the same second in the order of the file."""
    ratings, items = (parquet.read_table(folder / name).to_pylist() for name in RATINGS)
    films = {item["movie_id"]: _film(item) for item in items}
    read = [PastRating(row["user_id"], films[row["movie_id"]], row["rating"], row["timestamp"]) for row in ratings]
    return sorted(read, key=lambda rating: rating.at_seconds)


def _film(item: dict[str, Any]) -> Film:
    genres = tuple(genre.lower() for genre in _GENRES if item[genre])
    return Film(item["movie_id"], catalogue_title(item["movie_title"]), genres)


def catalogue_title(title: str) -> str:
    """The title as people say it: ``Godfather, The (1972)`` is sorted, ``The Godfather (1972)`` is said."""
    return _SORTED_BY.sub(r"\1\3 \2", title.strip()).replace("L' ", "L'")
