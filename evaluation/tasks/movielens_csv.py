"""MovieLens as its site publishes it today, in CSV: the tasks of :mod:`evaluation.tasks.movielens` on other people.

The path is a folder with two files whose first lines name their columns; further columns and files are left alone:

- ``movies.csv``: ``movieId,title,genres``, the genres with ``|`` between them, or ``(no genres listed)``;
- ``ratings.csv``: ``userId,movieId,rating,timestamp``, half a star to 5 stars, seconds since 1970; rows in any order.

So it reads ml-latest-small, and the 32 million ratings too: ``ratings.csv`` is read twice by lines, first to draw people, then
for what they rated. Memory goes with the people drawn and the films, not with the file. A film's title is turned to what people
say (``The Godfather (1972)``), as in MovieLens 100K. Films of one title are one film, and of somebody's two ratings of it the
first counts. Films that fewer than five of the people drawn rated are left out.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path

from deploy.demo.movielens import catalogue_title
from evaluation.catalogue import written
from evaluation.crossfit import folds_of
from evaluation.records import Exam, Person
from evaluation.tasks import movielens
from evaluation.tasks.published import Draw, Skipped, Unreadable, refuse, table_rows
from evaluation.tasks.triples import bounded
from prefstream.events import Item, Rating

DOMAIN = "films"
SCALE = (0.5, 5.0)
DEFAULT_PEOPLE = 1_000
MIN_RATERS = 5
"""Of the people drawn, for a film to be kept: what a catalogue reader knows of films goes with the square of their number."""

_NO_GENRES = "(no genres listed)"
_RATINGS = ("userId", "movieId", "rating", "timestamp")
_MOVIES = ("movieId", "title", "genres")


def load(
    path: Path,
    *,
    task: movielens.TaskName = "order_matched",
    max_people: int = DEFAULT_PEOPLE,
    seed: int = 0,
    skipped: Skipped | None = None,
) -> Exam:
    """The exam of a folder after 50 events, with everybody drawn, also whom nothing is asked about: items are known by them.

    Raises Unreadable.
    """
    people = load_people(path, max_people=max_people, seed=seed, skipped=skipped)
    exam = movielens.load(task, people, folds_of(people, seed), seed=seed)
    return Exam(task, people, exam.questions)


def load_people(
    path: Path,
    *,
    max_people: int = DEFAULT_PEOPLE,
    min_raters: int = MIN_RATERS,
    seed: int = 0,
    skipped: Skipped | None = None,
) -> dict[str, Person]:
    """At most ``max_people`` of a folder's people, drawn by ``seed``, with their ratings in order of time.

    Only films count that ``min_raters`` of them rated. Raises Unreadable.
    """
    if not path.is_dir():
        raise Unreadable(f"{path}: no folder. Give the one that has ratings.csv and movies.csv.")
    films = _films(path / "movies.csv", skipped)
    draw = Draw(max_people, seed)
    for _, row in table_rows(path / "ratings.csv", ("userId",), None if skipped is None else Skipped()):
        draw.offer(row["userId"])
    ratings = _ratings(path / "ratings.csv", draw.kept, films, skipped)
    raters = Counter(rating.item.id for theirs in ratings.values() for rating in theirs)
    kept = ((user, [rating for rating in theirs if raters[rating.item.id] >= min_raters]) for user, theirs in ratings.items())
    in_order = sorted(((user, tuple(theirs)) for user, theirs in kept if theirs), key=lambda entry: (len(entry[0]), entry[0]))
    return {user: Person(user, theirs) for user, theirs in in_order}


def _films(path: Path, skipped: Skipped | None) -> dict[str, Item]:
    films: dict[str, Item] = {}
    titled: dict[str, Item] = {}
    for place, row in table_rows(path, _MOVIES, skipped):
        genres = tuple(genre.lower() for genre in row["genres"].split("|") if genre and genre != _NO_GENRES)
        if row["movieId"] and row["title"].strip():
            attributes = {"genre": genres} if genres else {}
            film = Item(row["movieId"], bounded(catalogue_title(row["title"])), attributes)
            films[film.id] = titled.setdefault(written(film.title), film)
        else:
            refuse(place, "movieId or title: empty", skipped)
    return films


def _ratings(path: Path, users: set[str], films: dict[str, Item], skipped: Skipped | None) -> dict[str, list[Rating]]:
    ratings: defaultdict[str, list[Rating]] = defaultdict(list)
    for place, row in table_rows(path, _RATINGS, skipped):
        if row["userId"] in users:
            try:
                ratings[row["userId"]].append(_rating(row, films))
            except (ValueError, OverflowError, OSError) as error:
                refuse(place, error, skipped)
    return {user: _first_of_each(theirs) for user, theirs in ratings.items()}


def _first_of_each(ratings: list[Rating]) -> list[Rating]:
    """The ratings in order of time, one a film."""
    first: dict[str, Rating] = {}
    for rating in sorted(ratings, key=lambda rating: rating.at):
        first.setdefault(rating.item.id, rating)
    return list(first.values())


def _rating(row: dict[str, str], films: dict[str, Item]) -> Rating:
    film = films.get(row["movieId"])
    if film is None:
        raise ValueError(f"movieId: {row['movieId']} is not in movies.csv, which must be of the same release")
    if not row["userId"]:
        raise ValueError("userId: empty")
    return Rating(
        user=row["userId"],
        at=datetime.fromtimestamp(_number("timestamp", row), UTC),
        domain=DOMAIN,
        item=film,
        value=_number("rating", row),
        scale=SCALE,
    )


def _number(column: str, row: dict[str, str]) -> float:
    try:
        number = float(row[column])
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{column}: {row[column]!r} is no number")
    return number
