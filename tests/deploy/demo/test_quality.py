"""The quality so far, by hand: which ratings test which version, and how they are paired."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from deploy.demo.movielens import Film, PastRating
from deploy.demo.quality import Quality, quality_so_far
from prefstream.summaries import Summary

GENRES = {1: "drama", 2: "musical", 3: "western", 4: "war"}


def version(number: int, text: str, last_at: int, user: str = "1") -> Summary:
    at = datetime.fromtimestamp(last_at, UTC)
    return Summary(user=user, version=number, text=text, reason="size", updated_at=at, last_event_at=at)


def rating(film: int, stars: int, at: int, user: int = 1) -> PastRating:
    return PastRating(user, Film(film, f"Film {film}", (GENRES[film],)), stars, at)


def measured(versions: list[Summary], *ratings: PastRating) -> tuple[float, float | None, float | None, int]:
    quality = quality_so_far({"1": versions}, ratings)
    told, all_ = quality.of_told, quality.of_all
    return quality.told, told.mean if told else None, all_.mean if all_ else None, all_.num_pairs if all_ else 0


LOVES, HATES = "Loves drama.", "Dislikes drama."
BEFORE = (rating(1, 5, 10), rating(2, 1, 10))
PAIR = (rating(1, 5, 11), rating(2, 1, 12))


@pytest.mark.parametrize(
    ("versions", "ratings", "expected"),
    [
        ([], PAIR, (0.0, None, None, 0)),
        ([version(1, LOVES, 10)], (), (0.0, None, None, 0)),
        ([version(1, LOVES, 10)], BEFORE, (0.0, None, None, 0)),
        ([version(1, LOVES, 10)], (*BEFORE, *PAIR), (100.0, 100.0, 100.0, 1)),
        ([version(1, HATES, 10)], PAIR, (100.0, 0.0, 0.0, 1)),
        ([version(1, "Loves opera.", 10)], PAIR, (0.0, None, 50.0, 1)),
        ([version(1, LOVES, 10), version(2, HATES, 12)], PAIR, (100.0, 100.0, 100.0, 1)),
        ([version(1, LOVES, 9), version(2, HATES, 10)], PAIR, (100.0, 0.0, 0.0, 1)),
        # Between 11 and 12 lies a version: no version was in force for both.
        ([version(1, LOVES, 10), version(2, HATES, 11)], PAIR, (0.0, None, None, 0)),
        ([version(1, LOVES, 10)], (rating(1, 4, 11), rating(2, 3, 12)), (0.0, None, None, 0)),
        ([version(1, LOVES, 10)], (*PAIR, rating(3, 4, 13), rating(4, 2, 14)), (50.0, 100.0, 75.0, 2)),
        ([version(1, LOVES, 10)], (*PAIR, rating(3, 3, 13)), (100.0, 100.0, 100.0, 1)),
    ],
)
def test_what_a_version_did_not_know_tests_it(
    versions: list[Summary], ratings: tuple[PastRating, ...], expected: tuple[float, float | None, float | None, int]
) -> None:
    assert measured(versions, *ratings) == expected


def test_people_are_what_is_counted() -> None:
    others = [rating(1, 1, 11, user=2), rating(2, 5, 12, user=2)]
    versions = {"1": [version(1, LOVES, 10)], "2": [version(1, LOVES, 10, "2")], "3": [version(1, LOVES, 10, "3")]}
    quality = quality_so_far(versions, [*PAIR, *others])
    assert quality.of_all is not None
    assert (quality.of_all.mean, quality.of_all.num_pairs, quality.of_all.num_users) == (50.0, 2, 2)
    assert quality.of_all.low < quality.of_all.mean < quality.of_all.high


def test_nothing_published_is_no_error() -> None:
    assert quality_so_far({}, []) == Quality()
