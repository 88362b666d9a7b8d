"""What the worker writes to the pending topic is read by the audit too, with code of its own."""

from __future__ import annotations

import struct

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from prefstream.audit_rows import Ledger, event_row
from streams.keys import MAX_USER_BYTES, event_key, failures_key
from streams.ledger import LEDGER_KEY, encode_ledger
from streams.ledger import Ledger as WorkersLedger


@given(st.binary(max_size=80), st.integers(0, 2**64 - 1))
def test_the_key_of_an_event(user: bytes, offset: int) -> None:
    key = event_key(user, offset)
    assert event_row(key) == (user, offset)
    assert [event_row(other) for other in (key[:-1], key + b"x", failures_key(user), None, b"", LEDGER_KEY)] == [None] * 6


def test_a_key_of_another_kind_is_no_event_however_long() -> None:
    assert event_row(struct.pack(">cH", b"i", 0) + bytes(8)) is None
    assert event_row(event_key(b"x" * MAX_USER_BYTES, 1)) == (b"x" * MAX_USER_BYTES, 1)


@given(*[st.integers(0, 2**60)] * 8, st.text())
def test_the_ledger(
    position: int,
    accepted: int,
    redelivered: int,
    duplicate: int,
    dead: int,
    filtered: int,
    commands: int,
    erased: int,
    topic_id: str,
) -> None:
    to = {"s/0": 7}
    written = encode_ledger(
        WorkersLedger(position, accepted, redelivered, duplicate, dead, topic_id, filtered, to, commands, erased)
    )
    read = msgspec.msgpack.decode(written, type=Ledger)
    assert read == Ledger(position, accepted, redelivered, duplicate, dead, topic_id, filtered, to, commands, erased)
    assert read.total == accepted + redelivered + duplicate + dead + filtered + commands + erased
