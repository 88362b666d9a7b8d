"""What the audit reads of the rows of the pending topic: their keys, and the part of their values that it needs.

Place in the flow: below :mod:`prefstream.audit_folds` and :mod:`prefstream.audit_origins`. It shares no code with the worker:
what that wrote is read anew.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import msgspec
from msgspec import Struct

LEDGER_KEY = b"l"
_HEAD = struct.Struct(">cH")
_OFFSET = struct.Struct(">Q")
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Ledger(Struct, frozen=True, array_like=True):
    """What became of the events of a partition from ``began_at`` to below the offset ``position``, as collect counted it.

    ``moved`` accepted ones came with users from other partitions, or, below 0, went with users to others.
    """

    position: int = 0
    accepted: int = 0
    redelivered: int = 0
    duplicate: int = 0
    dead: int = 0
    topic_id: str = ""
    filtered: int = 0
    filtered_to: dict[str, int] = {}
    commands: int = 0
    erased: int = 0
    moved: int = 0
    num_partitions: int = 0
    began_at: int = 0

    @property
    def total(self) -> int:
        """All events and commands that were counted, and the records without one."""
        stored = self.accepted + self.redelivered + self.duplicate
        return stored + self.dead + self.filtered + self.commands + self.erased


class EventRow(NamedTuple):
    """Whose event waits, and its offset on the events topic."""

    user: bytes
    offset: int


def event_row(key: bytes | None) -> EventRow | None:
    """What the key of a pending event says: ``e``, the user's length (u16), the user, an offset (u64). None for other keys."""
    if key is None or len(key) < _HEAD.size:
        return None
    kind, length = _HEAD.unpack_from(key)
    if kind != b"e" or len(key) != _HEAD.size + length + _OFFSET.size:
        return None
    return EventRow(key[_HEAD.size : _HEAD.size + length], _OFFSET.unpack(key[_HEAD.size + length :])[0])


def forget_row(key: bytes | None, value: bytes | None) -> EventRow | None:
    """Who asked to be forgotten, and at which offset, by the row ``r`` of the decision; None for other rows and commands.

    Its key is like that of an event. Its value is an array that begins with the receipt; a deleted one may be any command's.
    """
    if key is None or key[:1] != b"r" or (row := event_row(b"e" + key[1:])) is None:
        return None
    try:
        return row if value is None or _decode_decided(value).receipt.command == "forget" else None
    except UNREADABLE:
        return None


def failures_user(key: bytes | None) -> bytes | None:
    """Whose failures a row is about, by its key: ``f``, the user's length (u16), the user. None for other keys."""
    if key is None or len(key) < _HEAD.size:
        return None
    kind, length = _HEAD.unpack_from(key)
    return key[_HEAD.size :] if kind == b"f" and len(key) == _HEAD.size + length else None


class Deaths(Struct, frozen=True, array_like=True):
    """What the audit reads of a user's failures: how many accepted events were given up, and the offset of the last one.

    The row says so before the event's own row is deleted.
    """

    num_dead: int = 0
    last_dead: int = -1


decode_ledger = msgspec.msgpack.Decoder(Ledger).decode
decode_deaths = msgspec.msgpack.Decoder(Deaths).decode


class _Receipt(Struct, frozen=True):
    command: str = ""


class _Decided(Struct, frozen=True, array_like=True):
    receipt: _Receipt


class Fence(Struct, frozen=True, array_like=True):
    """What the audit reads of a forget fence: where the command lies, and what it erased. It is first written with stage 0."""

    position: int
    command_id: str
    at: object
    ends: dict[str, int]
    first_version: int
    last_version: int
    num_applied: int
    num_ended: int
    num_erased: int
    is_opted_out: bool
    check: bytes
    stage: int


_decode_decided = msgspec.msgpack.Decoder(_Decided).decode
decode_fence = msgspec.msgpack.Decoder(Fence).decode
