"""A setting's updates end exactly where the question stands, and whoever has too few events is left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.people import is_cut
from evaluation.settings import (
    AnotherPersons,
    Direct,
    Flushed,
    Full,
    LastChunk,
    NoSuchCut,
    NoSummary,
    Own,
    Setting,
    Streaming,
    TextOnly,
    asked_in,
    cuts_of,
    flushes,
    start_of,
)
from prefstream.events import Event
from tests.evaluation.people import exam_of, ratings

ADA = ratings(60)
IN_HASTE = ratings(0, seconds=[0, 1, 1, 1, 2, 2, 3, 4, 4, 5])  # cut points: 1, 4, 6, 7, 9, 10


@pytest.mark.parametrize(
    ("setting", "after", "cuts"),
    [
        (Full(), 50, (50,)),
        (Full(), 0, ()),
        (LastChunk(20), 50, (50,)),
        (Streaming(2), 50, (25, 50)),
        (Streaming(5), 50, (10, 20, 30, 40, 50)),
        (Streaming(10), 53, (5, 10, 15, 21, 26, 31, 37, 42, 47, 53)),
        (Streaming(10), 49, ()),
        (Streaming(2, min_events=1), 4, (2, 4)),
        (Streaming(2, min_events=1), 1, ()),
        (Flushed(20), 40, (20, 40)),
        (Flushed(20), 19, ()),
        (TextOnly(Streaming(2)), 50, (25, 50)),
        (TextOnly(Flushed(20)), 40, (20, 40)),
    ],
)
def test_the_updates_of_a_setting(setting: Own, after: int, cuts: tuple[int, ...]) -> None:
    assert cuts_of(setting, ADA, after) == cuts


def test_a_question_stands_behind_a_flush_or_the_text_would_cover_more_or_less_than_may_be_known() -> None:
    with pytest.raises(NoSuchCut, match="no flush of 20 events ends after 50"):
        cuts_of(Flushed(20), ADA, 50)


@pytest.mark.parametrize("setting", [Full(), Streaming(1), LastChunk(2), TextOnly(Streaming(1))])
def test_nobody_is_asked_in_the_middle_of_a_second(setting: Own) -> None:
    assert cuts_of(setting, IN_HASTE, 6)[-1] == 6
    with pytest.raises(NoSuchCut, match="5 events of 10 end within a second"):
        cuts_of(setting, IN_HASTE, 5)


def test_a_flush_ends_with_its_second() -> None:
    assert flushes(IN_HASTE, 2) == (4, 6, 9, 10)
    assert flushes(IN_HASTE, 5) == (6, 10)
    assert flushes(IN_HASTE, 11) == ()


SECONDS = st.lists(st.integers(0, 3), min_size=1, max_size=40).map(lambda gaps: [sum(gaps[:at]) for at in range(len(gaps))])


@given(SECONDS, st.integers(1, 8))
def test_flushes_have_as_many_events_as_asked_for_and_no_second_more(seconds: list[int], num_events: int) -> None:
    events = ratings(0, seconds=seconds)
    cuts = flushes(events, num_events)
    for before, cut in zip((0, *cuts), cuts, strict=False):
        assert is_cut(events, cut)
        due = (before // num_events + 1) * num_events
        assert not any(is_cut(events, earlier) for earlier in range(due, cut))
    left = (cuts[-1] // num_events + 1) * num_events if cuts else num_events
    assert len(events) < left


def test_the_last_chunk_begins_with_a_second() -> None:
    assert start_of(LastChunk(20), ADA, 50) == 30
    assert start_of(LastChunk(20), ADA, 15) == 0
    assert start_of(LastChunk(4), IN_HASTE, 9) == 4
    assert start_of(LastChunk(3), IN_HASTE, 7) == 4
    assert start_of(LastChunk(5), IN_HASTE, 7) == 1
    assert start_of(Full(), ADA, 50) == 0


def test_only_who_can_be_asked_in_every_setting_is() -> None:
    short: tuple[Event, ...] = ratings(25, user="bob")
    exam = exam_of([ADA, short], 20)
    few, many = asked_in(exam, [NoSummary(), Direct(), Streaming(2)]), asked_in(exam, [AnotherPersons(Streaming(5), 1)])
    assert (few, many.questions, many.people) == (exam, (), {})
    both = asked_in(exam_of([ADA, ratings(60, user="bob")], 20, 40), [Streaming(5), Full()])
    assert {(question.user, question.after) for question in both.questions} == {("ada", 40), ("bob", 40)}


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        (NoSummary(), "no summary"),
        (Direct(), "direct history"),
        (Full(), "full re-inference"),
        (LastChunk(20), "last 20 events only"),
        (TextOnly(Streaming(5)), "streaming, 5 updates, text only"),
        (AnotherPersons(Flushed(20), 3), "another person's, streaming, an update each 20 events"),
    ],
)
def test_a_setting_has_a_name_in_the_report(setting: Setting, name: str) -> None:
    assert setting.name == name
