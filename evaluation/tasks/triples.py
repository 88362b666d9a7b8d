"""Triples: the papers' only event, (query, chosen, rejected) as free text, and what is made of it (row → **choice** → Exam).

No triple has a time: events get synthetic instants, a minute apart from 2000-01-01 on, in the order of the file. Nor has an
item an id: it is a hash of its title as a summary writes it, of 80 characters, so that what reads alike there is one item, and
a question between two such items is a bad row. What a text says by its form (``Title: ...`` with an abstract, a description or
genres, as the recommendation sets have it) becomes title and attributes; any other text is its own title.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from msgspec import Meta, Struct

from evaluation.catalogue import written
from prefstream.events import Choice, Item

MAX_TEXT_CHARS = 1_000
"""The wire's limit of a title; about 150 words of a comment, of which a prompt shows less."""

NO_NEGATIVE = "No negative sample."
_FILLED_QUERY = re.compile(r"Please recommend some (\w+) to me\.")
_DESCRIBED = re.compile(
    r"Title: (?P<title>.+?)(?:\n(?P<name>Abstract|Description): (?P<words>.*)|, Genres: (?P<genres>[^\n]*))?", re.DOTALL
)
_NO_GENRES = "(no genres listed)"
_FIRST_INSTANT = datetime(2000, 1, 1, tzinfo=UTC)


class Triple(Struct, frozen=True):
    """One event of the papers' files; ``query`` and ``rejected`` may be null or their fill-ins."""

    chosen: Annotated[str, Meta(min_length=1)]
    query: str | None = None
    rejected: str | None = None

    def __post_init__(self) -> None:
        if not self.chosen.strip():
            raise ValueError("chosen: empty; an event says what was taken")


class Target(Triple, frozen=True):
    """A triple that asks: which of the two?"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not left_of(self):
            raise ValueError("rejected: missing; a question needs two items")
        check_two(item_of(self.chosen), item_of(left_of(self)))


def instant(number: int) -> datetime:
    """The synthetic time of a person's event ``number``, from 0."""
    return _FIRST_INSTANT + timedelta(minutes=number)


def choices(user: str, history: tuple[Triple, ...]) -> tuple[Choice, ...]:
    """The history as events of ``user``, of the domain that the fill-in of its queries names."""
    domain = domain_of(history)
    return tuple(_choice(user, number, domain, triple) for number, triple in enumerate(history))


def _choice(user: str, number: int, domain: str, triple: Triple) -> Choice:
    chosen, left = item_of(triple.chosen), left_of(triple)
    rejected = tuple(item for item in ([item_of(left)] if left else []) if item.id != chosen.id)
    query = query_of(triple)
    return Choice(user=user, at=instant(number), domain=domain, chosen=chosen, rejected=rejected, query=query)


def check_two(chosen: Item, rejected: Item) -> None:
    """Raises ValueError where two items of a question are one."""
    if chosen.id == rejected.id:
        raise ValueError("rejected: the same as chosen in the 80 characters by which a summary names an item; ask of two")


def domain_of(history: tuple[Triple, ...]) -> str:
    """``news`` of a history that asks "Please recommend some news to me." where there was no query; empty without one."""
    filled = (_FILLED_QUERY.fullmatch((triple.query or "").strip()) for triple in history)
    return next((match[1] for match in filled if match), "")


def query_of(triple: Triple) -> str:
    """What was asked, bounded; empty where it is null or a fill-in, which nobody said."""
    query = (triple.query or "").strip()
    return "" if _FILLED_QUERY.fullmatch(query) else bounded(query)


def left_of(triple: Triple) -> str:
    """The text of what was rejected; empty where it is null, empty, or the fill-in for nothing."""
    rejected = (triple.rejected or "").strip()
    return "" if rejected == NO_NEGATIVE else rejected


def item_of(text: str, in_full: bool = False) -> Item:
    """The item that a text describes.

    Only a question's item is described ``in_full``. An abstract is a value that no other item has: a tally that counts it is
    two and a half times as large and says no more, and a prompt shows 40 characters of it.
    """
    text = text.strip()
    described = _DESCRIBED.fullmatch(text)
    title = bounded(described["title"].strip() if described else text)
    key = hashlib.sha256(written(title).encode(errors="replace")).hexdigest()[:16]
    return Item(id=key, title=title, attributes=_attributes(described, in_full) if described else {})


def _attributes(described: re.Match[str], in_full: bool) -> dict[str, tuple[str, ...]]:
    name, words, genres = described.group("name", "words", "genres")
    if genres:
        values = tuple(genre.strip().lower() for genre in genres.split("|"))
        return {} if values == (_NO_GENRES,) else {"genre": values}
    return {name.lower(): (bounded(words.strip()),)} if in_full and words and words.strip() else {}


def bounded(text: str) -> str:
    """``text``, cut at MAX_TEXT_CHARS."""
    return text if len(text) <= MAX_TEXT_CHARS else text[: MAX_TEXT_CHARS - 1] + "…"
