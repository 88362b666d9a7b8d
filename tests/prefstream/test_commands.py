"""Commands survive the wire, share their topic with events, and are refused in the same words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import msgspec
import pytest

from prefstream.commands import (
    Adopt,
    Allow,
    Command,
    Edit,
    Forget,
    GiveBack,
    Never,
    OptIn,
    OptOut,
    Pin,
    RollBack,
    Unpin,
    decode_record,
    encode_record,
)
from prefstream.errors import InvalidRecord
from prefstream.events import Event, Search
from prefstream.summaries import ModelUsed

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)

COMMANDS: dict[str, Command] = {
    "edit": Edit(user="ada", at=AT, text="Likes slow films."),
    "pin": Pin(user="ada", at=AT, id="c-1", statement="Vegetarian."),
    "unpin": Unpin(user="ada", at=AT, statement="Vegetarian."),
    "never": Never(user="ada", at=AT, subject="my divorce"),
    "allow": Allow(user="ada", at=AT, subject="my divorce"),
    "opt_out": OptOut(user="ada", at=AT),
    "opt_in": OptIn(user="ada", at=AT),
    "forget": Forget(user="ada", at=AT),
    "roll_back": RollBack(user="ada", at=AT, version=3),
    "adopt": Adopt(user="ada", at=AT, text="Loves drama.", base=3, model=ModelUsed(name="other"), tokens=4, signature="5e"),
    "give_back": GiveBack(user="ada", at=AT, version=3, base=4, signature="5e"),
}


def test_every_kind_of_command_is_among_the_examples() -> None:
    assert {type(command) for command in COMMANDS.values()} == set(get_args(Command))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_comes_back_as_it_was_under_its_own_tag(name: str) -> None:
    data = encode_record(COMMANDS[name])
    assert msgspec.json.decode(data)["type"] == name
    assert decode_record(data) == COMMANDS[name]


def test_events_are_read_from_the_same_topic() -> None:
    event = Search(user="ada", at=AT, query="x")
    assert decode_record(encode_record(event)) == event


@pytest.mark.parametrize(
    ("data", "reason", "message"),
    [
        (b'{"type":"pin","user":"ada","at":"2026-01-05T20:15:00Z"}', "invalid", "statement: missing"),
        (
            b'{"type":"pin","user":"ada","at":"2026-01-05T20:15:00Z","statement":5}',
            "invalid",
            "statement: expected `str`, got `int` (5)",
        ),
        (
            b'{"type":"roll_back","user":"ada","at":"2026-01-05T20:15:00Z","version":0}',
            "invalid",
            "version: expected `int` >= 1 (0)",
        ),
        (
            b'{"type":"roll_back","user":"ada","at":"2026-01-05T20:15:00Z","version":1000000000000000000000}',
            "invalid",
            "version: expected `int` <= 9223372036854775807 (1000000000000000000000)",
        ),
        (b'{"type":"forget","at":"2026-01-05T20:15:00Z"}', "missing_user", "user: missing"),
        (b'{"type":"erase","user":"ada","at":"2026-01-05T20:15:00Z"}', "unknown_type", "type: unknown ('erase')"),
    ],
)
def test_what_is_no_record_is_refused_with_a_reason(data: bytes, reason: str, message: str) -> None:
    with pytest.raises(InvalidRecord) as refused:
        decode_record(data)
    assert (refused.value.reason, str(refused.value)) == (reason, message)


def test_tags_are_the_contract() -> None:
    """A tag never changes its meaning and is never used again: this list only grows."""
    assert [kind.__struct_config__.tag for kind in get_args(Event | Command)] == [
        *("view", "click", "skip", "purchase", "rating", "choice", "post", "comment", "search", "message", "feedback"),
        *("edit", "pin", "unpin", "never", "allow", "opt_out", "opt_in", "forget", "roll_back"),
        *("adopt", "give_back"),
    ]
