"""Long horizon: people with fifty updates, and whether a summary of summaries still says what one of everything says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evaluation.crossfit import Fold
from evaluation.records import Exam, Person
from evaluation.settings import MIN_EVENTS, Full, LastChunk, Setting, Streaming, TextOnly
from evaluation.tasks.movielens import TaskName, load

NUM_UPDATES = 50
SETTINGS: tuple[Setting, ...] = (
    Full(),
    Streaming(NUM_UPDATES),
    TextOnly(Streaming(NUM_UPDATES)),
    LastChunk(MIN_EVENTS),
)
"""What is compared: streaming with a tally must cost a point at most (the upper bound), by counting nothing at all."""
MOST_LOST = 1.0


def after_updates(task: TaskName, people: Mapping[str, Person], folds: Sequence[Fold], seed: int = 0) -> Exam:
    """The task's questions about everybody with fifty updates of five events, and more events behind them."""
    return load(task, people, folds, after=NUM_UPDATES * MIN_EVENTS, seed=seed)
