"""Cold start: people of whom one, three, five or ten events are known, each against what other people's behaviour says alone.

The questions are the same ones for each number of events, so the prior is too: what differs is what is known.
"""

from __future__ import annotations

from evaluation.records import Exam
from evaluation.slices.slice import Slice, changed
from prefstream.events import Event

NUM_EVENTS = (1, 3, 5, 10)
LEAST_GAINED = {("next_popqual", 3): 8.0}
"""Over the prior, in points, by task and number of events."""


def with_last(exam: Exam, num_events: int) -> Slice:
    """The exam when only the last ``num_events`` before each question are known, compared with the prior."""

    def keep(known: tuple[Event, ...], coming: tuple[Event, ...]) -> tuple[tuple[Event, ...], tuple[Event, ...]]:
        return known[-num_events:], coming

    name = f"{exam.name}: {num_events} event{'s' * (num_events > 1)} known"
    return Slice(name, changed(exam, keep), None, LEAST_GAINED.get((exam.name, num_events)))
