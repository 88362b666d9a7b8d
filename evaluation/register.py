"""Register: what was drawn and who answered it, so that a report leaves nothing out (answers → **register** → report)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from evaluation.honesty import Dishonest, fingerprint
from evaluation.records import Exam

MIN_SHUFFLES = 5
"""Of other people's views: one derangement says little."""

FRAME = ("prior", "ceiling")
"""The readers that every exam is answered by, by name: what the figures of all others lie between."""


class Entry(Struct, frozen=True):
    """Who answered an exam, told what; ``stranger`` numbers the shuffle, and is None where people's own views were told."""

    sha256: str
    reader: str
    setting: str
    stranger: int | None


class Register:
    """Fills as a run goes; at its end :meth:`check` says whether all of it may be told."""

    def __init__(self) -> None:
        self._draws: dict[str, Callable[[], Exam]] = {}
        self._names: dict[str, str] = {}
        self._entries: set[Entry] = set()

    def draw(self, draw: Callable[[], Exam]) -> Exam:
        """The exam, drawn before anybody has answered it: no question of it may be left out from now on."""
        exam = draw()
        drawn = fingerprint(exam)
        self._draws[drawn], self._names[drawn] = draw, exam.name
        return exam

    def note(self, exam: Exam, reader: str, setting: str, right: NDArray[np.float64], stranger: int | None = None) -> None:
        """A reader answered the exam; ``stranger`` numbers the shuffle in which it was told of other people instead.

        Raises Dishonest: the exam is not as it was drawn, or a question has no answer.
        """
        whose = f"{exam.name}, {reader}, {setting}"
        sha256 = fingerprint(exam)
        if sha256 not in self._draws:
            raise Dishonest(f"{whose}: these are not the questions that were drawn: ask all of them, and leave none out")
        if len(right) != len(exam.questions) or np.isnan(right).any():
            raise Dishonest(
                f"{whose}: some of the {len(exam.questions)} questions have no answer: a reader says 0.5 if it cannot tell"
            )
        self._entries.add(Entry(sha256, reader, setting, stranger))

    def check(self) -> None:
        """Raises Dishonest: what is missing beside what was answered, or that an exam is not drawn the same again."""
        answered = {entry.sha256 for entry in self._entries}
        for sha256 in sorted(answered):
            name = self._names[sha256]
            if fingerprint(self._draws[sha256]()) != sha256:
                raise Dishonest(f"{name}: drawn again it has other questions: draw by a seed, and by nothing a reader said")
            self._check_beside(name, [entry for entry in self._entries if entry.sha256 == sha256])
        self._check_tasks({self._names[sha256] for sha256 in answered})

    def _check_beside(self, exam: str, entries: list[Entry]) -> None:
        readers = {entry.reader for entry in entries}
        if missing := [reader for reader in FRAME if reader not in readers]:
            raise Dishonest(f"{exam}: without {' and '.join(missing)} nobody knows what its figures are worth: ask it, too")
        for reader in sorted(readers - set(FRAME)):
            num_shuffles = len({entry.stranger for entry in entries if entry.reader == reader and entry.stranger is not None})
            if num_shuffles < MIN_SHUFFLES:
                raise Dishonest(
                    f"{exam}: {reader} was told of other people in {num_shuffles} shuffles: without {MIN_SHUFFLES} nobody "
                    "knows whether it reads the person or learnt the items"
                )

    def _check_tasks(self, exams: set[str]) -> None:
        for exam in sorted(exams):
            task, _, kind = exam.partition(",")
            if task.startswith("next_pop") and f"order_matched{',' * bool(kind)}{kind}" not in exams:
                raise Dishonest(f"{exam}: it partly says what the site showed together: tell it beside order_matched")
