"""Kept answers: what a reader answered to an exam, on disk by everything it depends on (views → reader → **kept** → findings).

A run that was stopped goes on where it was, and two settings that tell the same are read once.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from evaluation.crossfit import Fold
from evaluation.grading import MakeReader, answer
from evaluation.records import Exam, Question, View

ROOT = Path(__file__).parents[1]
SOURCES = ("evaluation", "streams", "prefstream")
_encode = msgspec.json.Encoder().encode


class KeptAnswers:
    """The answers in a folder. ``people`` and the ``seed`` of the folds say what catalogues they rest on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.num_asked = 0

    def answer(
        self,
        reader: str,
        make: MakeReader,
        exam: Exam,
        views: Sequence[View],
        folds: Sequence[Fold],
        seed: int,
        fitted_to: Sequence[View] = (),
    ) -> NDArray[np.float64]:
        """How probable each right answer is (:func:`evaluation.grading.answer`), computed unless it was before."""
        path = self._folder / f"{_key(reader, exam, (views, fitted_to), folds, seed)}.npy"
        if path.exists():
            return np.asarray(np.load(path))
        self.num_asked += 1
        answers = answer(make, exam, views, folds, fitted_to)
        self._keep(path, answers)
        return answers

    def _keep(self, path: Path, answers: NDArray[np.float64]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        with part.open("wb") as file:
            np.save(file, answers)
        part.replace(path)  # complete, or not there at all


def _key(reader: str, exam: Exam, tellings: Sequence[Sequence[View]], folds: Sequence[Fold], seed: int) -> str:
    asked = sha256(f"{reader} {exam.name} {seed} {_of_code()} {_of_people(folds[0].catalogue.users)}".encode())
    for question in exam.questions:
        asked.update(_of_question(question))
    shown: dict[int, bytes] = {}
    for views in tellings:
        asked.update(str(len(views)).encode())
        for view in views:
            if id(view) not in shown:
                shown[id(view)] = _of_view(view)
            asked.update(shown[id(view)])
    return asked.hexdigest()


def _of_question(question: Question) -> bytes:
    return f"{question.user}\0{question.after}\0{question.chosen.id}\0{question.rejected.id}\0{question.query}\0".encode()


def _of_view(view: View) -> bytes:
    return sha256(_encode((view.text, view.num_known, view.stranger, view.evidence))).digest()


def _of_people(users: Collection[str]) -> str:
    return sha256(" ".join(sorted(users)).encode()).hexdigest()


@cache
def _of_code() -> str:
    """A hash of all code that an answer depends on: kept answers of other code are not these."""
    paths = sorted(path for folder in SOURCES for path in (ROOT / folder).rglob("*.py"))
    code = sha256()
    for path in paths:
        code.update(path.read_bytes())
    return code.hexdigest()
