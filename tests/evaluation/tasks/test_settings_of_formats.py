"""Whatever format people come from, production can summarise them, in any setting, and their questions can be graded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.crossfit import folds_of
from evaluation.evolving import Policy
from evaluation.grading import answer, right
from evaluation.records import Asked, Exam
from evaluation.settings import AnotherPersons, Direct, Full, LastChunk, NoSummary, Setting, Streaming, TextOnly, asked_in
from evaluation.tasks import alignx, alignxplore, amazon, mind, movielens_csv, psoups
from evaluation.views import Summaries
from model_server.counting import Counting
from streams.evolution.plain import Plain
from streams.evolution.prose import parse
from streams.lexical import lean
from tests.evaluation.tasks import test_amazon, test_mind, test_movielens_csv
from tests.evaluation.tasks.files import BAKERY, COMMENT, FILM, alignx_row, upi, write_lines

NUM_PEOPLE = 12
TWO_UPDATES = Streaming(2, min_events=1)
SETTINGS: list[Setting] = [
    NoSummary(),
    Direct(),
    Full(),
    TWO_UPDATES,
    TextOnly(TWO_UPDATES),
    LastChunk(2),
    AnotherPersons(Full()),
]


def of_alignxplore(folder: Path) -> Exam:
    target = FILM | {"rejected": "Title: Soup, Genres: Comedy"}
    history = [FILM, BAKERY, FILM, COMMENT, FILM, BAKERY, FILM, FILM, FILM]
    rows = [upi(number, history, target) for number in range(NUM_PEOPLE)]
    return alignxplore.load(write_lines(folder / "movielens_upi.jsonl", rows))


def of_psoups(folder: Path) -> Exam:
    rows = [
        upi(number, [COMMENT, COMMENT | {"query": f"Why {number}?"}, BAKERY, COMMENT]) | {"ground_truth_persona": "Be brief."}
        for number in range(NUM_PEOPLE)
    ]
    return psoups.load(write_lines(folder / "concise_detail_upi.jsonl", rows))


def of_alignx(folder: Path) -> Exam:
    path = folder / "Reddit_arbitrary.json"
    path.write_text(json.dumps([alignx_row() for _ in range(NUM_PEOPLE)]))
    return alignx.load(path)


def of_mind(folder: Path) -> Exam:
    behaviours = [
        (f"{user}-{day}", f"U{user}", f"11/{day}/2019 9:00:00 PM", "N1 N4", "N2-1 N3-0 N4-0")
        for user in range(NUM_PEOPLE)
        for day in (11, 12, 13)
    ]
    return mind.load(test_mind.written(folder, behaviours=behaviours))


def of_amazon(folder: Path) -> Exam:
    items = [{"asin": f"B{number}", "title": f"Book {number}", "category": ["Books", "History"]} for number in range(30)]
    reviews = [
        test_amazon.review(f"A{user}", f"B{(user + 3 * day) % 30}", 4.0 + day % 2, day, "Every page of it is good.")
        for user in range(NUM_PEOPLE)
        for day in range(9)
    ]
    return amazon.load(test_amazon.written(folder, reviews, items))


def of_movielens_csv(folder: Path) -> Exam:
    movies = [(str(film), f"Film {film} (1990)", "Drama") for film in range(150)]
    ratings = test_movielens_csv.many_ratings(NUM_PEOPLE, 150, seed=5)
    return movielens_csv.load(test_movielens_csv.written(folder, movies, ratings), task="order")


class Lexical:
    """A reader that goes by the words of a summary."""

    name = "lexical"

    def fit(self, asked: Sequence[Asked], took_first: NDArray[np.bool_]) -> None:
        """Nothing to learn."""

    def prefer(self, asked: Sequence[Asked]) -> NDArray[np.float64]:
        leans = np.array([lean(parse(one.view.text), one.first, one.second) for one in asked])
        return np.asarray(0.5 + leans / 20.0)


@pytest.mark.parametrize("load", [of_alignxplore, of_psoups, of_alignx, of_mind, of_amazon, of_movielens_csv])
def test_every_format_can_be_asked_in_every_setting(load: Callable[[Path], Exam], tmp_path: Path) -> None:
    exam = load(tmp_path)
    asked = asked_in(exam, SETTINGS)
    assert len({question.user for question in asked.questions}) >= NUM_PEOPLE - 1
    summaries = Summaries(Counting(), Policy(Plain()))
    for setting in SETTINGS:
        told = asyncio.run(summaries.views(asked, setting))
        rejections = [rejection for version in told.updates for rejection in version.rejections]
        assert rejections == [], setting.name
        chances = answer(lambda _: Lexical(), asked, told.views, folds_of(exam.people, seed=0))
        assert ((chances >= 0) & (chances <= 1)).all(), setting.name


def test_a_favourite_of_the_history_is_told_from_what_was_never_seen(tmp_path: Path) -> None:
    exam = of_alignxplore(tmp_path)
    summaries, folds = Summaries(Counting(), Policy(Plain())), folds_of(exam.people, seed=0)
    told = {setting: asyncio.run(summaries.views(exam, setting)).views for setting in (TWO_UPDATES, NoSummary())}
    shares = {setting: right(answer(lambda _: Lexical(), exam, views, folds)).mean() for setting, views in told.items()}
    assert shares == {TWO_UPDATES: 1.0, NoSummary(): 0.5}
