"""Each way in which an evaluation once flattered itself is planted here, and the run fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from evaluation import grading
from evaluation.catalogue import Catalogue
from evaluation.crossfit import STRICT, Fold, Lesson, folds_of, strict_folds_of
from evaluation.grading import Row, answer, right
from evaluation.honesty import Dishonest, check_exam, check_folds, check_strangers
from evaluation.records import Asked, Exam, Person, Reader, View
from evaluation.register import Register
from evaluation.tasks.movielens import TaskName, load
from prefstream.events import Event, Rating
from streams.evidence import evidence_of
from tests.evaluation.films import direct, raters, told

PEOPLE = raters()
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


def an_exam(task: TaskName = "order_matched", seed: int = 0) -> Exam:
    return load(task, PEOPLE, folds(seed), after=AFTER, seed=seed, max_pairs=6)


EXAM = an_exam()


def accuracy(make: Callable[[Catalogue], Reader], views: Sequence[View], exam: Exam = EXAM) -> float:
    return float(right(answer(make, exam, views, folds())).mean())


def test_an_honest_run_passes() -> None:
    assert accuracy(ByTaste, told(EXAM)) > 0.95
    assert accuracy(ByTaste, direct(EXAM)) > 0.95
    assert accuracy(ByTaste, [View()] * len(EXAM.questions)) == 0.5
    entered(PRIOR, CEILING, ByTaste).check()


# 1. A summary that knows what is asked about.


def test_a_chunk_that_goes_beyond_the_question_is_refused() -> None:
    with pytest.raises(Dishonest, match="the last update must end where the question stands"):
        accuracy(ByTaste, told(EXAM, more=10))


def test_a_summary_from_the_future_is_refused_whatever_it_says_of_itself() -> None:
    lying = [replace(view, num_known=AFTER) for view in told(EXAM, more=10)]
    with pytest.raises(Dishonest, match="quote a title that the person meets only later"):
        accuracy(ByTaste, lying)


def test_a_reader_fitted_to_honest_views_is_told_no_other_ones() -> None:
    for views, learnt in ((told(EXAM, more=10), told(EXAM)), (told(EXAM), told(EXAM, more=10))):
        with pytest.raises(Dishonest, match="the last update must end where the question stands"):
            answer(ByTaste, EXAM, views, folds(), fitted_to=learnt)


def test_a_view_that_does_not_say_what_it_knows_is_refused() -> None:
    with pytest.raises(Dishonest, match="set num_known"):
        accuracy(ByTaste, [replace(view, num_known=0) for view in told(EXAM)])


def test_evidence_from_the_future_is_refused() -> None:
    views = direct(EXAM)
    last = {user: evidence_of(person.events[-1]) for user, person in PEOPLE.items()}
    asked = zip(views, EXAM.questions, strict=True)
    planted = [replace(view, evidence=(*view.evidence[1:], last[question.user])) for view, question in asked]
    with pytest.raises(Dishonest, match="holds evidence from after their first 20 events"):
        accuracy(ByTaste, planted)
    assert accuracy(ByTaste, views) > 0.95


# 2. Questions left out for their answers.


def pruned(exam: Exam) -> Exam:
    """The questions that a reader of items alone gets right."""
    is_right = right(answer(ByItem, exam, told(exam), folds())) == 1.0
    assert 0 < is_right.sum() < len(exam.questions)
    return replace(exam, questions=tuple(question for question, kept in zip(exam.questions, is_right, strict=True) if kept))


def test_questions_left_out_after_they_were_drawn_are_missed() -> None:
    register = Register()
    easy = pruned(register.draw(an_exam))
    assert accuracy(ByItem, told(easy), easy) > 0.8
    with pytest.raises(Dishonest, match="these are not the questions that were drawn"):
        register.note(easy, "by item", "full", right(answer(ByItem, easy, told(easy), folds())))


def test_questions_left_out_before_they_are_registered_are_missed() -> None:
    register, easy = Register(), pruned(EXAM)
    draws = iter([easy, EXAM])
    register.draw(lambda: next(draws))
    register.note(easy, "by item", "full", np.ones(len(easy.questions)))
    with pytest.raises(Dishonest, match="drawn again it has other questions"):
        register.check()


@pytest.mark.parametrize("answers", [np.ones(3), np.full(len(EXAM.questions), np.nan)], ids=["too few", "no numbers"])
def test_answers_left_out_are_missed(answers: NDArray[np.float64]) -> None:
    register = Register()
    with pytest.raises(Dishonest, match="questions have no answer"):
        register.note(register.draw(an_exam), "by item", "full", answers)


def test_a_reader_that_does_not_answer_is_refused() -> None:
    class Silent(ByTaste):
        def prefer(self, asked: Sequence[Asked]) -> NDArray[np.float64]:
            answers = super().prefer(asked)
            answers[0] = np.nan
            return answers

    with pytest.raises(Dishonest, match=r"a reader has no answer to .* questions"):
        accuracy(Silent, told(EXAM))


# 3. One order only.


def test_an_answer_in_one_order_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(reader: Reader, rows: Sequence[Row]) -> NDArray[np.float64]:
        return reader.prefer([Asked(row.view, row.question.chosen, row.question.rejected) for row in rows])

    monkeypatch.setattr(grading, "ask", ask)
    with pytest.raises(Dishonest, match=r"a reader that always says 0\.9 is right in 100\.0%, not in half: ask every question"):
        accuracy(ByTaste, told(EXAM))


# 4. Ties.


def test_a_tie_that_counts_as_right_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grading, "right", lambda probabilities: (probabilities >= 0.5).astype(np.float64))
    with pytest.raises(Dishonest, match=r"right in 100\.0%, not in half: count ties half"):
        accuracy(ByTaste, told(EXAM))


def test_a_history_that_ends_within_a_second_is_refused() -> None:
    split = replace(EXAM, questions=tuple(replace(question, after=AFTER - 1) for question in EXAM.questions))
    views = [replace(view, num_known=AFTER - 1) for view in told(EXAM)]
    with pytest.raises(Dishonest, match="ends within a second"):
        accuracy(ByTaste, views, split)


def test_events_out_of_order_are_refused() -> None:
    user = EXAM.questions[0].user
    events = EXAM.people[user].events
    mixed = {**EXAM.people, user: Person(user, (*events[AFTER:], *events[:AFTER]))}
    with pytest.raises(Dishonest, match="not in order of time"):
        check_exam(replace(EXAM, people=mixed))


def test_an_exam_that_asks_nothing_is_refused() -> None:
    with pytest.raises(Dishonest, match="it asks nothing of anybody"):
        check_exam(replace(EXAM, questions=()))


# 5. A reader that learnt the items.


def entered(
    *makes: Callable[[Catalogue], Reader], tasks: Sequence[TaskName] = ("order_matched",), num_shuffles: int = 5
) -> Register:
    """A run of these readers, each told of the person and, so many times, of somebody else."""
    register = Register()
    for task in tasks:
        exam = register.draw(partial(an_exam, task))
        for make in makes:
            reader = make(folds()[0].catalogue).name
            register.note(exam, reader, "full", right(answer(make, exam, told(exam), folds())))
            for shuffle in range(num_shuffles):
                register.note(exam, reader, "full", right(strange(make, exam, shuffle)), stranger=shuffle)
    return register


def strange(make: Callable[[Catalogue], Reader], exam: Exam, shuffle: int) -> NDArray[np.float64]:
    """The answers of a reader that learnt from people's own views, and is told of somebody else's."""
    own = told(exam)
    users = sorted({question.user for question in exam.questions})
    views = {question.user: view for question, view in zip(exam.questions, own, strict=True)}
    others = dict(zip(users, [*users[shuffle + 1 :], *users[: shuffle + 1]], strict=True))
    strangers = [replace(views[others[question.user]], stranger=others[question.user]) for question in exam.questions]
    return answer(make, exam, strangers, folds(), fitted_to=own)


def test_a_reader_that_learnt_which_items_are_chosen_is_shown_by_strangers() -> None:
    """Everybody likes the same films here, so that the reader is far above one that knows nothing."""
    unfair = {user: Person(user, tuple(map(_liked_by_all, person.events))) for user, person in PEOPLE.items()}
    exam = load("order", unfair, folds_of(unfair, 0), after=AFTER, max_pairs=6)
    own = answer(ByItem, exam, told(exam), folds_of(unfair, 0))
    assert right(own).mean() > 0.8
    assert right(strange(ByItem, exam, 0)).mean() == right(own).mean()
    assert right(strange(ByTaste, EXAM, 0)).mean() < accuracy(ByTaste, told(EXAM)) - 0.2


def _liked_by_all(event: Event) -> Event:
    """The same event in a world where everybody likes the same films."""
    assert isinstance(event, Rating)
    return replace(event, value=5.0 if int(event.item.id) % 4 < 2 else 2.0)


def test_fewer_than_five_shuffles_are_refused() -> None:
    with pytest.raises(Dishonest, match="by item was told of other people in 4 shuffles"):
        entered(PRIOR, CEILING, ByItem, num_shuffles=4).check()


def test_readers_are_fitted_to_peoples_own_views_whatever_they_are_told_later() -> None:
    seen: set[str] = set()

    class Watching(ByTaste):
        def fit(self, asked: Sequence[Asked], took_first: NDArray[np.bool_]) -> None:
            seen.update(one.view.stranger for one in asked)

    strange(Watching, EXAM, 0)
    assert seen == {""}


# 6. Titles.


def test_two_items_of_one_title_are_no_question() -> None:
    first = EXAM.questions[0]
    twin = replace(first.rejected, title=first.chosen.title.upper())
    with pytest.raises(Dishonest, match="are one item by id or title"):
        check_exam(replace(EXAM, questions=(replace(first, rejected=twin), *EXAM.questions[1:])))


def test_what_is_known_under_another_id_is_not_asked() -> None:
    first = EXAM.questions[0]
    known = EXAM.people[first.user].events[0]
    assert isinstance(known, Rating)
    twin = replace(first.rejected, title=known.item.title)
    with pytest.raises(Dishonest, match="under another id among their first 20 events"):
        check_exam(replace(EXAM, questions=(replace(first, rejected=twin),)))


def test_titles_without_quotes_are_refused() -> None:
    known = {question.user: EXAM.people[question.user].events[0] for question in EXAM.questions}
    titles = {user: event.item.title for user, event in known.items() if isinstance(event, Rating)}
    planted = [View(f"Loves {titles[question.user]}.", num_known=AFTER) for question in EXAM.questions]
    with pytest.raises(Dishonest, match="a title reads as an attribute: write titles in quotes"):
        accuracy(ByTaste, planted)


# 7. Item statistics that know too much.


def with_lessons(change: Callable[[Fold, Lesson], Lesson]) -> list[Fold]:
    """The folds with other lessons."""
    return [replace(fold, lessons=tuple(change(fold, lesson) for lesson in fold.lessons)) for fold in folds()]


def refused(planted: Sequence[Fold], why: str, exam: Exam = EXAM) -> None:
    with pytest.raises(Dishonest, match=why):
        answer(ByTaste, exam, told(exam), planted)


def test_item_statistics_that_know_who_is_asked_are_refused() -> None:
    everybody = Catalogue.of(PEOPLE.values())
    refused([replace(fold, catalogue=everybody) for fold in folds()], "know 14 people who are asked")


def test_item_statistics_that_know_who_a_reader_is_fitted_to_are_refused() -> None:
    refused(with_lessons(lambda fold, lesson: replace(lesson, catalogue=fold.catalogue)), "people whom a reader is fitted to")


def test_a_reader_fitted_to_whom_it_is_asked_about_is_refused() -> None:
    refused(with_lessons(lambda fold, lesson: replace(lesson, fitted=fold.asked)), "people whom it is asked about")


def test_who_is_asked_in_no_fold_or_twice_is_refused() -> None:
    refused(folds()[1:], "is asked in 0 folds, not in one")
    refused([*folds(), folds()[0]], "is asked in 2 folds, not in one")


def test_statistics_of_all_time_are_not_strict() -> None:
    refused(folds(), "a catalogue has no end in time", replace(EXAM, name=f"order_matched{STRICT}"))


def test_statistics_from_the_future_are_refused() -> None:
    strict = strict_folds_of(PEOPLE, 0)
    exam = load("order", PEOPLE, strict, after=AFTER)
    check_folds(exam, strict)
    late = [replace(fold, catalogue=replace(fold.catalogue, before_seconds=fold.begins_at + 7200)) for fold in strict]
    refused(late, "ends after its era begins", exam)
    refused(late, "a catalogue knows what happened after", replace(exam, name="order"))


# 8. What is told beside what.


def test_next_popqual_is_not_told_alone() -> None:
    with pytest.raises(Dishonest, match="next_popqual: it partly says what the site showed together"):
        entered(PRIOR, CEILING, tasks=("next_popqual",)).check()
    entered(PRIOR, CEILING, tasks=("next_popqual", "order_matched")).check()


def test_nothing_is_told_without_a_prior_and_a_ceiling() -> None:
    with pytest.raises(Dishonest, match="order_matched: without prior and ceiling nobody knows"):
        entered(ByTaste).check()


# 9. A summariser that learnt from who is asked.


def test_a_summariser_that_learnt_from_who_is_asked_is_refused() -> None:
    asked = {question.user for question in EXAM.questions}
    check_strangers(EXAM, {"somebody else"})
    with pytest.raises(Dishonest, match="a summariser learnt from 2 people who are asked: leave them out"):
        check_strangers(EXAM, {*sorted(asked)[:2], "somebody else"})
