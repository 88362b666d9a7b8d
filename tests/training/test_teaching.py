"""What is taught: the prompts of production, answered with what was counted, within the budget, from people who may be seen."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from evaluation.records import Person
from prefstream.events import Item, Rating
from streams.evolution.brief import SYSTEM
from streams.evolution.guards import Accepted, GuardLimits, judge
from streams.evolution.prose import parse
from streams.evolution.records import Completion, Prompt
from training.teaching import Lessons, teach
from training.variety import PINS, Wishes, varied, wishes

GENRES = ("drama", "war", "crime", "comedy", "horror")


def person(name: str, num_events: int = 60) -> Person:
    random = Random(name)
    began = datetime(2026, 1, 5, tzinfo=UTC)
    return Person(name, tuple(rating(name, number, began + timedelta(minutes=number), random) for number in range(num_events)))


def rating(name: str, number: int, at: datetime, random: Random) -> Rating:
    item = Item(str(number), f"Film {number} (1997)", {"genre": tuple(random.sample(GENRES, 2))})
    return Rating(user=name, at=at, domain="films", item=item, value=float(random.randint(1, 5)))


PEOPLE = [person(f"person-{number}") for number in range(30)]


def fenced(name: str, content: str) -> str:
    found = re.search(rf"<{name}>\n(.*)\n</{name}>", content, re.DOTALL)
    return found[1] if found else ""


def words(text: str) -> int:
    return len(text.split())


def test_the_same_seed_teaches_the_same_whoever_else_is_taught() -> None:
    both, alone = list(teach(PEOPLE[:2], words, 1)), list(teach(PEOPLE[1:2], words, 1))
    assert both[-len(alone) :] == alone
    assert alone != list(teach(PEOPLE[1:2], words, 2))


def test_an_answer_is_one_that_the_guards_accept() -> None:
    for example in teach(PEOPLE, words, 3):
        prompt = Prompt(example.turns, 1_000)
        old_text = fenced("old_summary", example.turns[1].content)
        pins = fenced("pinned", example.turns[1].content).splitlines()
        judged = judge(Completion(example.completion, "stop"), prompt, old_text, GuardLimits(max_tokens=400), pins)
        assert isinstance(judged, Accepted), (judged, example.completion)


def test_prompts_are_those_of_production() -> None:
    examples = list(teach(PEOPLE, words, 4))
    assert {example.turns[0].content for example in examples} == {SYSTEM}
    assert any("<pinned>" in example.turns[1].content for example in examples)
    assert any("<tally>" not in example.turns[1].content for example in examples)
    assert any("<old_summary>" not in example.turns[1].content for example in examples)


def test_titles_are_never_invented() -> None:
    for example in teach(PEOPLE, words, 5):
        for section in parse(example.completion).sections:
            assert all(f'"{title}"' in example.turns[1].content for title in (*section.favourites, *section.did_not_enjoy))


@pytest.mark.parametrize("budget", [40, 160])
def test_an_answer_fills_the_budget_in_the_tokens_of_the_model(budget: int) -> None:
    def letters(text: str) -> int:
        return len(text) // 6  # fewer than the estimate that the engine reckons with

    lessons = Lessons(budgets=(budget,), textual=0)
    lengths = [letters(example.completion) for example in teach(PEOPLE, letters, 6, lessons)]
    assert max(lengths) <= budget
    estimated = [letters(example.completion) for example in teach(PEOPLE, lambda text: 10**6, 6, lessons)]
    assert sum(lengths) > sum(estimated) or budget == 160


def test_a_pin_is_in_every_answer() -> None:
    num_pins = 0
    for example in teach(PEOPLE, words, 7):
        for pin in fenced("pinned", example.turns[1].content).splitlines():
            num_pins += 1
            assert pin in PINS
            assert pin in example.completion
    assert num_pins > 10


def test_some_people_act_and_some_have_two_domains() -> None:
    everybody = [varied(one, Random(one.user)) for one in PEOPLE]
    kinds = {type(event).__name__ for one in everybody for event in one.events}
    assert {"Rating", "Purchase", "View", "Click", "Skip", "Choice", "Feedback", "Search", "Post"} <= kinds
    num_domains = [len({event.domain for event in one.events}) for one in everybody]
    assert 0 < num_domains.count(2) < len(PEOPLE) / 2
    for one in everybody:
        assert list(one.events) == sorted(one.events, key=lambda event: event.at)


def test_most_people_wish_nothing() -> None:
    told = [wishes(Random(number)) for number in range(200)]
    assert 100 < sum(one == Wishes() for one in told) < 190
