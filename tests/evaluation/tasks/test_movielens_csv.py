"""MovieLens in CSV becomes people whose films can be asked about like those of MovieLens 100K, in memory that does not grow."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from random import Random

import pytest

from evaluation.people import is_cut
from evaluation.tasks import movielens_csv
from evaluation.tasks.published import Skipped, Unreadable
from prefstream.events import Rating

MOVIES = [
    ("1", '"Ferry, The (1998)"', "Drama|Film-Noir"),
    ("2", "Loud Boats (2001)", "(no genres listed)"),
    ("3", "Straße (1954)", "Drama"),
]
RATINGS = [("7", "2", "0.5", "900"), ("7", "1", "4.5", "800"), ("10", "3", "5.0", "100"), ("9", "1", "3", "1.5e2")]


def written(tmp_path: Path, movies: Iterable[tuple[str, ...]] = MOVIES, ratings: Iterable[tuple[str, ...]] = RATINGS) -> Path:
    (tmp_path / "movies.csv").write_text("movieId,title,genres\r\n" + "".join(",".join(row) + "\r\n" for row in movies))
    rows = "".join(",".join(row) + "\n" for row in ratings)
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + rows)
    return tmp_path


def test_ratings_are_events_in_order_of_time(tmp_path: Path) -> None:
    people = movielens_csv.load_people(written(tmp_path), min_raters=1)
    assert list(people) == ["7", "9", "10"]
    first, second = people["7"].events
    assert isinstance(first, Rating)
    assert isinstance(second, Rating)
    assert (first.item.title, first.item.attributes) == ("The Ferry (1998)", {"genre": ("drama", "film-noir")})
    assert (second.item.title, second.item.attributes) == ("Loud Boats (2001)", {})
    assert (first.value, second.value, first.scale, first.at.timestamp()) == (4.5, 0.5, (0.5, 5.0), 800)
    assert people["10"].events[0].domain == "films"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (("7", "4", "3.0", "1"), "movieId: 4 is not in movies.csv"),
        (("7", "1", "5.5", "1"), "value 5.5 is outside its scale"),
        (("7", "1", "nan", "1"), "rating: 'nan' is no number"),
        (("7", "1", "3.0", "noon"), "timestamp: 'noon' is no number"),
        (("7", "1", "3.0", "1e300"), "timestamp|out of range|too large"),
        (("7", "1", "3.0"), "3 columns, where the first line names 4"),
    ],
)
def test_a_bad_rating_is_named_or_counted_once(tmp_path: Path, row: tuple[str, ...], problem: str) -> None:
    path = written(tmp_path, ratings=[*RATINGS, row])
    with pytest.raises(Unreadable, match=rf"ratings\.csv:6: .*({problem})"):
        movielens_csv.load_people(path)
    skipped = Skipped()
    assert len(movielens_csv.load_people(path, min_raters=1, skipped=skipped)["7"].events) == 2
    assert skipped.num == 1


def test_a_film_has_a_title_and_a_folder_its_files(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"movies\.csv:2: movieId or title: empty"):
        movielens_csv.load_people(written(tmp_path, movies=[("1", " ", "Drama")]))
    with pytest.raises(Unreadable, match=r"no folder\. Give the one that has ratings\.csv and movies\.csv"):
        movielens_csv.load_people(tmp_path / "ratings.csv")
    written(tmp_path)
    (tmp_path / "ratings.csv").write_text("user,film\n1,1\n")
    with pytest.raises(Unreadable, match=r"ratings\.csv:1: no column userId"):
        movielens_csv.load_people(tmp_path)


def many_ratings(num_people: int, num_films: int, seed: int) -> list[tuple[str, ...]]:
    random = Random(seed)
    return [
        (str(user), str(film), str(random.choice([1.0, 2.0, 4.0, 4.5, 5.0])), str(60 * minute))
        for user in range(num_people)
        for minute, film in enumerate(random.sample(range(num_films), 75))
    ]


def test_the_tasks_of_films_run_on_it(tmp_path: Path) -> None:
    movies = [(str(film), f"Film {film} (1990)", "Drama") for film in range(150)]
    path = written(tmp_path, movies, many_ratings(30, 150, seed=5))
    exam = movielens_csv.load(path, task="order")
    assert (exam.name, len(exam.people)) == ("order", 30)
    assert {question.user for question in exam.questions} == set(exam.people)
    assert all(is_cut(exam.people[question.user].events, question.after) for question in exam.questions)
    assert exam == movielens_csv.load(path, task="order")
    assert exam.questions != movielens_csv.load(path, task="order", seed=1).questions


def test_films_of_one_title_are_one_film_rated_once(tmp_path: Path) -> None:
    movies = [*MOVIES, ("8", '"Ferry, The (1998)"', "Drama")]
    ratings = [("7", "8", "2.0", "900"), ("7", "1", "4.5", "800"), ("9", "8", "3.0", "100")]
    people = movielens_csv.load_people(written(tmp_path, movies, ratings), min_raters=1)
    told = {
        user: [(one.item.id, one.value) for one in person.events if isinstance(one, Rating)] for user, person in people.items()
    }
    assert told == {"7": [("1", 4.5)], "9": [("1", 3.0)]}


def test_films_that_few_of_the_people_rated_are_left_out(tmp_path: Path) -> None:
    people = movielens_csv.load_people(written(tmp_path), min_raters=2)
    assert {
        user: [event.item.id for event in person.events if isinstance(event, Rating)] for user, person in people.items()
    } == {
        "7": ["1"],
        "9": ["1"],
    }


REAL = Path(os.environ.get("MOVIELENS_CSV", Path(__file__).parents[4] / "shared" / "data" / "movielens"))


@pytest.mark.skipif(not REAL.is_dir(), reason="MOVIELENS_CSV names no folder with ratings.csv and movies.csv")
def test_a_real_release_is_read() -> None:
    people = movielens_csv.load_people(REAL)
    assert len(people) > 600
    assert all(person.events for person in people.values())


def peak_bytes(path: Path) -> int:
    tracemalloc.start()
    try:
        assert len(movielens_csv.load_people(path, max_people=3, min_raters=1)) == 3
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_goes_with_the_people_drawn(tmp_path: Path) -> None:
    """Eight times the file takes a few keys of the draw more, not eight times the memory."""
    movies = [(str(film), f"Film {film} (1990)", "Drama") for film in range(80)]
    few, many = (peak_bytes(written(tmp_path, movies, many_ratings(number, 80, seed=6))) for number in (15, 120))
    assert many < 1.3 * few
