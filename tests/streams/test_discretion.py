"""What is off leaves evidence, tally and text, sentence by sentence, is counted, and takes nothing else with it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from prefstream.events import Choice, Comment, Event, Feedback, Item, Message, Post, Rating, Search
from prefstream.summaries import Tally
from streams.discretion import discreet_evidence, discreet_tally, discreet_text
from streams.evidence import Evidence, evidence_of
from streams.evolution.guards.sensitive import ALL
from streams.tally import digest, fold

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
HEAT = Item(id="1", title="Heat", attributes={"genre": ("crime",)})
SIKH = Item(id="2", title="The Church", attributes={"religion": ("Sikh",), "genre": ("religion",)})


def rated(item: Item, value: float = 5) -> Rating:
    return Rating(user="ada", at=AT, item=item, value=value)


CASES: list[tuple[Event, dict[str, object], dict[str, int]]] = [
    (Post(user="ada", at=AT, text="I am Muslim. I loved Heat."), {"quote": "I loved Heat."}, {"religion": 1}),
    (Message(user="ada", at=AT, role="user", text="I have depression!"), {"quote": ""}, {"health": 1}),
    (Comment(user="ada", at=AT, text="Nice.", in_reply_to="I'm gay. Yes."), {"query": "Yes."}, {"sexual_orientation": 1}),
    (Feedback(user="ada", at=AT, item=HEAT, liked=True, text="My insulin! Good."), {"quote": "Good."}, {"health": 1}),
    (Search(user="ada", at=AT, query="hiv treatment"), {"query": "", "quote": ""}, {"health": 1}),
    (Choice(user="ada", at=AT, query="gay dating", chosen=HEAT), {"query": ""}, {"sexual_orientation": 1}),
    (rated(SIKH), {"chosen": replace(SIKH, attributes={"genre": ("religion",)})}, {"religion": 1}),
    (rated(SIKH, 1), {"rejected": (replace(SIKH, attributes={"genre": ("religion",)}),)}, {"religion": 1}),
]


@pytest.mark.parametrize(("event", "changed", "counted"), CASES)
def test_an_event_loses_what_is_off_and_stays_an_event(
    event: Event, changed: dict[str, object], counted: dict[str, int]
) -> None:
    evidence = evidence_of(event)
    assert discreet_evidence(evidence, ALL) == (replace(evidence, **changed), counted)
    assert discreet_evidence(evidence, frozenset()) == (evidence, {})


@pytest.mark.parametrize(
    "event",
    [
        rated(HEAT),
        Post(user="ada", at=AT, text="The Passion of the Christ.\n\nSlow,   but good"),
        Search(user="ada", at=AT, query="war films"),
    ],
)
def test_all_else_is_what_it_was(event: Event) -> None:
    evidence = evidence_of(event)
    assert discreet_evidence(evidence, ALL) == (evidence, {})


def with_all() -> list[Evidence]:
    events: list[Event] = [
        Post(user="ada", at=AT, text="I am a devout Catholic and like crime"),
        Search(user="ada", at=AT, query="mosque near me"),
        *[rated(SIKH)] * 5,
        *[rated(HEAT)] * 5,
    ]
    return [evidence_of(event) for event in events]


def test_a_tally_of_before_loses_it_and_keeps_its_counts() -> None:
    tally = fold(Tally(), with_all())
    assert all(told in digest(tally) for told in ("Catholic", "mosque", "Sikh"))
    cleaned = discreet_tally(tally, ALL)
    assert digest(cleaned).splitlines() == [
        line for line in digest(tally).splitlines() if not any(told in line for told in ("Catholic", "mosque", "Sikh"))
    ]
    assert cleaned.num_events == tally.num_events
    assert discreet_tally(tally, frozenset()) == tally


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Is Muslim. Loves drama.", "Loves drama."),
        ('Loves drama. Wrote: "I am gay and proud of it".', "Loves drama."),
        (
            'Loves drama. Recently searched for "hiv treatment"; "slow cinema".',
            'Loves drama. Recently searched for "slow cinema".',
        ),
        ('Loves religion and war. Favourites: "I Am Gay".', 'Loves religion and war. Favourites: "I Am Gay".'),
        ("Suffers from depression.", "No clear preferences yet."),
        ("Oddly   written, but fine", "Oddly   written, but fine"),
    ],
)
def test_a_text_of_before_loses_its_sentences(text: str, left: str) -> None:
    assert discreet_text(text, ALL) == left
    assert discreet_text(text, frozenset()) == text


def test_a_text_keeps_what_the_person_wants_kept() -> None:
    assert discreet_text("I am Muslim. Is gay. Loves drama.", ALL, ("I am Muslim.",)) == "I am Muslim.\nLoves drama."
