"""No negatives: people of whom only what they liked or did not mind is known, as where nobody says what they dislike."""

from __future__ import annotations

from evaluation.records import Exam
from evaluation.slices.slice import Slice, changed
from prefstream.events import Event
from streams.evidence import evidence_of

MOST_LOST = 2.0


def without_negatives(exam: Exam) -> Slice:
    """The exam without the events that speak against an item, where at least one event is left of everybody."""
    return Slice(f"{exam.name}: no negatives", changed(exam, _without), exam, -MOST_LOST)


def _without(known: tuple[Event, ...], coming: tuple[Event, ...]) -> tuple[tuple[Event, ...], tuple[Event, ...]]:
    # Who disliked everything keeps the last of it: a question is about somebody who did something.
    return tuple(event for event in known if evidence_of(event).strength >= 0) or known[-1:], coming
