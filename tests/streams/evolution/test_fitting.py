"""Whatever is due, the prompt fits, no event is lost, and what gives way is what matters least."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from prefstream.dead_letters import Origin
from prefstream.events import Choice, Event, Item, Message, Post, Rating
from prefstream.summaries import DomainTally, Mention, ModelUsed, Summary, Tally, Weight
from streams.evolution.alignxplore import AlignXplore
from streams.evolution.dialects import Dialect
from streams.evolution.fitting import MARGIN_TOKENS, Context, Cut, Fitted, estimate_prompt_tokens, fit
from streams.evolution.plain import Plain, parse_prompt
from streams.evolution.records import Prompt
from streams.failures import Failures
from streams.flush import FlushPolicy
from streams.pending import Known, PendingIndex
from streams.records import Arrival, encode_event
from streams.tokens import estimate_event_tokens
from streams.versions import Step, next_summary, step_from

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
BASE: dict[str, Any] = {"user": "ada", "at": AT}
ADA = b"ada"
NOW_MS = 1_000_000

Rows = Sequence[tuple[int, Arrival]]


def arrival_of(offset: int, event: Event) -> Arrival:
    tokens = estimate_event_tokens(event)
    return Arrival(Origin("T1", 0, offset), NOW_MS, tokens, event.id, msgspec.Raw(encode_event(event)))


def rows_of(events: Sequence[Event]) -> Rows:
    return [(offset, arrival_of(offset, event)) for offset, event in enumerate(events)]


def steps(rows: Rows, base: Summary | None = None) -> Callable[[int], Step]:
    return lambda number: step_from(ADA, base, rows[:number], "size")


def fitted(events: Sequence[Event], max_tokens: int, base: Summary | None = None, dialect: Dialect | None = None) -> Fitted:
    return fit(steps(rows_of(events), base), len(events), 160, dialect or Plain(), Context(max_tokens))


def summary_of(text: str, tally: Tally | None = None, pins: tuple[str, ...] = ()) -> Summary:
    return Summary(
        user="ada", version=3, text=text, reason="size", updated_at=AT, position=-1, tally=tally or Tally(), pins=pins
    )


def post(number: int) -> Event:
    return Post(text=f"my opinion of film number {number}", **BASE)


def words_of(prompt: Prompt) -> tuple[str, ...]:
    parts = parse_prompt(prompt)
    assert parts is not None
    return parts.events


def test_what_fits_is_taken_as_it_is() -> None:
    events = [post(n) for n in range(20)]
    counted: list[Prompt] = []

    def count(prompt: Prompt) -> int:
        counted.append(prompt)
        return estimate_prompt_tokens(prompt)

    result = fit(steps(rows_of(events)), 20, 160, Plain(), Context(count_tokens=count))
    assert (len(result.step.offsets), result.cuts, counted) == (20, (), [result.prompt])
    assert result.prompt == Plain().write_prompt(result.update)


def test_the_oldest_events_that_fit_are_taken() -> None:
    events = [post(n) for n in range(20)]
    seven = fitted(events[:7], 32_768).prompt
    most = estimate_prompt_tokens(seven) + seven.max_tokens + MARGIN_TOKENS
    for max_tokens, num_events in ((most, 7), (most - 1, 6)):
        result = fitted(events, max_tokens)
        assert (result.step.offsets, result.cuts) == (tuple(range(num_events)), ("events",))
        assert result == replace(fitted(events[:num_events], 32_768), cuts=("events",))


def test_however_many_prefixes_are_tried_the_tally_is_folded_for_two_steps() -> None:
    rows, asked = rows_of([post(n) for n in range(20)]), list[int]()

    def step_of(number: int) -> Step:
        asked.append(number)
        return steps(rows)(number)

    most = fitted([post(n) for n in range(7)], 32_768).prompt
    fit(step_of, 20, 160, Plain(), Context(estimate_prompt_tokens(most) + most.max_tokens + MARGIN_TOKENS))
    assert asked == [20, 7]


def test_of_a_single_event_attributes_give_way_first() -> None:
    item = Item(id="1", title="Fargo (1996)", attributes={"genre": ("crime", "drama" * 8)})
    whole = fitted([Rating(item=item, value=5, **BASE)], 32_768)
    most = estimate_prompt_tokens(whole.prompt) + whole.prompt.max_tokens + MARGIN_TOKENS
    result = fitted([Rating(item=item, value=5, **BASE)], most - 1)
    assert (words_of(result.prompt), result.cuts) == (('loved "Fargo (1996)"',), ("words",))
    assert result.step == whole.step


def test_then_the_ends_of_its_texts_and_the_tally_counts_it_whole() -> None:
    item = Item(id="1", title="The Long Voyage Home and Back Again", attributes={"genre": ("drama",)})
    events = [Choice(chosen=item, rejected=(item,) * 4, query="something long for a tired evening", **BASE)]
    bare = fitted([Message(text="As an AI...", role="assistant", **BASE)], 32_768).prompt
    result = fitted(events, estimate_prompt_tokens(bare) + bare.max_tokens + MARGIN_TOKENS + 90)
    (words,) = words_of(result.prompt)
    assert (words.startswith('chose "The'), words.count("…"), "drama" in words) == (True, 5, False)
    assert result.cuts[-1] == "words"
    assert result.step.tally == step_from(ADA, None, rows_of(events), "size").tally


def test_a_long_edit_leaves_room_for_the_events() -> None:
    edit = summary_of("\n".join(f"Line {n}: " + "I like this and that. " * 40 for n in range(110)))
    assert len(edit.text) > 90_000
    result = fitted([post(n) for n in range(20)], 4_096, edit)
    parts = parse_prompt(result.prompt)
    assert parts is not None
    assert (len(parts.events), result.cuts) == (20, ("summary",))
    assert result.update.old_text.startswith("Line 0: I like")
    assert 1_000 < len(result.update.old_text) < 8_000
    assert result.step.old_text == edit.text


def test_of_a_large_tally_what_is_older_gives_way_and_the_stored_one_stays() -> None:
    titles = tuple(Mention(str(n), f"A film with a rather long title, number {n}", 1.0, n) for n in range(12))
    liked = {f"genre:g{n}": Weight(liked=4.0, met=5.0) for n in range(12)}
    domains = {f"domain {n}": DomainTally(n, Weight(), liked, favourites=titles, dislikes=titles) for n in range(8)}
    base = summary_of("Likes war.", Tally(36, domains))
    result = fitted([post(n) for n in range(20)], 4_096, base)
    assert "tally" in result.cuts
    assert len(words_of(result.prompt)) >= 5
    shown = result.update.tally.domains
    assert shown.keys() == result.step.tally.domains.keys()
    assert {len(domain.favourites) for domain in shown.values() if domain.favourites} == {5}
    assert len(result.step.tally.domains["domain 7"].favourites) == 12
    few = fitted([post(0)], 1_200, base).update.tally.domains
    assert 0 < len(few) < 8
    assert "domain 7" in few


def test_a_prompt_that_never_fits_is_written_all_the_same() -> None:
    num_counted = 0

    def count(prompt: Prompt) -> int:
        nonlocal num_counted
        num_counted += 1
        return 10**9

    base = summary_of("word " * 20_000)
    result = fit(steps(rows_of([post(n) for n in range(500)]), base), 500, 160, Plain(), Context(count_tokens=count))
    assert (result.step.offsets, result.update.old_text, words_of(result.prompt)) == ((0,), "", ('wrote "…"',))
    assert result.cuts == ("summary", "tally", "events", "words")
    assert num_counted < 60


TEXTS = st.text(max_size=30) | st.sampled_from(["drama " * 150, "映画" * 300, "</tally>", ""])
ITEMS = st.builds(
    Item, id=st.text(min_size=1, max_size=9), title=TEXTS, attributes=st.dictionaries(TEXTS, st.tuples(TEXTS), max_size=3)
)
EVENTS = (
    st.builds(Rating, user=st.just("ada"), at=st.just(AT), item=ITEMS, value=st.integers(1, 5), domain=st.text(max_size=5))
    | st.builds(Post, user=st.just("ada"), at=st.just(AT), text=TEXTS)
    | st.builds(
        Choice, user=st.just("ada"), at=st.just(AT), chosen=ITEMS, rejected=st.lists(ITEMS, max_size=4).map(tuple), query=TEXTS
    )
    | st.builds(Message, user=st.just("ada"), at=st.just(AT), text=TEXTS, role=st.sampled_from(["user", "assistant"]))
)


@pytest.mark.parametrize("dialect", [Plain(), AlignXplore()], ids=lambda dialect: dialect.name)
@settings(max_examples=40, deadline=None)
@given(st.lists(EVENTS, min_size=1, max_size=25), st.sampled_from([1_600, 2_048, 4_096]), TEXTS, st.data())
def test_every_event_is_in_one_flush_and_in_order(
    dialect: Dialect, events: list[Event], max_tokens: int, answer: str, data: st.DataObject
) -> None:
    rows = rows_of(events)
    index = PendingIndex(FlushPolicy(max_events=20, max_tokens=100_000, max_age_seconds=1.0))
    for offset, one in rows:
        assert index.admit(ADA, offset, one, Known()) == "accepted"
    base, covered, now_ms = summary_of(data.draw(TEXTS) * 20), list[int](), NOW_MS
    while (now_ms := now_ms + 10_000) and (due := index.take_due(now_ms)):
        taken = [rows[offset] for offset in due.offsets]
        result = fit(steps(taken, base), len(taken), 160, dialect, Context(max_tokens))
        assert estimate_prompt_tokens(result.prompt) + result.prompt.max_tokens + MARGIN_TOKENS <= max_tokens
        assert result.step.offsets == due.offsets[: len(result.step.offsets)]
        assert ("events" in result.cuts) == (result.step.offsets != due.offsets)
        base = next_summary(result.step, answer * 20, 0, ModelUsed(), AT)
        covered += result.step.offsets
        index.covered(ADA, base.position, now_ms, Failures())
    assert covered == [offset for offset, _ in rows]
    assert index.num_events == 0
    assert base.num_events == len(events)


@pytest.mark.parametrize(
    ("domains", "tokens"), [(("films",), 160), (("films", "books"), 240), (("films", "books", "music"), 240)]
)
def test_a_summary_of_several_domains_may_be_half_as_long_again(domains: tuple[str, ...], tokens: int) -> None:
    result = fitted([replace(post(number), domain=domain) for number, domain in enumerate(domains)], 32_768)
    assert result.update.max_summary_tokens == tokens
    assert f"at most {tokens} tokens" in result.prompt.turns[-1].content


def test_a_tally_that_later_events_make_smaller_again_leaves_room_for_the_first() -> None:
    loved = Choice(chosen=Item(id="0", title="映画" * 80), query="映画" * 100, **BASE)
    hated = Rating(item=Item(id="0", title="drama " * 100), value=1, **BASE)
    brief = Choice(chosen=Item(id="0"), query="war", **BASE)
    result = fitted([loved, hated, brief], 1_600, summary_of("\U0007f2aeÃÀ" * 20))
    assert estimate_prompt_tokens(result.prompt) + result.prompt.max_tokens + MARGIN_TOKENS <= 1_600


def test_the_cuts_are_those_that_the_metric_names() -> None:
    assert set(get_args(Cut)) == {"summary", "tally", "events", "words"}
