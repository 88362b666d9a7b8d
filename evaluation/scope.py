"""Scope: what a run measures, in which settings, of how many people, and in how many steps (choices → **scope** → run)."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from evaluation.records import Exam
from evaluation.settings import NUM_SHUFFLES, AnotherPersons, Flushed, Full, LastChunk, Own, Streaming, TextOnly
from evaluation.tasks.movielens import TaskName

EVENTS = 50
LONG_EVENTS = 250
HEADLINE = Streaming(5)
"""The summary that checks are about: five updates of ten events each."""
OTHERS = AnotherPersons(HEADLINE)
CHECKED = frozenset({Full().name, Streaming(2).name, HEADLINE.name, Streaming(10).name})
"""Whose texts must be true, short and accepted: also those compared with, or where none was accepted others would look good."""
OWN: tuple[Own, ...] = (Full(), Streaming(2), Streaming(5), Streaming(10), TextOnly(Streaming(10)), LastChunk(20))
LONG: tuple[Own, ...] = (Full(), Streaming(50), TextOnly(Streaming(50)), LastChunk(20))
FOR_EVERYBODY = (Full(), Streaming(2, min_events=1), Streaming(10, min_events=1))
"""What the number of updates costs, on as many people as there are: some have ten events only."""
POOLED = Flushed(20)
FOR_FILES: tuple[Own, ...] = (Full(), FEW := Streaming(2, min_events=2), TextOnly(FEW))
"""Published histories are short."""


LoadFile = Callable[..., Exam]
"""Of a published file, with ``seed`` as its argument."""


class Grid(Struct, frozen=True):
    """What other readers are told, too, beside the direct history: a summary, and one without a tally."""

    own: Streaming
    text_only: TextOnly


GRID = Grid(HEADLINE, TextOnly(Streaming(10)))


class Scope(Struct, frozen=True):
    """What is measured: tasks, the settings of a person's ``own`` summary, readers beside the primary one, seeds of the folds.

    ``max_people`` are asked, 0: all of them; what items are known by is everybody's. ``has_exam``: after 50 events, by every
    reader. ``has_everybody``: also who has few events. ``has_long``: after 250 events. ``num_pooled`` questions of a person
    are in the prequential pool, which gives the curves; 0: no curves. ``files`` are published ones, each with its loader. Of
    MovieLens nobody is asked who is ``left_out``: a summariser learnt from them.
    """

    tasks: tuple[TaskName, ...]
    own: tuple[Own, ...] = OWN
    readers: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1)
    has_exam: bool = True
    has_everybody: bool = False
    has_long: bool = False
    has_attacks: bool = False
    max_people: int = 0
    num_pooled: int = 0
    files: tuple[tuple[str, LoadFile], ...] = ()
    pooled: tuple[Own, ...] = (POOLED, TextOnly(POOLED))
    left_out: frozenset[str] = frozenset()

    @property
    def long(self) -> tuple[Own, ...]:
        """The settings after many events; text only where that is asked for at all: 50 updates of a model take long."""
        has_text_only = any(isinstance(setting, TextOnly) for setting in self.own)
        return tuple(setting for setting in LONG if has_text_only or not isinstance(setting, TextOnly))


def num_steps(scope: Scope, num_writers: int, num_slices: int) -> int:
    """How many views and answers a run takes; ``num_slices``: of all exams together."""
    framing = 6  # prior, ceiling, direct history
    own = framing + 2 * num_writers * len(scope.own)
    strangers = 1 + 2 * NUM_SHUFFLES
    others = 2 + num_writers * (strangers + 2 * NUM_SHUFFLES)
    grid = len(scope.readers) * (2 + num_writers * (2 * 2 + strangers))
    everybody = framing + 2 * num_writers * len(FOR_EVERYBODY) if scope.has_everybody else 0
    long = framing + 2 * num_writers * len(scope.long) if scope.has_long else 0
    pool = framing - 2 + 2 * num_writers * len(scope.pooled) if scope.num_pooled else 0
    files = (framing + 2 * num_writers * len(FOR_FILES) + grid) * len(scope.files)
    exam = own + others + grid if scope.has_exam else 0
    steps_of_task = exam + everybody + long + pool
    return len(scope.seeds) * (len(scope.tasks) * steps_of_task + files) + num_writers * (
        4 * num_slices + 2 * scope.has_attacks
    )
