"""Distractors: what a person did elsewhere, real reviews of clothing between, or behind, their films (reviews → **slice**).

The reviews name no reviewer, so nothing is asked about clothing: they are interference, drawn by the seed, with their own
stars. Each happens in the second of the film before it, so that what may be known is cut where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Literal

from msgspec.structs import replace

from deploy.demo.clothing import Review
from evaluation.records import Exam
from evaluation.slices.slice import Slice, changed
from prefstream.events import Comment, Event, Item, Rating

MOST_LOST = 1.0
SHARE = 0.5
"""Of distractors: one for two films."""
DOMAIN = "clothing"
COMMENT_EACH = 4
"""Of four reviews one is told as the comment it is, with its text, and three by their stars."""

Placement = Literal["mixed in", "last"]


def with_distractors(exam: Exam, reviews: Sequence[Review], placement: Placement, is_tagged: bool, seed: int) -> Slice:
    """Half as many reviews as films; untagged they have the films' own domain. Only what is tagged must cost little."""
    name = f"{exam.name}: distractors {placement}, {'in a domain of their own' if is_tagged else 'untagged'}"
    return Slice(name, _between(exam, reviews, SHARE, placement, is_tagged, seed), exam, -MOST_LOST if is_tagged else None)


def mixed_domains(exam: Exam, reviews: Sequence[Review], seed: int) -> Slice:
    """As many reviews as films, each in its domain."""
    return Slice(f"{exam.name}: mixed domains", _between(exam, reviews, 1.0, "mixed in", True, seed), exam, -MOST_LOST)


def _between(exam: Exam, reviews: Sequence[Review], share: float, placement: Placement, is_tagged: bool, seed: int) -> Exam:
    def put(known: tuple[Event, ...], coming: tuple[Event, ...]) -> tuple[tuple[Event, ...], tuple[Event, ...]]:
        if not known:
            return known, coming
        random = Random(f"{seed}:{known[0].user}")
        drawn = random.sample(reviews, round(share * len(known)))
        first = 0 if placement == "mixed in" else len(known) - 1
        places = sorted(random.choices(range(first, len(known)), k=len(drawn)))
        return _merged(known, drawn, places, is_tagged), coming

    return changed(exam, put)


def _merged(known: Sequence[Event], drawn: Sequence[Review], places: Sequence[int], is_tagged: bool) -> tuple[Event, ...]:
    behind: dict[int, list[Event]] = {}
    for number, (review, place) in enumerate(zip(drawn, places, strict=True)):
        event = told(review, known[place], is_comment=number % COMMENT_EACH == 0)
        behind.setdefault(place, []).append(event if is_tagged else replace(event, domain=known[place].domain))
    return tuple(event for place, film in enumerate(known) for event in (film, *behind.get(place, ())))


def told(review: Review, beside: Event, *, is_comment: bool) -> Event:
    """The review as an event of the person and the second of another event."""
    attributes: dict[str, tuple[str, ...]] = {"kind": (review.kind,), "department": (review.department,)}
    item = Item(id=f"clothing-{review.piece}", title=f"{review.kind.capitalize()} No. {review.piece}", attributes=attributes)
    if is_comment and review.text:
        return Comment(user=beside.user, at=beside.at, domain=DOMAIN, item=item, text=review.text)
    return Rating(user=beside.user, at=beside.at, domain=DOMAIN, item=item, value=review.stars)
