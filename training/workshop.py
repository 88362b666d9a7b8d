"""The workshop: what the stages of a run work with, each part made when it is first needed (people → **workshop** → stages)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

from evaluation.crossfit import Fold, folds_of
from evaluation.faithfulness import faithfulness
from evaluation.grading import Row, ask
from evaluation.readers import catalogue
from evaluation.records import Exam, Person, Question, Reader, View
from evaluation.tasks.movielens import questions_of
from streams.evolution.dialects import dialect_of
from training.course import Course
from training.judging import ReaderJudge, fitted_readers
from training.rollouts import Draft
from training.states import Moment, counted, moments_of

FOLD_SEED = 1_000
"""Added to the seed of the run: the folds of S0, of the verifier and of the reward are none that an evaluation draws."""
_MIN_CHUNK = 3


class Workshop:
    """One run: its folder, its course, and its people, all of whom may be learnt from.

    With a ``model`` that one verifies and rewards, as in the papers, instead of the readers that know the catalogue.
    """

    def __init__(self, folder: Path, course: Course, people: Iterable[Person], model: Reader | None = None) -> None:
        self.folder = folder
        self.course = course
        self.people = {person.user: person for person in people}
        self.dialect = dialect_of(course.dialect)
        self._model = model

    @cached_property
    def moments(self) -> dict[str, tuple[Moment, ...]]:
        """Every update of every person; of a short history a third is one, so that three fit into it."""
        chunk = self.course.chunk
        return {
            user: moments_of(person, max(_MIN_CHUNK, min(chunk, len(person.events) // 3)), chunk)
            for user, person in self.people.items()
        }

    @cached_property
    def texts(self) -> dict[tuple[str, int], str]:
        """What the counting engine says, by user and number of events known."""
        return {
            (user, moment.after): counted(moment, self.course.max_tokens)
            for user, moments in self.moments.items()
            for moment in moments
        }

    def before(self, moment: Moment) -> str:
        """The text in force before a moment where no model wrote one: the counting engine's; empty for a new person."""
        return self.texts.get((moment.user, moment.after - moment.num_new), "")

    @cached_property
    def folds(self) -> tuple[Fold, ...]:
        """Who is asked, who is learnt from, and by whom items are known, of those that training may see."""
        return folds_of(self.people, self.course.seed + FOLD_SEED)

    @cached_property
    def exam(self) -> Exam:
        """Pairs of films that others like equally, of the events after each update of everybody."""
        course = self.course
        questions = [
            question
            for fold in self.folds
            for user in sorted(fold.asked)
            for moment in self.moments[user]
            for question in questions_of(
                "order_matched",
                self.people[user],
                moment.after,
                course.chunk,
                fold.catalogue,
                course.seed,
                course.max_questions,
            )
        ]
        return Exam("training", self.people, tuple(questions))

    @cached_property
    def asked(self) -> dict[tuple[str, int], list[Question]]:
        """The questions of the exam by user and number of events known, in the order in which S0 numbers them."""
        asked: dict[tuple[str, int], list[Question]] = {}
        for question in self.exam.questions:
            asked.setdefault((question.user, question.after), []).append(question)
        return asked

    @cached_property
    def readers(self) -> dict[str, Reader]:
        """The reader of each person, for verifier and reward: fitted to other people, with items as yet others know them."""
        if self._model is not None:
            return dict.fromkeys(self.people, self._model)
        return fitted_readers(catalogue.make, self.folds, self.moments, self.texts, self.course.max_questions)

    @cached_property
    def judge(self) -> ReaderJudge:
        """What S3 and S4 are told of a sample."""
        return ReaderJudge(self.readers, faithful)

    def verify(self, asked: Sequence[tuple[str, Question]]) -> list[float]:
        """The probability of the right item after each text, in both orders, to the reader of its person."""
        chances = [0.5] * len(asked)
        for fold in self.folds:
            rows = [Row(place, one, View(text)) for place, (text, one) in enumerate(asked) if one.user in fold.asked]
            told = ask(self.readers[rows[0].question.user], rows) if rows else ()
            for row, chance in zip(rows, told, strict=True):
                chances[row.place] = float(chance)
        return chances


def faithful(text: str, draft: Draft) -> float:
    """How true and how complete a text is, by everything that was seen so far."""
    return faithfulness(text, draft.moment.tally, draft.moment.seen).score
