"""Avro as a schema registry has it: what was written with a schema, as JSON.

Place in the flow: inside the wire format (:mod:`streams.adapters.wire_format`), before the adapter of what is in it. Times
become RFC 3339, bytes base64, decimals and UUIDs their text.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import fastavro
import msgspec

from streams.adapters import SchemaNeeded, Undecodable
from streams.adapters.validation import refuse
from streams.adapters.wire_format import Absent, Unpack
from streams.errors import InvalidSchema


def parse_avro(text: bytes, references: Sequence[bytes] = ()) -> Any:
    """The schema in an ``.avsc`` file; what it names of others is in ``references``, each behind what it names itself.

    Raises InvalidSchema.
    """
    named: dict[str, Any] = {}
    try:
        schemas = [fastavro.parse_schema(json.loads(one), named) for one in (*references, text)]
    except Exception as error:  # the library says what is wrong in many types, KeyError among them
        raise InvalidSchema(f"no Avro schema: {type(error).__name__}: {error}") from error
    for schema in schemas:
        _check(schema, named, frozenset())
    return _whole(schemas[-1], named) if references else schemas[-1]


def unpack_avro(schemas: Mapping[int, Any], absent: Absent) -> Unpack:
    """Unpacks with these schemas, by their ids; ``absent`` says what becomes of a record of another."""

    def unpack(schema_id: int, packed: bytes) -> bytes | Undecodable | SchemaNeeded:
        if schema_id not in schemas:
            return absent(schema_id)
        stream = io.BytesIO(packed)
        try:
            plain = msgspec.json.encode(fastavro.schemaless_reader(stream, schemas[schema_id], None))
        except Exception as error:  # whatever the bytes: the library's own errors have no common type
            return refuse("undecodable", f"value: not of schema {schema_id}: {type(error).__name__}: {error}")
        left = len(packed) - stream.tell()
        return refuse("undecodable", f"value: {left} bytes more than schema {schema_id} reads") if left else plain

    return unpack


def _whole(schema: Any, named: Mapping[str, Any]) -> Any:
    """With everything that it names, in the library's own marks: by itself it adds them to a record only."""
    marks = {"__fastavro_parsed": True, "__named_schemas": named}
    match schema:
        case list():
            return [_whole(one, named) for one in schema]
        case str():
            return {**named[schema], **marks} if schema in named else schema
    return {**schema, **marks}


def _check(schema: Any, named: Mapping[str, Any], around: frozenset[str]) -> None:
    """Refuse what would let a few bytes end the process: fastavro reads to any depth, and any number of items of no bytes."""
    match schema:
        case str():
            if schema in around:
                raise InvalidSchema(f"{schema} is inside itself: a record nested deeply enough would end the process")
        case list():
            for one in schema:
                _check(one, named, around)
        case {"fields": fields}:
            for field in fields:
                _check(field["type"], named, around | {schema["name"]})
        case {"items": items}:
            _check(items, named, around)
            if _takes_nothing(items, named):
                raise InvalidSchema("it has an array whose items take no bytes: a short record could hold any number of them")
        case {"values": values}:
            _check(values, named, around)


def _takes_nothing(schema: Any, named: Mapping[str, Any]) -> bool:
    match schema:
        case "null" | {"type": "null"} | {"type": "fixed", "size": 0}:
            return True
        case str() if schema in named:
            return _takes_nothing(named[schema], named)
        case {"fields": fields}:
            return all(_takes_nothing(field["type"], named) for field in fields)
    return False
