"""prefstream's own JSON: one event or command per record, or an array of them.

An array is taken whole or not at all: with one bad element the record is one dead letter, so that a replay of the repaired
record does not repeat the good ones.
"""

from __future__ import annotations

import msgspec

from prefstream.commands import Command, decode_record
from prefstream.events import Event
from streams.adapters import RawRecord, Undecodable
from streams.adapters.validation import refuse, validated, value_of

_elements: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])


def native(record: RawRecord) -> tuple[Event | Command, ...] | Undecodable:
    """The adapter of prefstream's own JSON."""
    value = value_of(record)
    if isinstance(value, Undecodable):
        return value
    if value.lstrip()[:1] == b"[":
        return _several(value)
    found = validated(value, decode_record)
    return found if isinstance(found, Undecodable) else (found,)


def _several(value: bytes) -> tuple[Event | Command, ...] | Undecodable:
    try:
        elements = _elements.decode(value)
    except RecursionError:
        return refuse("undecodable", "value: nested too deeply")
    except (msgspec.DecodeError, UnicodeDecodeError) as malformed:
        return refuse("undecodable", f"not JSON: {malformed}")
    if not elements:
        return refuse("undecodable", "value: an array without events")
    return _all_of(elements)


def _all_of(elements: list[msgspec.Raw]) -> tuple[Event | Command, ...] | Undecodable:
    records: list[Event | Command] = []
    for index, element in enumerate(elements):
        found = validated(bytes(element), decode_record)
        if isinstance(found, Undecodable):
            return refuse(found.reason, f"[{index}] {found.message}")
        records.append(found)
    return tuple(records)
