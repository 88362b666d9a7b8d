"""Settings: what a reader is told of a person at a question, from nothing to all they did (exam → **setting** → views).

A setting that summarises is a list of cuts, each of them an update, and the last of them exactly where the question stands: a
text never covers an event that the question may not know. Questions stand between two seconds (:mod:`evaluation.people`);
updates before the last may part a second, as a worker's do.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec import Struct
from msgspec.structs import replace

from evaluation.people import cut_points, is_cut
from evaluation.records import Exam
from prefstream.events import Event

NUM_UPDATES = (2, 5, 10, 50)
"""Of streaming, as reported: 50 events are 25, 10 or 5 an update; 50 updates take 250 events."""

MIN_EVENTS = 5
"""In an update of streaming: people with fewer are left out, so that many updates mean a long history."""

NUM_SHUFFLES = 5
"""Of another person's summary: one derangement says little."""


class NoSummary(Struct, frozen=True, tag="none"):
    """Nothing: the reader's prior alone."""

    @property
    def name(self) -> str:
        """As in the report."""
        return "no summary"


class Direct(Struct, frozen=True, tag="direct"):
    """All that the person did, as evidence."""

    @property
    def name(self) -> str:
        """As in the report."""
        return "direct history"


class Full(Struct, frozen=True, tag="full"):
    """A summary made anew at each question, from nothing and of everything, in one update."""

    @property
    def name(self) -> str:
        """As in the report."""
        return "full re-inference"


class Streaming(Struct, frozen=True, tag="streaming"):
    """A summary after so many updates, of about as many events each, for people with ``min_events`` for each of them.

    Published benchmarks have as few as four events, two for each of two updates.
    """

    num_updates: int
    min_events: int = MIN_EVENTS

    @property
    def name(self) -> str:
        """As in the report."""
        return f"streaming, {self.num_updates} updates"


class Flushed(Struct, frozen=True, tag="flushed"):
    """A summary with one update for each so many events, as the worker flushes: questions stand only behind a flush.

    One run over a history serves all of its questions, so this is the setting of the prequential pool.
    """

    num_events: int = 20

    @property
    def name(self) -> str:
        """As in the report."""
        return f"streaming, an update each {self.num_events} events"


class LastChunk(Struct, frozen=True, tag="last_chunk"):
    """A summary of the last events alone, ``num_events`` or, where a second holds several, a few more."""

    num_events: int = 20

    @property
    def name(self) -> str:
        """As in the report."""
        return f"last {self.num_events} events only"


class TextOnly(Struct, frozen=True, tag="text_only"):
    """The same without a tally: the text is the only memory."""

    of: Streaming | Flushed

    @property
    def name(self) -> str:
        """As in the report."""
        return f"{self.of.name}, text only"


class AnotherPersons(Struct, frozen=True, tag="another_persons"):
    """The same of somebody else who is asked in the exam; no two get the same person's. ``seed`` shuffles them."""

    of: Full | Streaming | Flushed
    seed: int = 0

    @property
    def name(self) -> str:
        """As in the report."""
        return f"another person's, {self.of.name}"


Own = Full | Streaming | Flushed | LastChunk | TextOnly
"""What makes a summary of the person's own events."""

Setting = NoSummary | Direct | Own | AnotherPersons


class NoSuchCut(ValueError):
    """A question stands where the setting has no version that covers exactly what may be known."""


def cuts_of(setting: Own, events: Sequence[Event], after: int) -> tuple[int, ...]:
    """The updates of a question's summary, each the number of first events that are known at it; the last one is ``after``.

    None where the person has too few events. Raises :class:`NoSuchCut`.
    """
    if not is_cut(events, after):
        raise NoSuchCut(f"{after} events of {len(events)} end within a second: ask at a cut point")
    match setting:
        case TextOnly(of=of):
            return cuts_of(of, events, after)
        case Full() | LastChunk():
            return (after,) if after else ()
        case Streaming(num_updates=number, min_events=least):
            return tuple(after * place // number for place in range(1, number + 1)) if after >= least * number else ()
        case Flushed(num_events=number):
            cuts = tuple(cut for cut in flushes(events, number) if cut <= after)
            if cuts[-1:] != (after,) and after >= number:
                raise NoSuchCut(f"no flush of {number} events ends after {after}, but after {cuts[-1:]}: ask behind a flush")
            return cuts


def flushes(events: Sequence[Event], num_events: int) -> tuple[int, ...]:
    """Where a flush of so many events ends, or of a few more: the first cut points that have 20, 40, ... events, for 20."""
    cuts: list[int] = []
    for point in cut_points(events):
        if point // num_events > (cuts[-1] // num_events if cuts else 0):
            cuts.append(point)
    return tuple(cuts)


def start_of(setting: Own, events: Sequence[Event], after: int) -> int:
    """The number of first events that a summary leaves out: 0 but for the last chunk, which begins at a cut point."""
    if not isinstance(setting, LastChunk) or after <= setting.num_events:
        return 0
    return max((0, *(point for point in cut_points(events) if point <= after - setting.num_events)))


def asked_in(exam: Exam, settings: Collection[Setting]) -> Exam:
    """The questions that every one of the settings can be asked, so that their answers can be compared in pairs."""
    places = {(question.user, question.after) for question in exam.questions}
    able = {place for place in places if all(_is_able(setting, exam, *place) for setting in settings)}
    questions = tuple(question for question in exam.questions if (question.user, question.after) in able)
    return replace(exam, people={question.user: exam.people[question.user] for question in questions}, questions=questions)


def _is_able(setting: Setting, exam: Exam, user: str, after: int) -> bool:
    match setting:
        case NoSummary() | Direct():
            return True
        case AnotherPersons(of=of):
            return _is_able(of, exam, user, after)
        case _:
            return bool(cuts_of(setting, exam.people[user].events, after))
