"""A letter's key is its own, its id is that of the record it is about, and its bytes survive the wire."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from prefstream.dead_letters import DeadLetter, Origin, decode_letter, encode_letter, letter_key

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
LETTER = DeadLetter(
    origin=Origin("TOPIC", 3, 41),
    source="ratings",
    reason="invalid",
    message="value: 7",
    key=b"\xff",
    value=b"\0{}",
    value_size=3,
    headers=(("trace", b"\x01"),),
    first_seen_at=AT,
    last_seen_at=AT,
)
AGAIN = {"origin": Origin("REPLAYS", 0, 5), "first_origin": LETTER.origin, "attempts": 2}


@pytest.mark.parametrize(
    ("fields", "key", "identity"),
    [
        ({}, b"TOPIC/3/41", "ratings/3/41"),
        ({"is_event": True}, b"TOPIC/3/41/0", "ratings/3/41/0"),
        ({"origin": Origin("TOPIC", 3, 41, 2), "is_event": True}, b"TOPIC/3/41/2", "ratings/3/41/2"),
        (AGAIN, b"REPLAYS/0/5", "ratings/3/41"),
        (AGAIN | {"state": "dropped"}, b"REPLAYS/0/5", "ratings/3/41"),
    ],
    ids=["a record", "an event", "its third event", "a replay", "dropped"],
)
def test_what_a_letter_lies_under_and_what_it_is_called(fields: dict[str, object], key: bytes, identity: str) -> None:
    letter = msgspec.structs.replace(LETTER, **fields)
    assert (letter_key(letter), letter.id) == (key, identity)


@pytest.mark.parametrize("fields", [{}, AGAIN, {"state": "replayed", "settled_at": AT}, {"is_event": True}])
def test_a_letter_can_be_read_again(fields: dict[str, object]) -> None:
    letter = msgspec.structs.replace(LETTER, **fields)
    assert decode_letter(encode_letter(letter)) == letter


def test_a_letter_from_before_letters_had_states_is_open() -> None:
    old = {"origin": ["T", 0, 1], "source": "s", "reason": "invalid", "message": "", "first_seen_at": AT, "last_seen_at": AT}
    assert decode_letter(msgspec.json.encode(old)).state == "open"
