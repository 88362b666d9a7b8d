"""What people see: the facts, in words, and none of a user's text as markup or as a command to the terminal."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from rich.console import Console, RenderableType

from prefstream.admin import Difference
from prefstream.rendering import age, printable, short_age
from prefstream.rendering.summaries import summary_panel, version_lines
from prefstream.rendering.topics import differences_list
from prefstream.summaries import ModelUsed, Summary
from prefstream.topics import topic_specs

NOW = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
ATTACK = "[bold]Likes[/bold] \x1b[31mfilms\x07."


def shown(thing: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=140)
    console.print(thing)
    output = console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue()


def summary(**changes: Any) -> Summary:
    fields: dict[str, Any] = {
        "user": "ada",
        "version": 3,
        "text": ATTACK,
        "reason": "size",
        "updated_at": NOW - timedelta(minutes=5),
    }
    return Summary(**(fields | {"num_events": 1_060, "num_new_events": 20} | changes))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s ago"),
        (0, "0 s ago"),
        (59, "59 s ago"),
        (60, "1 minute ago"),
        (7_199, "1 hour ago"),
        (7_200, "2 hours ago"),
        (200_000, "2 days ago"),
        (31_557_599, "365 days ago"),
        (31_557_600, "1 year ago"),
        (917_395_200, "29 years ago"),
    ],
)
def test_age(seconds: int, words: str) -> None:
    assert age(NOW - timedelta(seconds=seconds), NOW) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(50, "50s ago"), (60, "1m ago"), (7_200, "2h ago"), (200_000, "2d ago"), (99_999_999, "3y ago")]
)
def test_short_age(seconds: int, words: str) -> None:
    assert short_age(NOW - timedelta(seconds=seconds), NOW) == words


def test_printable_leaves_text_and_takes_commands() -> None:
    assert printable("Zwölf 🦊\nzwei") == "Zwölf 🦊\nzwei"
    assert printable("a\x1b[2Jb\x9b1m\r\u202e") == "a\ufffd[2Jb\ufffd1m\ufffd\ufffd"


def test_a_panel_says_what_the_summary_is_based_on() -> None:
    output = shown(summary_panel(summary(last_event_at=NOW, pins=("Vegetarian.",), model=ModelUsed(name="counting")), NOW))
    for words in (
        "ada",
        "[bold]Likes[/bold]",
        "1,060 events, 20 of them new",
        "written     5 minutes ago",
        "because     enough events",
    ):
        assert words in output
    for words in ("Vegetarian.", "counting", "last event  0 s ago"):
        assert words in output
    assert "\x1b" not in output
    assert "\x07" not in output


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        (datetime(2026, 3, 3, tzinfo=UTC), datetime(2026, 4, 5, 23, 59, tzinfo=UTC), "from 3 Mar to 5 Apr 2026"),
        (datetime(2025, 12, 28, tzinfo=UTC), datetime(2026, 4, 5, tzinfo=UTC), "from 28 Dec 2025 to 5 Apr 2026"),
        (datetime(2026, 4, 5, tzinfo=UTC), datetime(2026, 4, 5, 23, 59, tzinfo=UTC), "of 5 Apr 2026"),
        (datetime(2026, 4, 5, 1, tzinfo=timezone(timedelta(hours=2))), datetime(2026, 4, 4, tzinfo=UTC), "of 4 Apr 2026"),
    ],
)
def test_a_panel_says_what_time_the_summary_covers(first: datetime, last: datetime, words: str) -> None:
    output = shown(summary_panel(summary(first_event_at=first, last_event_at=last), NOW))
    assert f"based on    1,060 events {words}, 20 of them new" in output


@pytest.mark.parametrize(
    ("events", "new", "words"),
    [(20, 20, "20 events"), (20, 0, "20 events"), (1, 1, "1 event"), (20, 1, "20 events, 1 of them new")],
)
def test_all_or_none_of_them_new_goes_without_saying(events: int, new: int, words: str) -> None:
    output = shown(summary_panel(summary(num_events=events, num_new_events=new), NOW))
    assert f"based on {words}" in [" ".join(line.strip("│").split()) for line in output.splitlines()]


def test_a_version_without_a_call_says_so() -> None:
    spared = summary(num_spared_events=40)
    assert "nothing new  in the last 40 events: no model was asked" in shown(summary_panel(spared, NOW))
    output = shown(version_lines(summary(version=2), spared, NOW))
    assert output.splitlines()[0] == "ada  version 3, enough events, +20 events, nothing new, 5 minutes ago"
    assert "nothing new" not in shown(summary_panel(summary(num_spared_events=40, num_new_events=0, reason="control"), NOW))


def test_a_panel_leaves_out_what_is_not_known() -> None:
    output = shown(summary_panel(summary(), NOW))
    assert not any(words in output for words in ("pinned", "model", "last event"))


@pytest.mark.parametrize(
    ("profile", "line"), [("", "smol"), ("smol", "smol"), ("smol-cpu", "smol, profile smol-cpu")], ids=["none", "same", "other"]
)
def test_a_panel_says_which_profile_the_model_had(profile: str, line: str) -> None:
    output = shown(summary_panel(summary(model=ModelUsed(name="smol", profile=profile)), NOW))
    assert [text.strip("│ \n") for text in output.splitlines() if "model" in text] == [f"model     {line}"]


def test_a_version_shows_what_changed_since_the_one_before() -> None:
    before = summary(version=2, text="Likes films.")
    output = shown(version_lines(before, summary(text="Likes books."), NOW))
    assert output.splitlines() == ["ada  version 3, enough events, +20 events, 5 minutes ago", "Likes films. books.", ""]


def test_where_there_are_no_colours_changes_are_marked() -> None:
    before = summary(version=2, text="Likes films.")
    output = shown(version_lines(before, summary(text="Likes books."), NOW, has_colours=False))
    assert "Likes [-films.-] {+books.+}" in output


def test_a_first_version_is_shown_without_marks() -> None:
    assert "[bold]Likes[/bold] \ufffd[31mfilms\ufffd." in shown(version_lines(None, summary(), NOW))


def test_topics_are_a_line_each_and_settings_that_differ_are_compared() -> None:
    specs = topic_specs("p", 8, 1)
    found = [
        Difference("p.events", "topic", None, "8 partitions", "create"),
        Difference("p.pending", "segment.ms", "1", "2", "change"),
    ]
    assert [" ".join(line.split()) for line in shown(differences_list(specs, found)).splitlines()] == [
        "p.events events and commands, keyed by user",
        "what is should be so",
        "p.pending",
        "segment.ms 1 2 change",
    ]
