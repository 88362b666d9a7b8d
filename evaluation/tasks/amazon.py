"""Amazon reviews of 2018, 5-core: what somebody liked next, against something as popular and as well rated (file → **Exam**).

The path is the reviews' file, such as ``Books_5.json.gz``, with ``meta_Books.json.gz`` beside it (JSON lines, gzipped or not):

- reviews: ``{"reviewerID": str, "asin": str, "overall": 1 to 5, "unixReviewTime": seconds since 1970, "reviewText": str}``;
- items: ``{"asin": str, "title": str, "category": [str, ...]}``.

Text and category may be missing; other fields are left alone; an item without a title is left out, with its reviews.
A review is a rating, and a comment of the same instant where it has a text (days, in these files). Items of one title, such as
the editions of a book, are one item; where somebody reviewed one twice, the first counts. The reviews are read twice and the
items once, by lines: memory goes with the people drawn.

After two thirds of a history the questions are those of ``next_popqual`` (:mod:`evaluation.tasks.movielens`): popularity alone
answers questions against random items, as the papers draw them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from evaluation.catalogue import written
from evaluation.crossfit import Fold, folds_of
from evaluation.people import cut_at
from evaluation.records import Exam, Person, Question
from evaluation.tasks import movielens
from evaluation.tasks.published import Draw, Skipped, Unreadable, json_rows
from evaluation.tasks.triples import bounded
from prefstream.events import Comment, Event, Item, Rating

DEFAULT_PEOPLE = 1_000
MIN_REVIEWS = 6
MAX_QUESTIONS = 10
_MAX_CATEGORIES = 3
_SUFFIXES = (".json", ".json.gz")

Key = Annotated[str, Meta(min_length=1, max_length=512)]


class Review(Struct, frozen=True):
    """A line of the reviews."""

    reviewerID: Key
    asin: Key
    overall: Annotated[float, Meta(ge=1, le=5)]
    unixReviewTime: Annotated[int, Meta(ge=0, le=4_102_444_800)]
    reviewText: str = ""


class Described(Struct, frozen=True):
    """A line of the items."""

    asin: Key
    title: str = ""
    category: tuple[str, ...] = ()


def load(path: Path, *, max_people: int = DEFAULT_PEOPLE, seed: int = 0, skipped: Skipped | None = None) -> Exam:
    """The exam of a file of reviews: at most ``max_people`` people, drawn by ``seed``, and 10 questions about each.

    Nothing is asked about who has fewer than ``MIN_REVIEWS`` reviews, but items are known by them too. Raises Unreadable.
    """
    name, meta = _beside(path)
    people = _people(path, meta, name.lower().replace("_", " "), max_people, seed, skipped)
    asked = (_questions(people, fold, seed) for fold in folds_of(people, seed))
    return Exam(f"amazon {name}", people, tuple(question for questions in asked for question in questions))


def _beside(path: Path) -> tuple[str, Path]:
    """The category of a file of reviews, and the file of its items."""
    name = path.name.split(".")[0].removesuffix("_5")
    found = [meta for suffix in _SUFFIXES if (meta := path.with_name(f"meta_{name}{suffix}")).exists()]
    if not path.is_file():
        raise Unreadable(f"{path}: no file. Give the file of the reviews, such as Books_5.json.gz.")
    if not found:
        raise Unreadable(f"{path}: no meta_{name}.json.gz beside it, where the titles are. Put it into the same folder.")
    return name, found[0]


def _people(path: Path, meta: Path, domain: str, max_people: int, seed: int, skipped: Skipped | None) -> dict[str, Person]:
    draw = Draw(max_people, seed)
    for _, review in json_rows(path, Review, skipped):
        draw.offer(review.reviewerID)
    reviews = _reviews(path, draw.kept, skipped)
    items = _items(meta, {review.asin for theirs in reviews.values() for review in theirs}, skipped)
    people = {}
    for user, theirs in sorted(reviews.items()):
        titled = [review for review in theirs if review.asin in items]
        first: dict[str, Review] = {}
        for review in sorted(titled, key=lambda review: review.unixReviewTime):
            first.setdefault(items[review.asin].id, review)
        events = [event for review in first.values() for event in _events(review, items, domain)]
        if events:
            people[user] = Person(user, tuple(events))
    return people


def _reviews(path: Path, users: set[str], skipped: Skipped | None) -> dict[str, list[Review]]:
    reviews: defaultdict[str, list[Review]] = defaultdict(list)
    # Bad lines were counted in the first reading.
    for _, review in json_rows(path, Review, None if skipped is None else Skipped()):
        if review.reviewerID in users:
            reviews[review.reviewerID].append(review)
    return reviews


def _items(path: Path, wanted: set[str], skipped: Skipped | None) -> dict[str, Item]:
    items: dict[str, Item] = {}
    titled: dict[str, Item] = {}
    for _, described in json_rows(path, Described, skipped):
        if described.asin in wanted and described.title.strip():
            # The first category is that of the file.
            categories = (bounded(one.strip().lower()) for one in described.category[1 : 1 + _MAX_CATEGORIES])
            named = tuple(category for category in categories if category)
            attributes = {"category": named} if named else {}
            item = Item(described.asin, bounded(described.title.strip()), attributes)
            items[item.id] = titled.setdefault(written(item.title), item)
    return items


def _events(review: Review, items: dict[str, Item], domain: str) -> Iterator[Event]:
    at, item = datetime.fromtimestamp(review.unixReviewTime, UTC), items[review.asin]
    yield Rating(user=review.reviewerID, at=at, domain=domain, item=item, value=review.overall)
    if review.reviewText.strip():
        # What it is about is in the words of the rating already: the item itself would count twice.
        text = review.reviewText.strip()
        yield Comment(user=review.reviewerID, at=at, domain=domain, text=bounded(text), in_reply_to=item.title)


def _questions(people: dict[str, Person], fold: Fold, seed: int) -> Iterator[Question]:
    for user in sorted(fold.asked):
        events = people[user].events
        cut = cut_at(events, 2 * len(events) // 3)
        if cut is not None and cut < len(events) and sum(isinstance(event, Rating) for event in events) >= MIN_REVIEWS:
            coming = len(events) - cut
            yield from movielens.questions_of("next_popqual", people[user], cut, coming, fold.catalogue, seed, MAX_QUESTIONS)
