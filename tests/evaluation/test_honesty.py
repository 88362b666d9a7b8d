"""Each way in which an evaluation once flattered itself is planted here, and the run fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from evaluation import examining, grading
from evaluation.catalogue import Catalogue
from evaluation.crossfit import STRICT, Fold, folds_of, strict_folds_of
from evaluation.examining import Drawn, Grade, Table, drawn, examine, pooled, table_of, versus
from evaluation.grading import Row
from evaluation.honesty import Dishonest, fingerprint
from evaluation.records import Asked, Exam, Person, Reader, View
from evaluation.tasks.movielens import TaskName, load
from prefstream.events import Event, Rating
from streams.evidence import evidence_of
from tests.evaluation.films import direct, raters, told

PEOPLE = raters()
SEEDS = (0, 1)
AFTER = 20


class ByTaste:
    """Reads which of two films is of the kind of those liked; told nothing, it knows nothing."""

    def __init__(self, catalogue: Catalogue, name: str = "taste") -> None:
        self._films = {title: int(catalogue.items[rows[0]].id) for title, rows in catalogue.titled.items()}
        self._odd: dict[str, float] = {}
        self.name = name

    def fit(self, asked: Sequence[Asked], took_first: NDArray[np.bool_]) -> None:
        """There is nothing to learn."""

    def prefer(self, asked: Sequence[Asked]) -> NDArray[np.float64]:
        """By the share of odd films among those liked."""
        odd = np.array([self._share(one.view) for one in asked])
        more_odd = np.array([int(one.first.id) % 2 - int(one.second.id) % 2 for one in asked])
        return np.asarray(0.5 + more_odd * (odd - 0.5))

    def _share(self, view: View) -> float:
        if view.evidence:
            return float(np.mean([int(one.chosen.id) % 2 for one in view.evidence if one.chosen]))
        if view.text not in self._odd:
            liked = [self._films[title.casefold()] % 2 for title in view.text.split('"') if title.casefold() in self._films]
            self._odd[view.text] = float(np.mean(liked)) if liked else 0.5
        return self._odd[view.text]


class ByItem:
    """Learns which films are chosen, whoever asks: what a trained reader must not be praised for."""

    name = "by item"

    def __init__(self, catalogue: Catalogue) -> None:
        self._chosen: Counter[str] = Counter()

    def fit(self, asked: Sequence[Asked], took_first: NDArray[np.bool_]) -> None:
        """Counts how often each film was taken, and left."""
        for one, took in zip(asked, took_first, strict=True):
            self._chosen[one.first.id] += 1 if took else -1

    def prefer(self, asked: Sequence[Asked]) -> NDArray[np.float64]:
        """The film that is taken more often."""
        leads = np.array([self._chosen[one.first.id] - self._chosen[one.second.id] for one in asked])
        return np.asarray(1.0 / (1.0 + np.exp(-leads)))


class Nothing(ByTaste):
    """Says nothing of anybody."""

    def prefer(self, asked: Sequence[Asked]) -> NDArray[np.float64]:
        """One half."""
        return np.full(len(asked), 0.5)


PRIOR, CEILING = partial(Nothing, name="prior"), partial(ByTaste, name="ceiling")


@cache
def folds(seed: int = 0) -> tuple[Fold, ...]:
    return folds_of(PEOPLE, seed)


@cache
def an_exam(task: TaskName = "order_matched", seed: int = 0) -> Drawn:
    return drawn(partial(load, task, PEOPLE, folds(seed), after=AFTER, seed=seed, max_pairs=6), folds(seed), seed)


@cache
def graded(
    task: TaskName = "order_matched",
    make: Callable[[Catalogue], Reader] = ByTaste,
    seeds: tuple[int, ...] = SEEDS,
    num_shuffles: int = 5,
) -> Grade:
    exams = [an_exam(task, seed) for seed in seeds]
    return pooled([examine(make, of, told(of.exam), setting="full", num_shuffles=num_shuffles) for of in exams])


def a_table(*grades: Grade, tasks: Sequence[TaskName] = ("order_matched",)) -> Table:
    """The grades with a prior and a ceiling beside them."""
    beside = [graded(task, make) for task in tasks for make in (PRIOR, CEILING)]
    return table_of([*beside, *grades], [an_exam(task, seed) for task in tasks for seed in SEEDS])


def test_an_honest_run_passes() -> None:
    grade = graded()
    table = a_table(grade)
    assert grade in table.grades
    assert table.biased == ()
    assert grade.accuracy.mean > 95.0
    assert (grade.untold == 0.5).all()
    assert grade.gain.low > 20.0


# 1. A summary that knows what is asked about.


def test_a_chunk_that_goes_beyond_the_question_is_refused() -> None:
    of = an_exam()
    with pytest.raises(Dishonest, match="the last update must end where the question stands"):
        examine(ByTaste, of, told(of.exam, more=10), setting="streaming")


def test_a_summary_from_the_future_is_refused_whatever_it_says_of_itself() -> None:
    of = an_exam()
    lying = [replace(view, num_known=AFTER) for view in told(of.exam, more=10)]
    with pytest.raises(Dishonest, match="quote a title that the person meets only later"):
        examine(ByTaste, of, lying, setting="streaming")


def test_a_view_that_does_not_say_what_it_knows_is_refused() -> None:
    of = an_exam()
    with pytest.raises(Dishonest, match="set num_known"):
        examine(ByTaste, of, [replace(view, num_known=0) for view in told(of.exam)], setting="full")


def test_evidence_from_the_future_is_refused() -> None:
    of = an_exam()
    views = direct(of.exam)
    last = {user: evidence_of(person.events[-1]) for user, person in PEOPLE.items()}
    asked = zip(views, of.exam.questions, strict=True)
    planted = [replace(view, evidence=(*view.evidence[1:], last[question.user])) for view, question in asked]
    with pytest.raises(Dishonest, match="holds evidence from after their first 20 events"):
        examine(ByTaste, of, planted, setting="direct")
    assert examine(ByTaste, of, views, setting="direct").accuracy.mean > 95.0


# 2. Questions left out for their answers.


def pruned(of: Drawn) -> Exam:
    """The questions that a reader of items alone gets right."""
    right = grading.right(grading.answer(ByItem, of.exam, told(of.exam), of.folds))
    questions = tuple(question for question, is_right in zip(of.exam.questions, right, strict=True) if is_right == 1.0)
    assert 0 < len(questions) < len(of.exam.questions)
    return replace(of.exam, questions=questions)


def test_questions_left_out_after_they_were_drawn_are_missed() -> None:
    of = an_exam()
    easy = pruned(of)
    with pytest.raises(Dishonest, match="not those that were drawn"):
        examine(ByItem, replace(of, exam=easy), told(easy), setting="full")


def test_they_are_missed_also_under_a_new_fingerprint() -> None:
    grades = []
    for seed in SEEDS:
        of = an_exam(seed=seed)
        easy = pruned(of)
        resealed = replace(of, exam=easy, sha256=fingerprint(easy))
        grades.append(examine(ByItem, resealed, told(easy), setting="full"))
    assert pooled(grades).accuracy.mean > 80.0
    with pytest.raises(Dishonest, match="these are not the questions that are drawn"):
        a_table(pooled(grades))


def test_answers_left_out_are_missed() -> None:
    grade = graded(make=ByItem)
    kept = grade.right > 0
    users = tuple(user for user, is_kept in zip(grade.users, kept, strict=True) if is_kept)
    fewer = replace(grade, users=users, right=grade.right[kept], untold=grade.untold[kept], strangers=grade.strangers[:, kept])
    assert len(fewer.right) < len(grade.right)
    with pytest.raises(Dishonest, match="leave none out"):
        a_table(fewer)


def test_a_question_without_an_answer_is_no_question_left_out() -> None:
    class Silent(ByTaste):
        def prefer(self, asked: Sequence[Asked]) -> NDArray[np.float64]:
            answers = super().prefer(asked)
            answers[0] = np.nan
            return answers

    of = an_exam()
    with pytest.raises(Dishonest, match="questions have no answer"):
        examine(Silent, of, told(of.exam), setting="full")


# 3. One order only.


def test_an_answer_in_one_order_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(reader: Reader, rows: Sequence[Row]) -> NDArray[np.float64]:
        return reader.prefer([Asked(row.view, row.question.chosen, row.question.rejected) for row in rows])

    monkeypatch.setattr(grading, "ask", ask)
    of = an_exam()
    with pytest.raises(Dishonest, match=r"a reader that always says 0\.9 is right in 100\.0%, not in half: ask every question"):
        examine(ByTaste, of, told(of.exam), setting="full")


# 4. Ties.


def test_a_tie_that_counts_as_right_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examining, "right", lambda probabilities: (probabilities >= 0.5).astype(np.float64))
    of = an_exam()
    with pytest.raises(Dishonest, match=r"right in 100\.0%, not in half: count ties half"):
        examine(ByTaste, of, told(of.exam), setting="full")


def test_a_history_that_ends_within_a_second_is_refused() -> None:
    exam = an_exam().exam
    split = replace(exam, questions=tuple(replace(question, after=AFTER - 1) for question in exam.questions))
    with pytest.raises(Dishonest, match="ends within a second"):
        drawn(lambda: split, folds(), 0)


def test_events_out_of_order_are_refused() -> None:
    exam = an_exam().exam
    user = exam.questions[0].user
    events = exam.people[user].events
    mixed = {**exam.people, user: Person(user, (*events[AFTER:], *events[:AFTER]))}
    with pytest.raises(Dishonest, match="not in order of time"):
        drawn(lambda: replace(exam, people=mixed), folds(), 0)


# 5. A reader that learnt the items.


def test_a_reader_that_learnt_which_items_are_chosen_has_no_gain_and_is_marked() -> None:
    unfair = {user: Person(user, tuple(map(_liked_by_all, person.events))) for user, person in PEOPLE.items()}
    parts = folds_of(unfair, 0)
    exams = [drawn(partial(load, "order", unfair, parts, after=AFTER, seed=seed, max_pairs=6), parts, seed) for seed in SEEDS]

    def grade(make: Callable[[Catalogue], Reader]) -> Grade:
        return pooled([examine(make, of, told(of.exam), setting="full") for of in exams])

    by_item, prior = grade(ByItem), grade(PRIOR)
    assert versus(by_item, prior).low > 20.0
    assert (by_item.gain.low, by_item.gain.high) == (0.0, 0.0)
    assert table_of([by_item, prior, grade(CEILING)], exams).biased == (by_item,)


def _liked_by_all(event: Event) -> Event:
    """The same event in a world where everybody likes the same films."""
    assert isinstance(event, Rating)
    return replace(event, value=5.0 if int(event.item.id) % 4 < 2 else 2.0)


def test_fewer_than_five_shuffles_are_refused() -> None:
    with pytest.raises(Dishonest, match="4 shuffles of other people's views are too few"):
        a_table(graded(num_shuffles=4))


def test_one_seed_is_refused() -> None:
    with pytest.raises(Dishonest, match="one seed says little"):
        a_table(graded(seeds=SEEDS[:1]))


# 6. Titles.


def test_two_items_of_one_title_are_no_question() -> None:
    exam = an_exam().exam
    first = exam.questions[0]
    twin = replace(first.rejected, title=first.chosen.title.upper())
    with pytest.raises(Dishonest, match="are one item by id or title"):
        drawn(lambda: replace(exam, questions=(replace(first, rejected=twin), *exam.questions[1:])), folds(), 0)


def test_what_is_known_under_another_id_is_not_asked() -> None:
    exam = an_exam().exam
    first = exam.questions[0]
    known = exam.people[first.user].events[0]
    assert isinstance(known, Rating)
    twin = replace(first.rejected, title=known.item.title)
    with pytest.raises(Dishonest, match="or one of the same title, among their first 20 events"):
        drawn(lambda: replace(exam, questions=(replace(first, rejected=twin),)), folds(), 0)


def test_titles_without_quotes_are_refused() -> None:
    of = an_exam()
    known = {question.user: of.exam.people[question.user].events[0] for question in of.exam.questions}
    titles = {user: event.item.title for user, event in known.items() if isinstance(event, Rating)}
    planted = [View(f"Loves {titles[question.user]}.", num_known=AFTER) for question in of.exam.questions]
    with pytest.raises(Dishonest, match="a title reads as an attribute: write titles in quotes"):
        examine(ByTaste, of, planted, setting="full")


# 7. Item statistics that know too much.


def test_item_statistics_that_know_who_is_asked_are_refused() -> None:
    exam, everybody = an_exam().exam, Catalogue.of(PEOPLE.values())
    planted = [replace(fold, catalogue=everybody) for fold in folds()]
    with pytest.raises(Dishonest, match="know 14 people who are asked"):
        drawn(lambda: exam, planted, 0)


def test_item_statistics_that_know_who_a_reader_is_fitted_to_are_refused() -> None:
    exam = an_exam().exam
    planted = [
        replace(fold, lessons=tuple(replace(lesson, catalogue=fold.catalogue) for lesson in fold.lessons)) for fold in folds()
    ]
    with pytest.raises(Dishonest, match="people whom a reader is fitted to"):
        drawn(lambda: exam, planted, 0)


def test_a_reader_fitted_to_whom_it_is_asked_about_is_refused() -> None:
    exam = an_exam().exam
    planted = [replace(fold, lessons=tuple(replace(lesson, fitted=fold.asked) for lesson in fold.lessons)) for fold in folds()]
    with pytest.raises(Dishonest, match="people whom it is asked about"):
        drawn(lambda: exam, planted, 0)


def test_statistics_of_all_time_are_not_strict() -> None:
    exam = an_exam().exam
    with pytest.raises(Dishonest, match="a catalogue has no end in time"):
        drawn(lambda: replace(exam, name=f"order_matched{STRICT}"), folds(), 0)


def test_statistics_from_the_future_are_refused() -> None:
    strict = strict_folds_of(PEOPLE, 0)
    exam = load("order", PEOPLE, strict, after=AFTER)
    assert drawn(lambda: exam, strict, 0).exam.name == "order, strict"
    late = [replace(fold, catalogue=Catalogue.of([PEOPLE["u59"]], fold.begins_at + 7200)) for fold in strict]
    late = [replace(fold, asked=fold.asked - {"u59"}) for fold in late]
    with pytest.raises(Dishonest, match="ends after its era begins"):
        drawn(lambda: exam, late, 0)


# 8. What is told beside what.


def test_next_popqual_is_not_told_alone() -> None:
    with pytest.raises(Dishonest, match="tell it beside order_matched"):
        a_table(graded("next_popqual"), tasks=("next_popqual",))
    a_table(graded("next_popqual"), tasks=("next_popqual", "order_matched"))


def test_a_table_has_a_prior_and_a_ceiling() -> None:
    exams = [an_exam(seed=seed) for seed in SEEDS]
    with pytest.raises(Dishonest, match="without ceiling and prior"):
        table_of([graded()], exams)


def test_grades_of_other_questions_are_not_compared() -> None:
    with pytest.raises(Dishonest, match="grades of other questions"):
        versus(graded(), graded("order"))
    with pytest.raises(Dishonest, match="a seed comes twice"):
        pooled([graded(), graded()])
    with pytest.raises(Dishonest, match="one reader"):
        pooled([graded(), graded(make=ByItem)])
