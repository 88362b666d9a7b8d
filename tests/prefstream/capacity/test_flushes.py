"""The mixture of flushes by size and by age, against the worker's own index, and against what was measured with real events."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.flushes import moments, watched
from prefstream.capacity.flushes import Flushes, Habit, Policy, flushes_of
from prefstream.events import Event, Item, Rating, Skip
from streams.flush import FlushPolicy
from streams.tokens import estimate_event_tokens

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
AT = datetime(2026, 1, 5, tzinfo=UTC)
FILM = Item(id="1", title="Alien")
RATING = Rating(user="ada", at=AT, domain="films", item=FILM, value=5)
SKIP = Skip(user="ada", at=AT, domain="films", item=FILM)
ROOMY = 1_000_000


@pytest.mark.parametrize(
    ("habit", "policy"),
    [
        (Habit(50, 1, 86_400), Policy()),
        (Habit(20_000, 1, 86_400), Policy()),
        (Habit(200, 3, 600), Policy()),
        (Habit(200, 3, 600), Policy(max_age_seconds=3_600)),
        (Habit(50, 3, 600), Policy(max_age_seconds=86_400)),
        (Habit(50, 3, 600), Policy(max_events=1)),
        (Habit(400, 3, 600), Policy(max_events=50, max_tokens=300)),
    ],
)
def test_a_flush_takes_what_the_workers_index_takes(habit: Habit, policy: Policy) -> None:
    events: list[Event] = [RATING] * 15_000
    seen = watched(events, list(moments(habit, len(events), "seed")), policy)
    foretold = flushes_of(habit, policy, estimate_event_tokens(RATING))
    num_flushes = len(seen.cuts)
    assert foretold.events_per_flush == pytest.approx(seen.cuts[-1] / num_flushes, rel=0.05)
    assert foretold.size_share == pytest.approx(seen.num_by_size / num_flushes, abs=0.05)
    assert foretold.oldest_seconds == pytest.approx(sum(seen.oldest_seconds) / num_flushes, rel=0.1, abs=0.01)
    assert foretold.event_seconds == pytest.approx(seen.waited_seconds / seen.cuts[-1], rel=0.1, abs=0.01)


def test_the_seconds_of_a_poisson_stream_are_those_of_the_textbook() -> None:
    """Without a size that binds, a flush takes one event and as many as come in the age."""
    found = flushes_of(Habit(8_640, 1, 86_400), Policy(max_events=1_000, max_tokens=ROOMY), 40)
    assert found.events_per_flush == pytest.approx(1 + 0.1 * 60)
    assert found.oldest_seconds == pytest.approx(60)
    assert found.size_share == pytest.approx(0, abs=1e-9)


def test_impressions_count_as_the_flush_policy_counts_them() -> None:
    share, policy = 10 / 11, FlushPolicy()
    size = share * policy.size_of(is_impression=True) + (1 - share) * policy.size_of(is_impression=False)
    assert Policy().num_events(share, 1) == -(-policy.max_size // size)
    in_turn: list[Event] = [RATING, *[SKIP] * 10]
    events = in_turn * 300
    seen = watched(events, [0.0] * len(events), Policy(max_tokens=ROOMY))
    assert seen.cuts[-1] / len(seen.cuts) == pytest.approx(Policy().num_events(share, 1), rel=0.02)


@pytest.mark.parametrize("num_impressions", [10, 50])
def test_the_calls_that_impressions_save_are_those_that_were_measured(num_impressions: int) -> None:
    rows = json.loads((RESULTS / "sparing.json").read_text())["rows"]
    stream = f"{num_impressions} impressions each"
    calls = {row["way"]: row["num_calls"] for row in rows if row["stream"] == stream}
    share = num_impressions / (num_impressions + 1)
    foretold = Policy().num_events(0, 1) / Policy().num_events(share, 1)
    assert calls["counted less"] / calls["one by one"] == pytest.approx(foretold, rel=0.05)


def test_what_was_foretold_of_real_events_is_what_was_found() -> None:
    rows = json.loads((RESULTS / "flushes.json").read_text())["rows"]
    assert len(rows) > 5
    for row in rows:
        habit, policy = msgspec.convert(row["case"]["habit"], Habit), msgspec.convert(row["case"]["policy"], Policy)
        found, foretold = msgspec.convert(row["found"], Flushes), flushes_of(habit, policy, row["event_tokens"])
        assert foretold.events_per_flush == pytest.approx(found.events_per_flush, rel=0.1)
        assert foretold.size_share == pytest.approx(found.size_share, abs=0.1)
        assert foretold.event_seconds == pytest.approx(found.event_seconds, rel=0.25)


@given(
    st.floats(0.1, 2_000),
    st.floats(0.1, 24),
    st.floats(1, 3_600),
    st.floats(0, 1),
    st.integers(1, 40),
    st.floats(1, 100_000),
)
def test_a_flush_is_within_its_bounds(
    events: float, visits: float, seconds: float, impressions: float, size: int, age: float
) -> None:
    habit, policy = Habit(events, visits, seconds, impressions), Policy(size, ROOMY, age)
    found, most = flushes_of(habit, policy, 40), policy.num_events(impressions, 40)
    assert 1 - 1e-6 <= found.events_per_flush <= most + 1e-6
    assert 0 <= found.size_share <= 1
    assert 0 <= found.event_seconds <= found.oldest_seconds + 1e-6 <= age + 1e-3
    longer = flushes_of(habit, Policy(size, ROOMY, 2 * age), 40)
    assert longer.events_per_flush >= found.events_per_flush - 1e-6
