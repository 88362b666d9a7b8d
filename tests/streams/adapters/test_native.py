"""prefstream's own JSON: one record or a whole array, and one refusal for an array with one bad element."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from prefstream.commands import Command, Forget
from prefstream.events import Event, Search
from streams.adapters import RawRecord, Undecodable
from streams.adapters.native import native

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
SEARCH = b'{"type": "search", "user": "ada", "at": "2026-01-05T20:15:00Z", "query": "heist"}'
FORGET = b'{"type": "forget", "user": "ada", "at": "2026-01-05T20:15:00Z"}'
NO_USER = b'{"type": "search", "at": "2026-01-05T20:15:00Z", "query": "heist"}'
UNKNOWN = b'{"type": "serch", "user": "ada", "at": "2026-01-05T20:15:00Z"}'


def read(value: bytes) -> tuple[Event | Command, ...] | Undecodable:
    return native(RawRecord("platform", 0, 0, None, value, (), 0))


@pytest.mark.parametrize(
    ("value", "records"),
    [
        (SEARCH, (Search(user="ada", at=AT, query="heist"),)),
        (FORGET, (Forget(user="ada", at=AT),)),
        (b"[" + SEARCH + b"]", (Search(user="ada", at=AT, query="heist"),)),
        (b"\n [" + FORGET + b",\n" + SEARCH + b"] ", (Forget(user="ada", at=AT), Search(user="ada", at=AT, query="heist"))),
    ],
)
def test_events_and_commands_are_read_in_order(value: bytes, records: tuple[Event | Command, ...]) -> None:
    assert read(value) == records


@pytest.mark.parametrize(
    ("value", "reason", "begin", "named"),
    [
        (NO_USER, "missing_user", "user: ", ""),
        (UNKNOWN, "unknown_type", "type: ", "'serch'"),
        (b"[" + SEARCH + b"," + NO_USER + b"]", "missing_user", "[1] user: ", ""),
        (b"[" + UNKNOWN + b"," + NO_USER + b"]", "unknown_type", "[0] type: ", "'serch'"),
        (b"[[" + SEARCH + b"]]", "undecodable", "[0] ", "array"),
        (b"[]", "undecodable", "value: ", "array without events"),
    ],
)
def test_a_refusal_names_the_element_the_field_and_the_value(value: bytes, reason: str, begin: str, named: str) -> None:
    refusal = read(value)
    assert isinstance(refusal, Undecodable)
    assert refusal.reason == reason
    assert refusal.message.startswith(begin)
    assert named in refusal.message


@pytest.mark.parametrize("value", [b"[", b"[" + SEARCH, b"[" + SEARCH + b"] x", b"[" + SEARCH + b",]", b'[{"a": "\xff"}]'])
def test_a_malformed_array_is_undecodable(value: bytes) -> None:
    refusal = read(value)
    assert isinstance(refusal, Undecodable)
    assert refusal.reason == "undecodable"
