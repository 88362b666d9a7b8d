"""What every adapter asks of a record, whatever its format: a value of a possible size, and fields the contract accepts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from reprlib import Repr
from typing import TypeVar

import msgspec

from prefstream.commands import Command
from prefstream.dead_letters import DeadLetterReason
from prefstream.errors import InvalidRecord
from prefstream.events import Event
from streams.adapters import MAX_EVENT_BYTES, MAX_MESSAGE_CHARS, RawRecord, Undecodable

Record = TypeVar("Record", bound=Event | Command)

_short = Repr()
_short.maxstring = _short.maxlong = _short.maxother = 60
_short.maxlevel = _short.maxlist = _short.maxdict = 2


def refuse(reason: DeadLetterReason, message: str) -> Undecodable:
    """An `Undecodable` whose message is cut to its bound."""
    return Undecodable(reason, message if len(message) <= MAX_MESSAGE_CHARS else message[: MAX_MESSAGE_CHARS - 1] + "…")


def value_of(record: RawRecord) -> bytes | Undecodable:
    """The record's value, unless it has none or is too large."""
    if record.value is None:
        return refuse("undecodable", "value: null, a tombstone is no event")
    if len(record.value) > MAX_EVENT_BYTES:
        return refuse("too_large", f"value: {len(record.value):,} bytes, at most {MAX_EVENT_BYTES:,}")
    return record.value


def validated(data: bytes, decode: Callable[[bytes], Record]) -> Record | Undecodable:
    """What the contract's ``decode`` finds in the JSON ``data``, if it can also be written again."""
    try:
        record = decode(data)
    except InvalidRecord as refusal:
        return refuse(refusal.reason, str(refusal))
    try:
        record.at.astimezone(UTC)
    except OverflowError:
        # With an offset, the first and last hours of the calendar parse; msgpack, which is in UTC, cannot hold them.
        return refuse("invalid", f"at: outside the years 1 to 9999 in UTC ({record.at.isoformat()})")
    return record


def as_text(found: object) -> object:
    """A whole number as its text: user ``17`` and user ``"17"`` are one. Anything else as it is, for the contract to judge."""
    return str(found) if isinstance(found, int) and not isinstance(found, bool) else found


def shown(found: object) -> str:
    """A value as a refusal quotes it: short, whatever it is."""
    return _short.repr(found)


def json_object(data: bytes, what: str) -> dict[str, object] | Undecodable:
    """The JSON object in ``data``; ``what`` names the place in a refusal."""
    try:
        found = msgspec.json.decode(data)
    except RecursionError:
        return refuse("undecodable", f"{what}: nested too deeply")
    except (msgspec.DecodeError, UnicodeDecodeError) as malformed:
        return refuse("undecodable", f"{what}: not JSON: {malformed}")
    if not isinstance(found, dict):
        return refuse("undecodable", f"{what}: expected an object, got {type(found).__name__}")
    return found


def revalidated(fields: dict[str, object], decode: Callable[[bytes], Record]) -> Record | Undecodable:
    """What the contract makes of ``fields``, which came out of JSON and go through it again: one gate for every format."""
    try:
        data = msgspec.json.encode(fields)
    except RecursionError:
        return refuse("undecodable", "value: nested too deeply")
    return validated(data, decode)
