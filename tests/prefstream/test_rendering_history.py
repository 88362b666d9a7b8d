"""A history is a line a version, and a difference says in words and in colours what changed and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import get_args

from msgspec.structs import replace
from rich.console import Console

from prefstream.history import KeptVersion
from prefstream.rendering.history import difference, history_lines
from prefstream.rendering.summaries import REASONS, summary_panel
from prefstream.summaries import FlushReason, ModelUsed

NOW = datetime(2026, 1, 6, 20, 15, tzinfo=UTC)
FIRST = KeptVersion(
    user="ada",
    version=1,
    text="Loves war.",
    reason="size",
    updated_at=NOW - timedelta(days=1),
    num_events=1_020,
    num_new_events=20,
    tokens=4,
    model=ModelUsed(name="counting", profile="counting"),
)
EDITED = replace(
    FIRST, version=2, text="Loves peace.", reason="control", command="edit", num_new_events=0, model=ModelUsed(), updated_at=NOW
)
LATER = replace(
    FIRST, version=3, text="Loves peace. Likes drama.", reason="age", num_events=1_025, num_new_events=5, updated_at=NOW
)


def plain(*renderables: object) -> str:
    console = Console(width=100, no_color=True, record=True, file=StringIO())
    console.print(*renderables, sep="\n")
    return console.export_text()


def test_the_list_has_the_newest_first_and_says_why() -> None:
    lines = plain(*history_lines([FIRST, EDITED, LATER], NOW)).splitlines()
    assert [line.rstrip() for line in lines] == [
        "version  written  because             events  new  tokens  model",
        "      3  0s ago   waited long enough   1,025   +5       4  counting",
        "      2  0s ago   edit                 1,020            4",
        "      1  1d ago   enough events        1,020  +20       4  counting",
    ]


def test_a_difference_says_what_and_why() -> None:
    said = plain(difference(FIRST, EDITED, NOW, has_colours=False))
    assert said.splitlines()[:3] == [
        "ada  version 1 → 2, 0 s ago",
        "because: edit; no new events",
        "Loves [-war.-] {+peace.+}",
    ]
    said = plain(difference(FIRST, LATER, NOW, has_colours=False))
    assert said.splitlines()[1:3] == ["2 steps; +5 events", "Loves [-war.-] {+peace. Likes drama.+}"]


def test_a_difference_may_go_back_and_may_be_none() -> None:
    assert "version 3 → 1" in plain(difference(LATER, FIRST, NOW))
    assert "-5 events" in plain(difference(LATER, FIRST, NOW))
    assert "the same words" in plain(difference(FIRST, replace(FIRST, version=2), NOW))


def test_events_that_say_nothing_new_are_the_reason() -> None:
    spared = replace(FIRST, version=2, num_new_events=3, num_spared_events=3)
    assert "nothing new" in plain(*history_lines([FIRST, spared], NOW))
    assert "the same words: the events said nothing new" in plain(difference(FIRST, spared, NOW))


def test_a_kept_version_is_shown_as_a_summary_is() -> None:
    said = plain(summary_panel(EDITED, NOW))
    assert all(words in said for words in ("Loves peace.", "because   edit", "1,020 events"))


def test_every_reason_has_its_words() -> None:
    assert set(REASONS) == set(get_args(FlushReason))


def test_a_text_cannot_move_the_cursor() -> None:
    said = plain(difference(FIRST, replace(EDITED, text="\x1b[2Jx", command="\x1b[2J"), NOW, has_colours=False))
    assert "\x1b" not in said
