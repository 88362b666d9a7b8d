"""P-Soups in the form of AlignXplore+'s benchmarks: does a style of writing, seen in four choices, show in a fifth?

A file is ``student_phd_upi.jsonl`` (expertise), ``friendly_unfriendly_upi.jsonl`` (style) or ``concise_detail_upi.jsonl``
(informativeness); a line is one of :mod:`evaluation.tasks.alignxplore` with ``"ground_truth_persona": str``, the instruction
the chosen texts were written by. It begins the person's name and is shown to no reader.

The published files repeat themselves: 600 rows have 22 or 37 different pairs in all their histories. So rows with the same
history are one person here, however their users are called, and an interval by person does not take copies for evidence.
The form of AlignX's repository, a JSON array with ``Pair-wise Comparative Feedback``, is for :mod:`evaluation.tasks.alignx`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from evaluation.records import Exam, Person
from evaluation.tasks.alignxplore import UpiRow, question_of
from evaluation.tasks.published import DEFAULT_PEOPLE, Skipped, drawn, json_rows
from evaluation.tasks.triples import choices


class PersonaRow(UpiRow, frozen=True):
    """One line: a question of somebody whose choices follow one instruction."""

    ground_truth_persona: Annotated[str, Meta(min_length=1)]


def load(path: Path, *, max_people: int = DEFAULT_PEOPLE, seed: int = 0, skipped: Skipped | None = None) -> Exam:
    """The exam of a file, at most ``max_people`` lines of it, drawn by ``seed``; all four choices are known.

    Raises Unreadable.
    """
    people: dict[str, Person] = {}
    questions = []
    for _, row in drawn(json_rows(path, PersonaRow, skipped), max_people, seed):
        user = f"{row.ground_truth_persona[:60]} {history_key(row)}"
        people.setdefault(user, Person(user, choices(user, row.history)))
        questions.append(question_of(user, row.target, len(row.history)))
    return Exam(path.stem, people, tuple(questions))


def history_key(row: UpiRow) -> str:
    """The same for rows whose histories say the same in the same order."""
    return hashlib.sha256(msgspec.json.encode(row.history)).hexdigest()[:12]
