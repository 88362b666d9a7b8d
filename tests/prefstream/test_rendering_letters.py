"""Dead letters on a terminal: what they are, why they are there, and none of their bytes as a command to the terminal."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import msgspec
import pytest
from rich.console import Console, RenderableType

from prefstream.dead_letters import DeadLetter, DeadLetterReason, Origin
from prefstream.letter_stories import filed, stories
from prefstream.rendering.letters import REASONS, letters_list, story_panel, totals_table

NOW = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
LETTER = DeadLetter(
    origin=Origin("TOPIC", 3, 41),
    source="ratings",
    reason="invalid",
    message="value: 7\nis outside its scale",
    key=b"ada",
    value=b'{"user":"ada","value":7}',
    value_size=24,
    headers=(("trace", b"\x01\x02"),),
    first_seen_at=NOW - timedelta(minutes=5),
    last_seen_at=NOW - timedelta(minutes=5),
)


def shown(thing: RenderableType, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(thing)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def words_of(output: str) -> list[str]:
    """Each line, its spaces and frames made one space."""
    return [" ".join(line.strip("│ ").split()) for line in output.splitlines()]


def panel(letter: DeadLetter, *before: DeadLetter) -> list[str]:
    (story,) = stories(filed(one, 0, number) for number, one in enumerate((letter, *before)))
    return words_of(shown(story_panel(story, letter, NOW)))


def test_every_reason_is_explained() -> None:
    assert set(REASONS) == set(get_args(DeadLetterReason))


def listed(letters: list[DeadLetter], width: int) -> list[str]:
    lines = shown(letters_list(stories(filed(one, 0, n) for n, one in enumerate(letters)), NOW, width), width)
    assert all(len(line) <= width for line in lines.splitlines())
    return words_of(lines)


def test_a_list_has_a_line_for_each_story_where_there_is_room() -> None:
    other = msgspec.structs.replace(LETTER, origin=Origin("TOPIC", 3, 42), message="item.id: missing")
    assert listed([LETTER, other], 80) == [
        "id seen reason message",
        "ratings/3/41 5m ago invalid value: 7 is outside its scale",
        "ratings/3/42 5m ago invalid item.id: missing",
    ]


def test_messages_have_lines_of_their_own_where_one_is_too_long() -> None:
    message = " ".join(f"word{number}" for number in range(20))
    other = msgspec.structs.replace(LETTER, origin=Origin("TOPIC", 3, 42), message=message, attempts=2)
    lines = listed([LETTER, other], 80)
    assert lines[:5] == [
        "id seen reason tries",
        "ratings/3/41 5m ago invalid 1",
        "value: 7 is outside its scale",
        "ratings/3/42 5m ago invalid 2",
        " ".join(message.split()[:12]),
    ]
    assert " ".join(lines[4:]) == message


def test_states_are_named_where_they_differ() -> None:
    letters = [LETTER, msgspec.structs.replace(LETTER, origin=Origin("TOPIC", 3, 42), state="dropped", message="")]
    assert listed(letters, 80) == [
        "id seen reason state message",
        "ratings/3/41 5m ago invalid open value: 7 is outside its scale",
        "ratings/3/42 5m ago invalid dropped",
    ]


def test_totals_are_by_reason_and_source_the_most_first() -> None:
    letters = [
        msgspec.structs.replace(LETTER, origin=Origin("TOPIC", 0, n), source=source, reason=reason)
        for n, (source, reason) in enumerate([("a", "invalid"), ("b", "invalid"), ("b", "invalid"), ("b", "too_large")])
    ]
    lines = words_of(shown(totals_table(stories(filed(one, 0, n) for n, one in enumerate(letters)))))
    assert lines == ["3 invalid b 2, a 1", "1 too_large b 1"]


def test_one_letter_with_everything_that_is_known() -> None:
    lines = panel(LETTER)
    assert lines[0].startswith("╭─ ratings/3/41 ─")
    assert lines[1:12] == [
        "state open",
        "reason invalid: a field has a wrong type or an impossible value",
        "message value: 7",
        "is outside its scale",
        "record ratings, partition 3, offset 41",
        "topic id TOPIC",
        "seen 5 minutes ago; 1 attempt",
        "key ada",
        "header trace 01 02",
        "value 24 bytes",
        lines[11],
    ]
    assert lines[12:] == ["{", '"user": "ada",', '"value": 7', "}"]


def test_a_letter_of_an_event_that_failed_again() -> None:
    first = msgspec.structs.replace(LETTER, origin=Origin("TOPIC", 3, 41, 2), is_event=True, state="replayed", settled_at=NOW)
    second = msgspec.structs.replace(
        first, origin=Origin("REPLAYS", 0, 1, 0), first_origin=first.origin, attempts=2, last_seen_at=NOW, state="open"
    )
    lines = panel(second, first)
    for line in (
        "record ratings, partition 3, offset 41, event 2",
        "seen 0 s ago, first 5 minutes ago; 2 attempts",
        "value 24 bytes, one event in prefstream's own JSON",
        "before 5 minutes ago replayed invalid value: 7 is outside its scale",
    ):
        assert line in lines


@pytest.mark.parametrize(
    ("fields", "last"),
    [
        ({"value": b"\xff\x00ab"}, "000000 ff 00 61 62 ··ab"),
        ({"value": b"\xff" * 300}, "… 44 more bytes: `--raw` writes all of them"),
        ({"value": b"{broken \x1b[31m"}, "{broken \ufffd[31m"),
        ({"value": b"\x00\x07ada\x02"}, "000000 00 07 61 64 61 02 ··ada·"),
        ({"value": b"one\r\n\ttwo"}, "two"),
        ({"value": b'"\\u001b[31m"'}, '"\\u001b[31m"'),
        ({"value": b"x" * 2_001}, "… 1 more characters: `--raw` writes all of it"),
        ({"value": None, "value_size": 0}, "value none: a tombstone"),
        ({"value": None, "state": "dropped", "settled_at": NOW}, "value 24 bytes, dropped"),
        ({"value_size": 2_097_152}, "value 2,097,152 bytes, of which 24 were kept"),
    ],
)
def test_a_value_is_shown_as_what_it_is(fields: dict[str, Any], last: str) -> None:
    lines = panel(msgspec.structs.replace(LETTER, **fields))
    assert last in lines
    assert not any("\x1b" in line for line in lines)
