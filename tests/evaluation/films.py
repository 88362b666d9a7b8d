"""A small world of film raters whose tastes are known: half of them like wars, half comedies, and nothing else matters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from random import Random

from evaluation.records import Exam, Person, View
from prefstream.events import Item, Rating
from streams.evidence import evidence_of

AT = datetime(2026, 1, 5, tzinfo=UTC)
FILMS = tuple(
    Item(str(number), f"Film {number} (1990)", {"genre": ("war" if number % 2 else "comedy",)}) for number in range(80)
)


def rated(user: str, film: Item, second: int, stars: float) -> Rating:
    """A rating, so many seconds after the beginning."""
    return Rating(user=user, at=AT + timedelta(seconds=second), domain="films", item=film, value=stars)


def raters(num_people: int = 60, num_events: int = 50, seed: int = 0) -> dict[str, Person]:
    """So many people with so many ratings each; two of them in each second, and each person begins an hour after the other."""
    random = Random(seed)
    people = {}
    for number in range(num_people):
        user = f"u{number}"
        films = random.sample(FILMS, num_events)
        stars = [5.0 if int(film.id) % 2 == number % 2 else 2.0 for film in films]
        seconds = [3600 * number + place // 2 for place in range(num_events)]
        people[user] = Person(user, tuple(map(rated, [user] * num_events, films, seconds, stars)))
    return people


def told(exam: Exam, more: int = 0) -> list[View]:
    """What a summary would say at each question, by the titles liked; ``more`` plants that many events of the future."""
    return [_view(exam.people[question.user], question.after + more) for question in exam.questions]


def _view(person: Person, num_known: int) -> View:
    liked = [event.item.title for event in person.events[:num_known] if isinstance(event, Rating) and event.value == 5.0]
    return View(f"Favourites: {quoted(reversed(liked))}.", num_known=num_known)


def quoted(titles: Iterable[str]) -> str:
    """Titles as a summary lists them."""
    return "; ".join(f'"{title}"' for title in titles)


def direct(exam: Exam) -> list[View]:
    """All that is known at each question."""
    known: Sequence[tuple[Person, int]] = [(exam.people[question.user], question.after) for question in exam.questions]
    return [View(evidence=tuple(map(evidence_of, person.events[:after])), num_known=after) for person, after in known]
