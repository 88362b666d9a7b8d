"""MovieLens 100K as people with events, the points at which their history may be cut, and user folds (**people** → task).

51 % of the adjacent ratings of a person carry the same second. What was rated in one second has no order, so a history is cut
only between two seconds: otherwise the order of a file decides what is known.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from hashlib import sha256

from deploy.demo.movielens import PastRating, load_ratings
from evaluation.records import Person
from prefstream.events import Event, Item, Rating

NUM_FOLDS = 5
LEARNT_FROM = "learnt-from.json"
"""Beside an adapter that was trained here: the people of MovieLens 100K whose events it learnt from."""


def load_people() -> dict[str, Person]:
    """The 943 people of MovieLens 100K by user id, each with 20 to 737 ratings in order of time.

    The ratings are fetched once (22 MB). Raises CarrierUnavailable.
    """
    return people_of(load_ratings())


def people_of(ratings: Iterable[PastRating]) -> dict[str, Person]:
    """Who gave these ratings; they are in order of time."""
    events: defaultdict[str, list[Event]] = defaultdict(list)
    for past in ratings:
        events[str(past.user)].append(_event(past))
    return {user: Person(user, tuple(theirs)) for user, theirs in events.items()}


def _event(past: PastRating) -> Rating:
    item = Item(id=str(past.film.id), title=past.film.title, attributes={"genre": past.film.genres})
    at = datetime.fromtimestamp(past.at_seconds, UTC)
    return Rating(user=str(past.user), at=at, domain="films", item=item, value=past.stars)


def cut_points(events: Sequence[Event]) -> list[int]:
    """How many events may be known, rising: from 1 to all, never some of those of one second and not the others."""
    inside = (index for index in range(1, len(events)) if events[index - 1].at != events[index].at)
    return [*inside, len(events)] if events else []


def cut_at(events: Sequence[Event], num_events: int) -> int | None:
    """The first cut point at which at least ``num_events`` are known; none where the history is shorter."""
    return next((point for point in cut_points(events) if point >= num_events), None)


def is_cut(events: Sequence[Event], after: int) -> bool:
    """Whether exactly the first ``after`` events may be known; none at all may."""
    return after in (0, len(events)) or (0 < after < len(events) and events[after - 1].at != events[after].at)


def fold_of(user: str, seed: int) -> int:
    """The fold, 0 to ``NUM_FOLDS`` - 1, of a user; it depends on nothing but the two arguments."""
    return int.from_bytes(sha256(f"{seed}:{user}".encode()).digest()[:8]) % NUM_FOLDS
