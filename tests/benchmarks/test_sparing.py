"""The sparing benchmark: what is published, when somebody is flushed, and what lines for several events save."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

from benchmarks.sparing import STREAMS, WAYS, Asked, Stream, cuts_of, events_of, folded_tokens, measured
from evaluation.evolving import History
from evaluation.records import Exam, Person
from prefstream.events import Click, Item, Rating, Skip
from streams.flush import FlushPolicy

AT = datetime(2026, 1, 5, tzinfo=UTC)
FILMS = {str(n): Item(id=str(n), title=f"Film {n}", attributes={"genre": ("drama", "war")[n % 2 :][:1]}) for n in range(90)}
ADA = Person(
    "ada",
    tuple(
        Rating(user="ada", at=AT + timedelta(hours=n), domain="films", item=FILMS[str(n)], value=1 + n % 5) for n in range(30)
    ),
)


def test_a_rating_is_followed_by_what_the_stream_puts_beside_it() -> None:
    events = events_of(Stream("both", num_passed_over=4, num_clicks=3), ADA, 10, FILMS)
    assert events == events_of(Stream("both", num_passed_over=4, num_clicks=3), ADA, 10, FILMS)
    assert Counter(map(type, events)) == {Rating: 10, Skip: 40, Click: 30}
    assert [type(event) for event in events[:8]] == [Rating, *[Skip] * 4, *[Click] * 3]
    rated = {rating.item.id for rating in ADA.events if isinstance(rating, Rating)}
    assert rated.isdisjoint(event.item.id for event in events if isinstance(event, Skip))
    assert rated.issuperset(event.item.id for event in events if isinstance(event, Click))


def test_flushes_come_where_the_workers_index_puts_them() -> None:
    events = events_of(STREAMS[1], ADA, 10, FILMS)
    assert list(cuts_of(events, FlushPolicy(impressions_per_event=1, max_tokens=10_000))) == [20, 40, 60, 80, 100, 110]
    assert list(cuts_of(events, FlushPolicy(impressions_per_event=5, max_tokens=10_000))) == [72, 110]
    assert list(cuts_of(ADA.events, FlushPolicy())) == [20, 30]


def test_lines_that_stand_for_several_events_save_tokens_and_nothing_where_there_are_none() -> None:
    assert folded_tokens(History(ADA.events, (20, 30))) == 0
    assert folded_tokens(History(events_of(STREAMS[1], ADA, 10, FILMS), (110,))) > 90 * 5


def test_every_way_covers_every_event() -> None:
    asked = Asked(Exam("e", {"ada": ADA}, ()), (), FILMS, (("ada", 12),))
    found = [asyncio.run(measured(asked, STREAMS[1], way, asked.places)) for way in WAYS]
    assert [one.versions[0][-1].num_covered for one in found] == [12 * 11] * 4
    calls = [sum(version.num_calls for version in one.versions[0]) for one in found]
    assert calls[0] == 7 >= calls[1]
    assert calls[0] > calls[2] >= calls[3]
