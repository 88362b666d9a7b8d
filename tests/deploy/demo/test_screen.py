"""The picture: what it says, on a large and a small terminal, with and without a worker."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO

import pytest
from msgspec.structs import replace
from rich.console import Console, ConsoleDimensions

from deploy.demo.screen import Rate, View, num_cards, picture, plain_line, sparkline
from deploy.demo.watching import Counts, Sighting, Waiting
from prefstream.summaries import Summary

NOW = datetime(1997, 10, 12, tzinfo=UTC)
SEEN = Sighting(
    collected=1_180,
    summaries=62,
    users=17,
    dead_letters=4,
    waiting=Waiting(users=31, events=412, oldest_age_seconds=3.25, in_flight=12),
    counts=Counts(retries=3, redelivered=29, rejections={"echo": 1}),
    is_ready=True,
)


def version(number: int, text: str) -> Summary:
    return Summary(
        user="13", version=number, text=text, reason="size", updated_at=NOW, num_events=20 * number, num_new_events=20
    )


VIEW = View(
    phase="replaying real ratings",
    seconds=12.3,
    replayed_at=NOW,
    replayed_share=0.25,
    acceleration=79_200.0,
    num_published=1_234,
    published_rate=[10, 20],
    collected_rate=[9, 19],
    summaries_rate=[],
    seen=SEEN,
    num_errors=0,
    num_kills=1,
    model="",
    notices=["  11 s  kill -9, its tables kept"],
    cards=[(version(1, "Loves drama."), version(2, "Loves crime."))],
    follow_along=("export X=1", "prefstream watch"),
)


def drawn(view: View, width: int, height: int, in_colour: bool = True) -> str:
    console = Console(file=StringIO(), width=width, height=height, force_terminal=False)
    with console.capture() as capture:
        console.print(picture(view, ConsoleDimensions(width, height), in_colour))
    return capture.get()


@pytest.mark.parametrize(("width", "height"), [(120, 40), (80, 24), (200, 60)])
def test_every_number_is_on_screen_whatever_its_size(width: int, height: int) -> None:
    screen = drawn(VIEW, width, height)
    for shown in (
        "1,234",
        "1,180",
        "31",
        "3.2",
        "1997",
        "62",
        "17",
        "dead letters",
        "summaries",
        "users",
        "1 kill ",
        "11 s  kill -9, its tables kept",
    ):
        assert shown in screen
    assert max(map(len, screen.splitlines())) <= width
    assert len(screen.splitlines()) <= height
    assert ("export X=1" in screen, "prefstream watch" in screen) == (height >= 30, height >= 30)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("phase", ["replaying real ratings", "working off what waits, at most 30 s more"])
def test_the_head_is_one_line_with_space_between(width: int, phase: str) -> None:
    head, bar = drawn(replace(VIEW, phase=phase), width, 24).splitlines()[:2]
    assert f"{phase}   " in head
    assert head.endswith(" 1997   12 s")
    assert bar.startswith("━")


@pytest.mark.parametrize(("num_words", "is_cut"), [(20, False), (400, True)])
def test_a_summary_that_is_cut_says_so(num_words: int, is_cut: bool) -> None:
    cards = [(None, version(1, "Loves dramas. " * num_words))]
    assert ("…" in drawn(replace(VIEW, cards=cards), 120, 40)) == is_cut


def test_a_language_model_is_named_and_an_even_pace_is_no_acceleration() -> None:
    assert "evolve: old summary + new events" in drawn(VIEW, 120, 40)
    assert "1 s = 22 h of real ratings" in drawn(VIEW, 120, 40)
    other = drawn(replace(VIEW, model="smol-cpu", acceleration=None), 120, 40)
    assert "evolve, by smol-cpu" in other
    assert "real ratings in order, evenly spread" in other


def test_a_card_shows_what_was_there_and_what_is_there_now() -> None:
    screen = drawn(VIEW, 120, 40)
    assert "user 13  version 2" in screen
    assert "Loves drama. crime." in screen


def test_without_colours_a_card_marks_what_changed() -> None:
    assert "Loves [-drama.-] {+crime.+}" in drawn(VIEW, 120, 40, in_colour=False)
    first = replace(VIEW, cards=[(None, version(1, "Loves drama."))])
    assert "│ Loves drama. " in drawn(first, 120, 40, in_colour=False)


@pytest.mark.parametrize("width", [80, 100])
def test_on_a_narrow_terminal_a_card_still_says_which_and_why(width: int) -> None:
    screen = drawn(VIEW, width, 40)
    assert "user 13  version 2" in screen
    assert "enough events: 20 new of 40" in screen


@pytest.mark.parametrize(
    ("seen", "said"),
    [(replace(SEEN, waiting=None), "no worker answers"), (replace(SEEN, is_ready=False), "worker recovers")],
)
def test_a_worker_that_is_away_is_not_a_zero(seen: Sighting, said: str) -> None:
    assert said in drawn(replace(VIEW, seen=seen), 120, 40)


def test_a_line_says_the_same() -> None:
    assert plain_line(VIEW) == (
        "  12 s  replaying real ratings, 12 Oct 1997: published 1,234 (20/s), collected 1,180 (19/s), "
        "waiting 31 users (oldest 3.2 s), in flight 12, versions 62 for 17 users, rejected 1, dead letters 4, duplicates 3, "
        "errors 0"
    )


@pytest.mark.parametrize(("values", "bars"), [([], ""), ([0, 0], "▁▁"), ([0, 4, 14], "▁▃█"), ([5], "█")])
def test_the_highest_bar_is_full(values: list[int], bars: str) -> None:
    assert sparkline(values) == bars


def test_a_rate_is_taken_once_a_second() -> None:
    rate = Rate()
    for now, count in [(0.0, 0), (0.5, 3), (1.0, 10), (1.25, 11), (2.1, 30)]:
        rate.see(count, now)
    assert rate.per_second == [10, 20]


def test_there_is_room_for_one_card_at_least() -> None:
    assert [num_cards(height) for height in (10, 24, 40, 60)] == [1, 1, 3, 5]
