"""Slices change what they say of a person, nothing behind the question, and ask the same questions in the same order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest

from deploy.demo.clothing import Review
from evaluation.people import is_cut
from evaluation.records import Exam
from evaluation.slices.cold_start import NUM_EVENTS, with_last
from evaluation.slices.distractors import mixed_domains, with_distractors
from evaluation.slices.no_negatives import without_negatives
from evaluation.slices.slice import Slice
from prefstream.events import Comment, Event, Rating
from tests.evaluation.people import exam_of, rating

REVIEWS = [Review(number, "knits", "tops", 1 + number % 5, f"Review {number}.") for number in range(50)]
HISTORY = tuple(rating("ada", number, second=number // 2, value=1.0 + number % 5) for number in range(30))
HATER = tuple(rating("bob", number, second=number // 2, value=1.0) for number in range(30))
EXAM = exam_of([HISTORY, HATER], 20)
SLICES: dict[str, Callable[[Exam], Slice]] = {
    "no negatives": without_negatives,
    "mixed in, tagged": lambda exam: with_distractors(exam, REVIEWS, "mixed in", True, 0),
    "last, untagged": lambda exam: with_distractors(exam, REVIEWS, "last", False, 0),
    "mixed domains": lambda exam: mixed_domains(exam, REVIEWS, 0),
    "cold": lambda exam: with_last(exam, 3),
}


def known(exam: Exam, user: str = "ada") -> tuple[Event, ...]:
    (after,) = {question.after for question in exam.questions if question.user == user}
    return exam.people[user].events[:after]


def films(events: Sequence[Event]) -> list[Event]:
    return [event for event in events if isinstance(event, Rating) and event.item.id.startswith(("ada", "bob"))]


def pieces(events: Sequence[Event]) -> list[str]:
    items = [event.item for event in events if isinstance(event, Rating | Comment) and event.item]
    return [item.title for item in items if item.id.startswith("clothing")]


@pytest.mark.parametrize("make", SLICES.values(), ids=SLICES.keys())
def test_the_questions_are_the_same_and_what_comes_behind_them_too(make: Callable[[Exam], Slice]) -> None:
    found = make(EXAM)
    assert [(one.user, one.chosen, one.rejected) for one in found.changed.questions] == [
        (one.user, one.chosen, one.rejected) for one in EXAM.questions
    ]
    for question in found.changed.questions:
        events = found.changed.people[question.user].events
        assert events[question.after :] == EXAM.people[question.user].events[20:]
        assert is_cut(events, question.after)
        assert all(before.at <= behind.at for before, behind in pairwise(events))
    assert make(EXAM) == found  # the seed decides everything


def test_without_negatives_nothing_that_was_disliked_is_known() -> None:
    changed = without_negatives(EXAM)
    assert [event for event in HISTORY[:20] if event.value >= 3] == list(known(changed.changed))
    assert known(changed.changed, "bob") == HATER[19:20]  # somebody who did something
    assert (changed.was, changed.least) == (EXAM, -2.0)


@pytest.mark.parametrize(("placement", "num_before"), [("mixed in", 0), ("last", 20)])
@pytest.mark.parametrize("is_tagged", [True, False])
def test_distractors_come_between_or_behind_the_films(placement: str, num_before: int, is_tagged: bool) -> None:
    changed = with_distractors(EXAM, REVIEWS, "last" if placement == "last" else "mixed in", is_tagged, 0)
    events = known(changed.changed)
    assert films(events) == list(HISTORY[:20])
    assert len(events) == 30
    assert sum(isinstance(event, Comment) for event in events) == 3  # the first of each four
    assert {event.domain for event in events} == ({"films", "clothing"} if is_tagged else {"films"})
    assert films(events[:num_before]) == list(events[:num_before])
    assert (placement == "last") == (films(events[:20]) == list(events[:20]))
    assert changed.least == (-1.0 if is_tagged else None)


def test_nobody_gets_another_persons_clothes() -> None:
    mixed = mixed_domains(EXAM, REVIEWS, 0).changed
    assert pieces(known(mixed)) != pieces(known(mixed, "bob"))
    assert mixed_domains(EXAM, REVIEWS, 0) != mixed_domains(EXAM, REVIEWS, 1)
    assert len(known(mixed_domains(EXAM, REVIEWS, 0).changed)) == 40


@pytest.mark.parametrize("number", NUM_EVENTS)
def test_cold_people_are_known_by_their_last_events(number: int) -> None:
    cold = with_last(EXAM, number)
    assert known(cold.changed) == HISTORY[20 - number : 20]
    assert cold.was is None


def test_what_a_slice_must_hold_belongs_to_a_task() -> None:
    pop = Exam("next_popqual", EXAM.people, EXAM.questions)
    assert [with_last(exam, 3).least for exam in (pop, EXAM)] == [8.0, None]
    assert with_last(pop, 5).least is None


def test_a_person_who_is_asked_at_two_times_is_refused() -> None:
    with pytest.raises(ValueError, match="asks everybody once"):
        without_negatives(exam_of([HISTORY], 10, 20))
