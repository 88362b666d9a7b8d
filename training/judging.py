"""Judging: what a sampled rewrite is worth to a reader, and whether production would take it (draft → **judge** → reward).

The reader is fitted to other people and knows items by yet others, in folds that no evaluation uses. A refused rewrite is
shown to nobody: the reader answers without it, and nothing it says counts as true. Too long a text is not refused here, as
the reward takes its length into account.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from evaluation.crossfit import Fold
from evaluation.grading import MakeReader, Row, ask, taught
from evaluation.records import Reader, View
from streams.evolution.guards import GuardLimits, Rejected, judge
from streams.tokens import estimate_text_tokens
from training.rewards import Rewrite
from training.rollouts import Draft, Judged
from training.states import Moment

Faithful = Callable[[str, Draft], float]
"""The share of the claims of a text that the events of its moment support, 0 to 1."""

_ANY_LENGTH = GuardLimits(max_tokens=10_000)


class ReaderJudge:
    """Judges drafts with one fitted reader for each fold of people."""

    def __init__(self, readers: Mapping[str, Reader], faithful: Faithful) -> None:
        self._readers = readers
        self._faithful = faithful

    def __call__(self, drafts: Sequence[Draft]) -> list[Judged]:
        """The worth of each draft; its reader is that of its person's fold."""
        refused = [_refusal(draft) for draft in drafts]
        texts = ["" if reason else draft.answer.text for draft, reason in zip(drafts, refused, strict=True)]
        accuracies = self._accuracies(drafts, texts)
        return [self._judged(*one) for one in zip(drafts, texts, refused, accuracies, strict=True)]

    def _judged(self, draft: Draft, text: str, refused: str, accuracy: float) -> Judged:
        tokens = draft.answer.text_tokens or estimate_text_tokens(draft.answer.text)
        faithfulness = self._faithful(text, draft) if text else 0.0
        rewrite = Rewrite(accuracy, faithfulness, tokens, draft.update.max_summary_tokens, bool(refused))
        kept = refused or tokens > draft.update.max_summary_tokens
        return Judged(rewrite, draft.update.old_text if kept else text, refused)

    def _accuracies(self, drafts: Sequence[Draft], texts: Sequence[str]) -> list[float]:
        """The mean probability of the right item over the questions of each draft's moment; one half where there are none."""
        means = [0.5] * len(drafts)
        for user in dict.fromkeys(draft.moment.user for draft in drafts):
            places = [place for place, draft in enumerate(drafts) if draft.moment.user == user]
            rows = [Row(place, question, View(texts[place])) for place in places for question in drafts[place].moment.questions]
            chances = ask(self._readers[user], rows) if rows else np.empty(0)
            for place, own in _by_place(rows, chances).items():
                means[place] = fmean(own)
        return means


def _by_place(rows: Sequence[Row], chances: NDArray[np.float64]) -> dict[int, list[float]]:
    own: dict[int, list[float]] = {}
    for row, chance in zip(rows, chances.tolist(), strict=True):
        own.setdefault(row.place, []).append(chance)
    return own


def fitted_readers(
    make: MakeReader,
    folds: Sequence[Fold],
    moments: Mapping[str, Sequence[Moment]],
    texts: Mapping[tuple[str, int], str],
    most: int,
) -> dict[str, Reader]:
    """The reader of each person: fitted to other people's summaries, with items as yet others know them.

    ``texts`` are the summaries by user and number of events known; of a moment the first ``most`` questions are learnt from.
    """
    rows = [
        Row(0, question, View(texts[moment.user, moment.after]))
        for of_person in moments.values()
        for moment in of_person
        for question in moment.questions[:most]
    ]
    readers: dict[str, Reader] = {}
    for fold in folds:
        readers.update(dict.fromkeys(fold.asked, taught(make, fold, rows)))
    return readers


def _refusal(draft: Draft) -> str:
    """Why production would not take the answer, whatever its length; empty where it would."""
    judgement = judge(
        draft.answer, draft.prompt, draft.update.old_text, _ANY_LENGTH, draft.update.pins, (), draft.update.evidence
    )
    return judgement.reason if isinstance(judgement, Rejected) else ""
