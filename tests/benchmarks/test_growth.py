"""The growth benchmark: what each side asks, how tokens add up, and what is said where a prompt does not fit."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.engines import Engine
from benchmarks.growth import SHOWN, Timed, Timing, count_tokens, mean_of, measure, plot, updates
from benchmarks.people import long_histories, new_users
from prefstream.events import Item, Rating
from streams.evolution.plain import parse_prompt
from tests.model_server.scripted import Reply, ScriptedServer, says

AT = datetime(2026, 1, 5, tzinfo=UTC)


def history(num_events: int) -> list[Rating]:
    return [
        Rating(
            user="ada",
            at=AT + timedelta(hours=number),
            domain="films",
            item=Item(id=str(number), title=f"Film {number}", attributes={"genre": ("drama",)}),
            value=1 + number % 5,
        )
        for number in range(num_events)
    ]


def test_streaming_asks_with_the_newest_twenty_and_full_history_with_all() -> None:
    asked = list(updates(history(60)))
    assert [one.num_events for one in asked] == [10, 20, 40, 60]
    for one in asked:
        streaming, full = parse_prompt(one.streaming), parse_prompt(one.full)
        assert streaming is not None
        assert full is not None
        assert (len(streaming.events), len(full.events)) == (min(20, one.num_events), one.num_events)
        assert (full.old_text, bool(full.claims.sections)) == ("", False)
        assert bool(streaming.old_text) == (one.num_events > 20)
        assert streaming.claims.sections
    last = parse_prompt(asked[-1].streaming)
    assert last is not None
    assert '"Film 59"' in last.events[-1]


def test_the_update_after_ten_events_is_in_no_sum_but_its_own() -> None:
    asked = [list(updates(history(60)))] * 2
    sizes = count_tokens(asked, lambda prompt: len(prompt.turns[1].content))
    streaming = [len(one.streaming.turns[1].content) for one in asked[0]]
    assert [one.streaming for one in sizes] == streaming
    assert [one.streaming_so_far for one in sizes] == [
        streaming[0],
        streaming[1],
        sum(streaming[1:3]),
        sum(streaming[1:4]),
    ]


async def timing(*steps: Reply) -> tuple[Timing | None, int]:
    """What `measure` says of a server that plays these answers, after it was asked whether it has metrics."""
    prompt = next(updates(history(10))).streaming
    async with ScriptedServer(*steps) as server:
        found = await asyncio.to_thread(measure, Engine(server.url, "any", None), prompt)
        return found, len(server.requests)


async def test_a_prompt_that_fits_is_measured_twice() -> None:
    no_metrics = Reply(404)
    found, num_requests = await timing(no_metrics, says("a"), no_metrics, says("a b c"))
    assert found is not None
    assert (found.prompt_tokens, num_requests) == (30, 4)
    assert found.whole_seconds > 0 < found.first_token_seconds


async def test_a_prompt_that_does_not_fit_is_asked_once_and_has_no_seconds() -> None:
    assert await timing(Reply(404), Reply(400, b'{"error": {"message": "too long"}}')) == (None, 2)


def test_a_mean_needs_all_histories() -> None:
    one = Timing(100, 1.0, 2.0)
    both = [Timed("a", 100, one, one), Timed("b", 100, Timing(100, 3.0, 4.0), None)]
    assert mean_of(both, "streaming", "whole_seconds") == 3.0
    assert mean_of(both, "full", "whole_seconds") is None


def test_the_plot_is_drawn_where_nothing_fits_too(tmp_path: Path) -> None:
    asked = [list(updates(history(1_000)))]
    tokens = count_tokens(asked, lambda prompt: sum(len(turn.content) for turn in prompt.turns))
    timed = [Timed("a", n, Timing(n, 1.0, 2.0), Timing(n, 1.0, 2.0) if n < 300 else None) for n in SHOWN]
    plot(tokens, timed, 8_192, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").stat().st_size > 10_000


def test_long_histories_name_no_film_twice_and_nobody_twice() -> None:
    histories = long_histories(3, 1_000)
    assert [len(events) for events, _ in histories.values()] == [1_000] * 3
    for user, (events, num_own) in histories.items():
        assert {event.user for event in events} == {user}
        assert len({event.item.id for event in events}) == 1_000
        assert 300 < num_own <= 737


def test_new_users_have_twenty_events_each() -> None:
    users = new_users(1_500)  # more than there are people
    assert len(users) == 1_500
    assert {len(events) for events in users.values()} == {20}
    assert all(event.user == user for user, events in users.items() for event in events)
