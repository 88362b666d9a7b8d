"""What a view says, in the catalogue's terms: items liked and disliked, and levels of attributes (view → **reader**).

A text names titles. One that several items share speaks for each of them in equal parts, because nothing tells which was meant:
of MovieLens' 1,682 films 18 titles are of two. A title that no item has says nothing. Evidence names items by their id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from msgspec import Struct

from evaluation.catalogue import Catalogue, written
from evaluation.records import Asked, View
from prefstream.events import Item
from prefstream.summaries import Tally
from streams.evidence import Evidence
from streams.evolution.prose import Claims, parse
from streams.tally import fold, levels, spoken_attributes
from streams.weights import TallyPolicy, touches

LEVELS = ("loves", "likes", "mixed", "dislikes", "often")
UNBOUNDED = TallyPolicy(max_attributes=1_000_000)
NUM_REMEMBERED = 4_096
"""Views of which it is known what they say: those of an exam are asked for again by every reader."""


class Understood(Struct, frozen=True):
    """Rows of the catalogue, each with its part, and per kind of level the attributes, in lower case, that stand there."""

    liked: Mapping[int, float]
    disliked: Mapping[int, float]
    levels: Mapping[str, frozenset[str]]


def understood(view: View, catalogue: Catalogue) -> Understood:
    """What a view says: its text, or its evidence where it holds some."""
    claims = claims_of(view)
    if view.evidence:
        felt = [(row, one) for item, one in strengths_of(view).items() if (row := catalogue.rows.get(item)) is not None]
        liked = {row: 1.0 for row, strength in felt if strength >= UNBOUNDED.strong}
        disliked = {row: 1.0 for row, strength in felt if strength <= -UNBOUNDED.strong}
    else:
        liked = _titled((title for section in claims.sections for title in section.favourites), catalogue)
        disliked = _titled((title for section in claims.sections for title in section.did_not_enjoy), catalogue)
    return Understood(liked, disliked, _levels(claims))


def claims_of(view: View) -> Claims:
    """The claims of the text; of evidence, what an unbounded tally of it says."""
    return _counted(_Same(view.evidence)) if view.evidence else _parsed(view.text)


def strengths_of(view: View) -> Mapping[str, float]:
    """How strongly each item of the evidence was liked, -1 to 1, by id; the last word counts, as in the catalogue."""
    return _strengths(_Same(view.evidence))


class _Same:
    """Evidence, which cannot be hashed, to be remembered by: the same object is the same evidence."""

    def __init__(self, evidence: tuple[Evidence, ...]) -> None:
        self.evidence = evidence

    def __hash__(self) -> int:
        return id(self.evidence)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.evidence is other.evidence


_parsed = lru_cache(NUM_REMEMBERED)(parse)


@lru_cache(NUM_REMEMBERED)
def _counted(same: _Same) -> Claims:
    return levels(fold(Tally(), same.evidence, UNBOUNDED))


@lru_cache(NUM_REMEMBERED)
def _strengths(same: _Same) -> dict[str, float]:
    return {touch.item.id: touch.strength for one in same.evidence for touch in touches(one)}


def _titled(titles: Iterable[str], catalogue: Catalogue) -> dict[int, float]:
    parts: dict[int, float] = {}
    for title in dict.fromkeys(map(written, titles)):
        rows = catalogue.titled.get(title, ())
        parts |= {row: 1.0 / len(rows) for row in rows}
    return parts


def _levels(claims: Claims) -> dict[str, frozenset[str]]:
    return {
        level: frozenset(value.casefold() for section in claims.sections for value in getattr(section, level))
        for level in LEVELS
    }


def attributes_of(item: Item) -> tuple[str, ...]:
    """The item's attributes as levels name them, in lower case."""
    return tuple(dict.fromkeys(map(str.casefold, spoken_attributes(item))))


def by_view(asked: Sequence[Asked]) -> list[tuple[View, list[int]]]:
    """The places of the questions by the view they are asked with: a person's questions mostly share one."""
    places: dict[tuple[str, int], list[int]] = {}
    for place, one in enumerate(asked):
        places.setdefault((one.view.text, id(one.view.evidence)), []).append(place)
    return [(asked[where[0]].view, where) for where in places.values()]
