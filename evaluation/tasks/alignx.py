"""AlignX's test files: which of two answers to a post does somebody prefer, by what is known of them (file → **Exam**)?

A file is one JSON array (``Reddit_DEMO.json``, ``Reddit_PAIR.json``, ``Reddit_UGC.json``, ``Reddit_arbitrary.json``); a row is

- ``prompt``, ``chosen``, ``rejected``: str, the question; ``Preference Direction``: 90 numbers of 0, 0.5, 1, that of its pair;
- ``Demographic Information``: str or null, a description of the person;
- ``User-Generated Content``: list of ``{"prompt", "comment", "Preference Direction"}``;
- ``Pair-wise Comparative Feedback``: list of ``{"prompt", "chosen", "rejected", "Preference Direction"}``.

Whatever the split leaves out may be missing, empty or null, the vectors too (the array form of P-Soups and PRISM has none).
Rows have no user, no time and no order: each is a person ``row 1``, whose description is a post, whose comments are comments
and whose pairs are choices, in this order, at synthetic instants. All of it is known. The vectors are in no event: they were
derived from the answers, and a row's own is that of the very pair it asks about. ``profile`` and other fields are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct, field

from evaluation.records import Exam, Person, Question
from evaluation.tasks.published import DEFAULT_PEOPLE, Skipped, array_rows, drawn
from evaluation.tasks.triples import bounded, check_two, instant, item_of
from prefstream.events import Choice, Comment, Event, Post

NUM_DIMENSIONS = 90
_STATES = frozenset({0.0, 0.5, 1.0})

Text = Annotated[str, Meta(min_length=1)]
Direction = tuple[float, ...]


class Directed(Struct, frozen=True, kw_only=True):
    """Something with a direction in the space of 90 dimensions, or without one."""

    direction: Direction | None = field(name="Preference Direction", default=None)

    def __post_init__(self) -> None:
        if self.direction and (len(self.direction) != NUM_DIMENSIONS or not _STATES.issuperset(self.direction)):
            raise ValueError(f"Preference Direction: must be {NUM_DIMENSIONS} numbers of 0, 0.5 and 1")


class Said(Directed, frozen=True):
    """A comment of the person on a post."""

    prompt: str
    comment: Text


class Taken(Directed, frozen=True):
    """A choice of the person between two comments on a post."""

    prompt: str
    chosen: Text
    rejected: Text


class AlignXRow(Directed, frozen=True):
    """One row of a test file, or of the training data."""

    prompt: str
    chosen: Text
    rejected: Text
    description: str | None = field(name="Demographic Information", default=None)
    comments: tuple[Said, ...] | None = field(name="User-Generated Content", default=None)
    pairs: tuple[Taken, ...] | None = field(name="Pair-wise Comparative Feedback", default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_two(item_of(self.chosen), item_of(self.rejected))
        if not (self.description or self.comments or self.pairs):
            raise ValueError("nothing is known of the person: neither description, comments nor pairs")


def load(path: Path, *, max_people: int = DEFAULT_PEOPLE, seed: int = 0, skipped: Skipped | None = None) -> Exam:
    """The exam of a file, at most ``max_people`` rows of it, drawn by ``seed``. The file is read as a whole.

    Raises Unreadable.
    """
    people, questions = {}, []
    for place, row in drawn(array_rows(path, AlignXRow, skipped), max_people, seed):
        user = place.rpartition(", ")[2]
        person = people[user] = Person(user, tuple(events_of(user, row)))
        questions.append(_question(user, row, len(person.events)))
    return Exam(path.stem, people, tuple(questions))


def events_of(user: str, row: AlignXRow) -> Iterator[Event]:
    """What a row says its person did: description, comments, choices."""
    if row.description:
        yield Post(user=user, at=instant(0), text=bounded(row.description))
    for number, said in enumerate(row.comments or (), 1):
        yield Comment(user=user, at=instant(number), text=bounded(said.comment), in_reply_to=bounded(said.prompt))
    for number, taken in enumerate(row.pairs or (), 1 + len(row.comments or ())):
        chosen = item_of(taken.chosen)
        rejected = tuple(item for item in (item_of(taken.rejected),) if item.id != chosen.id)
        yield Choice(user=user, at=instant(number), chosen=chosen, rejected=rejected, query=bounded(taken.prompt))


def _question(user: str, row: AlignXRow, after: int) -> Question:
    return Question(user, after, item_of(row.chosen), item_of(row.rejected), bounded(row.prompt))
