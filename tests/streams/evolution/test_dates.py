"""Dates: nothing of them in an ordinary prompt, and in a few words where something lies far back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from model_server.counting import complete
from prefstream.dead_letters import Origin
from prefstream.events import Item, Rating
from prefstream.summaries import Summary, Tally
from streams.evidence import Evidence, evidence_of
from streams.evolution.alignxplore import AlignXplore
from streams.evolution.brief import Brief
from streams.evolution.dates import dated, is_heading
from streams.evolution.fitting import Context, fit
from streams.evolution.plain import Plain, parse_prompt, word_events, write_prompt
from streams.evolution.records import Completion, Update
from streams.evolution.sections import Sections
from streams.records import Arrival, encode_event
from streams.tally import fold
from streams.versions import step_from

AT = datetime(2026, 4, 5, 12, tzinfo=UTC)
DAY_SECONDS = 86_400.0


def rated(title: str, days_before: float, value: int = 5) -> Rating:
    return Rating(
        user="ada", at=AT - timedelta(days=days_before), domain="films", item=Item(id=title, title=title), value=value
    )


def evidence(*days_before: float) -> tuple[Evidence, ...]:
    return tuple(evidence_of(rated(f"Film {'I' * place}", days)) for place, days in enumerate(days_before, 1))


def told(*days_before: float, covered: float | None = None) -> list[str]:
    lines = [f"event {place}" for place in range(len(days_before))]
    ats = [1e9 - days * DAY_SECONDS for days in days_before]
    return dated(lines, ats, None if covered is None else 1e9 - covered * DAY_SECONDS)


def new_events(update: Update) -> list[str]:
    content = Plain().write_prompt(update).turns[-1].content
    return content[content.index("<new_events>\n") + 13 : content.index("\n</new_events>")].split("\n")


@pytest.mark.parametrize("covered", [None, 0.0, 30.9])
def test_within_a_month_nothing_is_said(covered: float | None) -> None:
    assert told(30.9, 3.0, 0.0, covered=covered) == ["event 0", "event 1", "event 2"]
    assert told(0.0, 3.0, covered=covered) == ["event 0", "event 1"]
    assert told(covered=400.0) == []


@pytest.mark.parametrize(
    ("days", "age"),
    [
        (31.0, "one month earlier"),
        (60.9, "one month earlier"),
        (61.0, "two months earlier"),
        (364.9, "eleven months earlier"),
        (365.0, "one year earlier"),
        (11 * 365.0, "eleven years earlier"),
        (12 * 365.0, "many years earlier"),
    ],
)
def test_an_age_is_a_few_words_without_digits(days: float, age: str) -> None:
    assert told(days, 0.0) == [f"{age}:", "event 0", "newest:", "event 1"]


def test_events_stand_in_order_of_time_one_line_for_each_age() -> None:
    assert told(0.5, 40.0, 2.0, 45.0, 8.0, 1.0, 0.0) == [
        "one month earlier:",
        "event 3",
        "event 1",
        "one week earlier:",
        "event 4",
        "two days earlier:",
        "event 2",
        "one day earlier:",
        "event 5",
        "newest:",
        "event 0",
        "event 6",
    ]


def test_of_one_instant_the_order_of_arrival_is_kept() -> None:
    assert told(40.0, 40.0, 0.0, 0.0)[1:3] + told(40.0, 40.0, 0.0, 0.0)[4:] == ["event 0", "event 1", "event 2", "event 3"]


def test_a_pause_is_told_by_how_far_the_old_summary_reaches() -> None:
    assert told(1.0, 0.0, covered=100.0) == [
        "old summary: three months earlier",
        "one day earlier:",
        "event 0",
        "newest:",
        "event 1",
    ]


def test_a_backfill_is_old_though_it_comes_now() -> None:
    """The newest event that is known is in the old summary."""
    assert told(800.0, 790.0, covered=0.0) == ["two years earlier:", "event 0", "event 1"]


def test_an_event_that_says_nothing_has_no_line_and_no_age() -> None:
    assert dated(["a", "", "b"], [0.0, 40 * DAY_SECONDS, 80 * DAY_SECONDS]) == ["two months earlier:", "a", "newest:", "b"]


def test_the_prompt_and_what_the_counting_engine_reads_of_it() -> None:
    events = evidence(70.0, 0.0)
    update = Update("Likes war.", fold(Tally(), events), events, covered_at_seconds=(AT - timedelta(days=75)).timestamp())
    assert new_events(update) == [
        "old summary: two months earlier",
        "two months earlier:",
        'loved "Film I"',
        "newest:",
        'loved "Film II"',
    ]
    parts = parse_prompt(Plain().write_prompt(update))
    assert parts is not None
    assert parts.events == ('loved "Film I"', 'loved "Film II"')
    for tally in (update.tally, Tally()):
        answer = complete(Plain().write_prompt(replace(update, tally=tally)))
        assert isinstance(answer, Completion)
        assert '"Film II"; "Film I"' in answer.text


def test_only_where_the_instruction_explains_it() -> None:
    """A model that was trained on prompts without ages, and a published format, never see one."""
    sparse = evidence(700.0, 70.0, 0.0)
    dense = tuple(replace(one, at_seconds=0.0) for one in sparse)
    for dialect in (Brief(), AlignXplore()):
        assert dialect.write_prompt(Update("", Tally(), sparse)) == dialect.write_prompt(Update("", Tally(), dense))
    assert "one year earlier:" in Sections().write_prompt(Update("", Tally(), sparse)).turns[-1].content


def test_a_call_is_told_how_far_its_summary_reaches() -> None:
    base = Summary(
        user="ada", version=1, text="Likes war.", reason="size", updated_at=AT, last_event_at=AT - timedelta(days=95)
    )
    arrived_at_ms = int(AT.timestamp() * 1_000)
    row = (7, Arrival(Origin("T1", 0, 7), arrived_at_ms, 9, "", msgspec.Raw(encode_event(rated("Heat", 0.0)))))

    def events_of(base: Summary | None) -> list[str]:
        return new_events(fit(lambda _: step_from(b"ada", base, [row], "age"), 1, 160, Plain(), Context()).update)

    assert events_of(base) == ["old summary: three months earlier", "newest:", 'loved "Heat"']
    assert events_of(None) == events_of(replace(base, last_event_at=AT)) == ['loved "Heat"']


words = (
    st.sampled_from(["newest", "newest:", "old summary", "one year earlier:", "", "old summary: one year earlier"]) | st.text()
)
events = st.builds(
    Evidence,
    kind=st.sampled_from(["rating", "search", "post", "comment", "choice", "view"]),
    at_seconds=st.floats(-1e9, 1e10),
    domain=words,
    strength=st.floats(-0.5, 0.5),
    query=words,
    chosen=st.none() | st.builds(Item, id=st.just("1"), title=words),
    rejected=st.just(()),
    quote=words,
    recommended=st.booleans(),
)


@given(st.lists(events, max_size=9), st.none() | st.floats(-1e9, 1e10))
def test_no_event_reads_like_an_age_and_none_is_lost(some: list[Evidence], covered: float | None) -> None:
    several = len({one.domain for one in some}) > 1
    lines = [words for words, _ in word_events(some, with_domain=several) if words]
    assert not any(map(is_heading, lines))
    parts = parse_prompt(write_prompt("", Tally(), some, covered_at_seconds=covered))
    assert parts is not None
    assert sorted(parts.events) == sorted(lines)
