"""People and moments for the tests of training: made by hand, a film a day."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from evaluation.records import Person
from prefstream.events import Item, Rating

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


def film(number: int, *genres: str) -> Item:
    return Item(id=f"f{number}", title=f"Film {number} (19{60 + number % 40})", attributes={"genre": genres or ("drama",)})


def rating(user: str, number: int, stars: float, *genres: str, at: int | None = None) -> Rating:
    day = BEGUN + timedelta(days=number if at is None else at)
    return Rating(user=user, at=day, domain="films", item=film(number, *genres), value=stars)


def person(user: str, num_events: int, first: int = 0) -> Person:
    """Loves war, hates musicals, and takes them in turns."""
    return Person(
        user,
        tuple(
            rating(user, number, 5.0 if number % 2 else 1.0, "war" if number % 2 else "musical")
            for number in range(first, first + num_events)
        ),
    )
