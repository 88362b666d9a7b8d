"""People of tests: whoever rates films, at the seconds that a test needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from evaluation.records import Exam, Person, Question
from prefstream.events import Event, Item, Rating

AT = datetime(2026, 1, 5, tzinfo=UTC)


def rating(user: str, number: int, second: int, value: float = 5.0, genre: str = "war") -> Rating:
    """The rating of a film of its own."""
    item = Item(f"{user}-{number}", f"{user.title()} {number}", {"genre": (genre,)})
    return Rating(user=user, at=AT + timedelta(seconds=second), domain="films", item=item, value=value)


def ratings(number: int, user: str = "ada", seconds: Sequence[int] = (), genre: str = "war") -> tuple[Event, ...]:
    """So many ratings, one a second, or at ``seconds``."""
    return tuple(rating(user, at, second, genre=genre) for at, second in enumerate(seconds or range(number)))


def exam_of(people: Iterable[tuple[Event, ...]], *afters: int) -> Exam:
    """A question at each of ``afters`` about everybody."""
    everybody = {events[0].user: Person(events[0].user, events) for events in people}
    one, other = Item("1", "One"), Item("2", "Other")
    return Exam("test", everybody, tuple(Question(user, after, one, other) for user in everybody for after in afters))
