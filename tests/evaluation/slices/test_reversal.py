"""Reversals: who turns, against what, and whether a text is said to follow that does not; fifty updates take 250 events."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from evaluation.crossfit import folds_of
from evaluation.evolving import Policy
from evaluation.people import cut_at
from evaluation.records import Person
from evaluation.settings import Full, Streaming, asked_in
from evaluation.slices.long_horizon import SETTINGS, after_updates
from evaluation.slices.reversal import NUM_UPDATES, TURN, UPDATE, Reversal, everything, followed, targeted
from evaluation.views import Summaries
from model_server.counting import Counting
from prefstream.events import Event, Rating
from streams.evolution.plain import Plain
from streams.evolution.records import CallResult, Completion, Prompt
from tests.evaluation.people import rating

POLICY = Policy(Plain())


def history(number: int, user: str = "ada", shift: int = 0) -> tuple[Event, ...]:
    """War films that are loved, dramas that are not, in turn; everybody meets the same films."""
    events = []
    for place in range(number):
        genre = ("war", "drama")[place % 2]
        event = rating(user, place, place, value=5.0 if genre == "war" else 2.0, genre=genre)
        events.append(replace(event, item=replace(event.item, id=f"{place + shift}", title=f"Film {place + shift}")))
    return tuple(events)


def test_who_turns_hates_what_they_loved_and_nothing_else() -> None:
    person = Person("ada", history(100))
    (reversal,) = targeted({"ada": person})
    assert reversal.attribute == "war"
    assert reversal.cuts == (20, 40, 50, 70, 90)
    values = [event.value for event in reversal.person.events if isinstance(event, Rating)]
    assert values[:TURN] == [5.0, 2.0] * 25
    assert values[TURN:] == [1.0, 2.0] * 20


@pytest.mark.parametrize("number", [TURN, TURN + NUM_UPDATES * UPDATE - 1])
def test_who_has_too_few_events_does_not_turn(number: int) -> None:
    assert targeted({"ada": Person("ada", history(number))}) == []


def test_who_hardly_meets_it_again_has_not_said_that_they_turned() -> None:
    war, other = history(TURN), tuple(rating("ada", place, place, genre="comedy") for place in range(TURN, 100))
    assert targeted({"ada": Person("ada", war + other)}) == []


class Says(Counting):
    """Answers so much, one update after the other."""

    def __init__(self, *texts: str) -> None:
        self._texts = iter(texts)

    async def evolve(self, prompt: Prompt, *, request_id: str) -> CallResult:
        return Completion(next(self._texts), "stop")


@pytest.mark.parametrize(
    ("texts", "follows", "drops"),
    [
        (("Loves war.", "Loves war."), False, False),
        (("Dislikes war.", "Dislikes war."), True, True),
        (("Mixed on war.", "Dislikes drama."), True, True),
        (("Loves war.", "Dislikes drama."), False, True),
        (("Dislikes drama.", "Likes war."), False, False),
    ],
)
def test_whether_a_text_follows(texts: tuple[str, str], follows: bool, drops: bool) -> None:
    reversal = Reversal(Person("ada", history(60)), "war", (20, 40, 60))
    found = asyncio.run(followed([reversal], Says("Loves war.", *texts), replace(POLICY, keeps_tally=False)))
    assert (found.users, found.follows, found.drops) == (("ada",), (follows,), (drops,))


def test_the_counting_engine_follows() -> None:
    found = asyncio.run(followed(targeted({"ada": Person("ada", history(100))}), Counting(), POLICY))
    assert found.follows == found.drops == (True,)


def test_who_turns_against_everything_is_asked_about_their_new_tastes() -> None:
    people = {user: Person(user, history(100, user, shift)) for shift, user in enumerate("abcdefghij")}
    exam = everything("order", people, folds_of(people, 0))
    assert exam.name == "order: turned round 20 events ago"
    assert exam.questions
    for question in exam.questions:
        assert question.chosen.attributes == {"genre": ("drama",)}
        events = exam.people[question.user].events
        cut = cut_at(events, TURN)
        assert events[:cut] == people[question.user].events[:cut]
        assert [event.value for event in events[cut:] if isinstance(event, Rating)] == [1.0, 4.0] * 25


def test_fifty_updates_of_a_summary_with_a_tally_lose_nothing() -> None:
    people = {user: Person(user, history(270, user, shift)) for shift, user in enumerate("abcdefghij")}
    exam = after_updates("order", people, folds_of(people, 0))
    assert {question.after for question in exam.questions} == {250}
    assert asked_in(exam, SETTINGS) == exam
    summaries = Summaries(Counting(), POLICY)
    full, streaming = (asyncio.run(summaries.views(exam, setting)).views for setting in (Full(), Streaming(50)))
    assert full == streaming
