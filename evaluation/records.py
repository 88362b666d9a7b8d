"""An evaluation: people, questions, what a reader is told, and what a reader is (task → view → **reader** → report)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from prefstream.events import Event, Item
from streams.evidence import Evidence


class Person(Struct, frozen=True):
    """Somebody, and what they did in order of time."""

    user: str
    events: tuple[Event, ...]


class Question(Struct, frozen=True):
    """Which of two items does the person take, when the first ``after`` of their events are known?

    ``chosen`` is the right answer; no reader is told which one it is. ``query`` is what they asked for, where they asked.
    """

    user: str
    after: int
    chosen: Item
    rejected: Item
    query: str = ""


class Exam(Struct, frozen=True):
    """A task's people and all its questions about them. ``name`` is the task's, as in the report."""

    name: str
    people: dict[str, Person]
    questions: tuple[Question, ...]


class View(Struct, frozen=True):
    """What a reader is told of a person: a text, or, as the direct baseline, the evidence itself. Nothing: the prior alone.

    ``num_known`` is how many events it was made from; grading refuses one that knows more of the person than may be known.
    ``stranger`` is whose events these are where they are not the person's own: what that adds is no taste of theirs.
    """

    text: str = ""
    evidence: tuple[Evidence, ...] = ()
    num_known: int = 0
    stranger: str = ""


class Asked(Struct, frozen=True):
    """A question as a reader gets it: two items in an order that says nothing, and the view."""

    view: View
    first: Item
    second: Item
    query: str = ""


class Reader(Protocol):
    """A downstream model. It is made from a catalogue of other people's behaviour and fitted to other people's questions."""

    @property
    def name(self) -> str:
        """As in the report."""

    def fit(self, asked: Sequence[Asked], took_first: NDArray[np.bool_]) -> None:
        """Learn from other people's questions, one label each; a reader with nothing to learn does nothing."""

    def prefer(self, asked: Sequence[Asked]) -> NDArray[np.float64]:
        """The probability, for each question, that the person takes the first item; 0.5 where nothing speaks for either."""
