"""States: the moments at which a summary is due, and the pairs that the next events decide (people → **states** → stages).

A history is cut about every twenty events, never between two of one second. At a cut so many events are known, and all pairs
of the next twenty that the person took at least half of the scale apart say whether a summary was of use.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from msgspec import Struct

from evaluation.people import cut_points
from evaluation.records import Person, Question
from prefstream.events import Event, Item
from prefstream.summaries import Tally
from streams.evidence import Evidence, evidence_of
from streams.evolution.own_words import summarise
from streams.evolution.records import Update
from streams.tally import fold, levels

CHUNK = 20
"""Events of one update: what a flush holds by default."""
APART = 1.0
"""Of a scale from -1 to 1: two stars of five."""


class Moment(Struct, frozen=True):
    """One update of one person: of all that was ``seen`` the last ``num_new`` are new, ``questions`` come after it.

    The ``tally`` has counted all that was seen.
    """

    user: str
    tally: Tally
    seen: tuple[Evidence, ...]
    num_new: int
    questions: tuple[Question, ...]

    @property
    def after(self) -> int:
        """How many events are known."""
        return len(self.seen)

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """What is new."""
        return self.seen[-self.num_new :]

    def update(self, old_text: str, max_tokens: int) -> Update:
        """What a prompt says that is to replace ``old_text``."""
        return Update(old_text, self.tally, self.evidence, max_summary_tokens=max_tokens)


def moments_of(person: Person, chunk: int = CHUNK, horizon: int = CHUNK) -> tuple[Moment, ...]:
    """The person's updates one after the other, each about ``chunk`` events, with the pairs of the next ``horizon`` events.

    Where many events carry one second an update has more. What does not fill an update at the end is only asked about.
    """
    return tuple(_moments(person, chunk, horizon))


def _moments(person: Person, chunk: int, horizon: int) -> Iterator[Moment]:
    tally, begin, evidence = Tally(), 0, tuple(map(evidence_of, person.events))
    for end in cuts_of(person.events, chunk):
        tally = fold(tally, evidence[begin:end])
        yield Moment(person.user, tally, evidence[:end], end - begin, pairs_between(person, end, end + horizon))
        begin = end


def cuts_of(events: Sequence[Event], chunk: int) -> list[int]:
    """How many events are known after each update."""
    cuts: list[int] = []
    for point in cut_points(events):
        if point >= (cuts[-1] if cuts else 0) + chunk:
            cuts.append(point)
    return cuts


def counted(moment: Moment, max_tokens: int) -> str:
    """What the counting engine says at this moment: the text in force where no model has written one."""
    return summarise(levels(moment.tally).sections, "", (), max_tokens)


def pairs_between(person: Person, begin: int, end: int) -> tuple[Question, ...]:
    """All pairs among the events from ``begin`` to ``end`` that the person took far enough apart, asked at ``begin``.

    A choice is a pair by itself: what was taken against each thing that was left.
    """
    evidence = list(map(evidence_of, person.events[begin:end]))
    taken = [(item, one.strength) for one in evidence for item in [_item(one)] if item is not None]
    apart = [_in_order(one, other) for one, other in combinations(taken, 2) if abs(one[1] - other[1]) >= APART]
    left = [(one.chosen, item) for one in evidence if one.chosen is not None for item in one.rejected]
    return tuple(Question(person.user, begin, chosen, rejected) for chosen, rejected in (*apart, *left))


def _item(evidence: Evidence) -> Item | None:
    """The item that the strength is about; nothing for a choice, which is a pair already, and for words."""
    if evidence.kind == "choice":
        return None
    return evidence.chosen or next(iter(evidence.rejected), None)


def _in_order(one: tuple[Item, float], other: tuple[Item, float]) -> tuple[Item, Item]:
    return (one[0], other[0]) if one[1] > other[1] else (other[0], one[0])
