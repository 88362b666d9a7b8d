"""Films and people for the tests of readers: two camps, of which each likes its own films and dislikes the other's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from evaluation.catalogue import Catalogue
from evaluation.records import Asked, Person, View
from prefstream.events import Item, Rating
from streams.evidence import Evidence, evidence_of

BEGAN_AT = datetime(2026, 1, 1, tzinfo=UTC)
WARS = tuple(Item(f"w{number}", f"War {number} (1990)", {"genre": ("war",)}) for number in range(6))
ROMANCES = tuple(Item(f"r{number}", f"Romance {number} (1990)", {"genre": ("romance",)}) for number in range(6))


def rating(user: str, film: Item, stars: float, number: int) -> Rating:
    return Rating(user=user, at=BEGAN_AT + timedelta(hours=number), domain="films", item=film, value=stars)


def person(user: str, liked: Sequence[Item], disliked: Sequence[Item]) -> Person:
    rated = [(film, 5.0) for film in liked] + [(film, 1.0) for film in disliked]
    return Person(user, tuple(rating(user, film, stars, number) for number, (film, stars) in enumerate(rated)))


def camps(num_people: int) -> list[Person]:
    """Half of them like wars and dislike romances, the others the other way; each has met four of either, others each."""
    people = []
    for number in range(num_people):
        own, other = (WARS, ROMANCES) if number % 2 else (ROMANCES, WARS)
        turned = number // 2 % 6
        people.append(person(f"u{number}", (own + own)[turned : turned + 4], (other + other)[turned : turned + 4]))
    return people


def catalogue() -> Catalogue:
    return Catalogue.of(camps(24))


def evidence_about(person: Person) -> tuple[Evidence, ...]:
    return tuple(map(evidence_of, person.events))


def asked(view: View) -> list[Asked]:
    """The same person before a war and a romance, in both orders, and before two wars."""
    return [Asked(view, WARS[0], ROMANCES[0]), Asked(view, ROMANCES[0], WARS[0]), Asked(view, WARS[1], WARS[2])]
