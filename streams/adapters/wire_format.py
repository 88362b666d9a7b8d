"""The wire format of a schema registry: a zero, the schema's id in four bytes, and what was serialised (docs/formats.md).

It is an envelope around any of the other formats: what is inside becomes JSON, and the adapter of that reads it.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from prefstream.commands import Command
from prefstream.events import Event
from streams.adapters import Adapter, RawRecord, SchemaKind, SchemaNeeded, Undecodable
from streams.adapters.validation import refuse, value_of

Unpack = Callable[[int, bytes], bytes | Undecodable | SchemaNeeded]
"""What was serialised with the schema of this id, as JSON."""

Absent = Callable[[int], Undecodable | SchemaNeeded]
"""What to say of a record whose schema, of this id, is not known."""

_HEAD_BYTES = 5
# What a registry counts with. Asked for a larger id it says that there is no such page, as a wrong address would.
_MAX_ID = (1 << 31) - 1


def framed(unpack: Unpack, inner: Adapter) -> Adapter:
    """The adapter that unpacks a record and leaves what was in it to ``inner``."""

    def unframed(record: RawRecord) -> tuple[Event | Command, ...] | Undecodable | SchemaNeeded:
        value = value_of(record)
        if isinstance(value, Undecodable):
            return value
        if len(value) < _HEAD_BYTES or value[0] != 0:
            return refuse("undecodable", f"value: begins with {value[:_HEAD_BYTES]!r}, not with a zero and a schema's id")
        found = unpack(int.from_bytes(value[1:_HEAD_BYTES], "big"), value[_HEAD_BYTES:])
        return inner(replace(record, value=found)) if isinstance(found, bytes) else found

    return unframed


def not_in(where: str, ending: str) -> Absent:
    """Schemas are files in a folder, which people know as ``where``, and nowhere else."""
    return lambda schema_id: refuse(
        "undecodable", f"schema {schema_id}: no {schema_id}{ending} in {where}: add it, restart, and replay"
    )


def of_a_registry(kind: SchemaKind) -> Absent:
    """A registry can be asked for what is not known."""

    def absent(schema_id: int) -> Undecodable | SchemaNeeded:
        if schema_id > _MAX_ID:
            return refuse("undecodable", f"schema {schema_id}: no registry has ids beyond {_MAX_ID}")
        return SchemaNeeded(kind, schema_id)

    return absent


def unpack_json(schema_id: int, packed: bytes) -> bytes:
    """JSON is what it is: its schema says what may be in it, and that is for the contract to say."""
    return packed
