"""Amazon's reviews become ratings and comments, and questions about what somebody liked next."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from random import Random

import pytest

from evaluation.people import is_cut
from evaluation.tasks import amazon
from evaluation.tasks.published import Skipped, Unreadable
from prefstream.events import Comment, Rating, decode_event, encode_event
from tests.evaluation.tasks.files import write_lines

ITEMS: list[dict[str, object]] = [
    {"asin": "B1", "title": "A History of Ferries", "category": ["Books", "History", "Transport"], "price": "$3"},
    {"asin": "B2", "title": "Bread", "description": ["About bread."]},
    {"asin": "B3", "title": " ", "category": ["Books"]},
]


def review(user: str, asin: str, stars: float, day: int, text: str | None = None) -> dict[str, object]:
    row: dict[str, object] = {
        "reviewerID": user,
        "asin": asin,
        "overall": stars,
        "unixReviewTime": day * 86_400,
        "verified": True,
    }
    return row if text is None else row | {"reviewText": text}


REVIEWS = [
    review("A1", "B2", 2.0, 30),
    review("A1", "B1", 5.0, 20, "Every ferry is in it."),
    review("A1", "B1", 1.0, 40, "Again."),
    review("A1", "B3", 4.0, 10),
]


def written(tmp_path: Path, reviews: Iterable[object] = REVIEWS, items: Iterable[object] = ITEMS) -> Path:
    write_lines(tmp_path / "meta_Books.json.gz", items)
    return write_lines(tmp_path / "Books_5.json.gz", reviews)


def test_a_review_is_a_rating_and_a_comment_of_one_instant(tmp_path: Path) -> None:
    exam = amazon.load(written(tmp_path))
    first, said, second = exam.people["A1"].events
    assert isinstance(first, Rating)
    assert isinstance(said, Comment)
    assert isinstance(second, Rating)
    assert (first.item.title, first.item.attributes, first.value) == (
        "A History of Ferries",
        {"category": ("history", "transport")},
        5.0,
    )
    assert (said.text, said.in_reply_to, said.at) == ("Every ferry is in it.", "A History of Ferries", first.at)
    assert (second.item.title, second.item.attributes, second.value) == ("Bread", {}, 2.0)
    assert {event.domain for event in exam.people["A1"].events} == {"books"}
    assert all(decode_event(encode_event(event)) == event for event in exam.people["A1"].events)
    assert (exam.name, exam.questions) == ("amazon Books", ())


def test_editions_of_one_title_are_one_item(tmp_path: Path) -> None:
    items = [*ITEMS, {"asin": "B4", "title": "a history of ferries"}]
    reviews = [review("A1", "B4", 2.0, 50), review("A1", "B1", 5.0, 20), review("A2", "B4", 3.0, 1)]
    people = amazon.load(written(tmp_path, reviews, items)).people
    told = {
        user: [(one.item.id, one.value) for one in person.events if isinstance(one, Rating)] for user, person in people.items()
    }
    assert told == {"A1": [("B1", 5.0)], "A2": [("B1", 3.0)]}


def test_the_questions_are_about_what_comes_after_two_thirds(tmp_path: Path) -> None:
    random = Random(8)
    items = [{"asin": f"B{number}", "title": f"Book {number}"} for number in range(60)]
    reviews = [
        review(f"A{user}", f"B{book}", random.choice([4.0, 5.0]), day // 2, "Good." if day % 3 else None)
        for user in range(40)
        for day, book in enumerate(random.sample(range(60), 18))
    ]
    exam = amazon.load(written(tmp_path, reviews, items))
    assert len({question.user for question in exam.questions}) > 30
    for question in exam.questions:
        events = exam.people[question.user].events
        known = {event.item.id for event in events[: question.after] if isinstance(event, Rating)}
        coming = {event.item.id for event in events[question.after :] if isinstance(event, Rating)}
        assert is_cut(events, question.after)
        assert question.after >= len(events) * 2 // 3
        assert question.chosen.id in coming
        assert question.rejected.id not in known | coming
    assert max(len([one for one in exam.questions if one.user == user]) for user in exam.people) <= 10
    assert len(amazon.load(written(tmp_path, reviews, items), max_people=7).people) == 7


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (review("A2", "B1", 6.0, 1), r"<= 5\.0 - at `\$\.overall`"),
        (review("", "B1", 5.0, 1), r"\$\.reviewerID"),
        ({"reviewerID": "A2", "asin": "B1", "overall": 5.0}, "unixReviewTime"),
        (review("A2", "B1", 5.0, 10**12), r"\$\.unixReviewTime"),
    ],
)
def test_a_bad_review_is_named_or_counted_once(tmp_path: Path, row: object, problem: str) -> None:
    path = written(tmp_path, [*REVIEWS, row])
    with pytest.raises(Unreadable, match=rf"Books_5\.json\.gz:5: .*{problem}"):
        amazon.load(path)
    skipped = Skipped()
    assert list(amazon.load(path, skipped=skipped).people) == ["A1"]
    assert skipped.num == 1


def test_the_items_are_beside_the_reviews(tmp_path: Path) -> None:
    path = written(tmp_path)
    (tmp_path / "meta_Books.json.gz").rename(tmp_path / "meta_Toys.json.gz")
    with pytest.raises(Unreadable, match=r"no meta_Books\.json\.gz beside it"):
        amazon.load(path)
    with pytest.raises(Unreadable, match="no file"):
        amazon.load(tmp_path)
