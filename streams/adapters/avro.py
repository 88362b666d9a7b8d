"""Avro as a schema registry has it: what was written with a schema, as JSON.

Place in the flow: inside the wire format (:mod:`streams.adapters.wire_format`), before the adapter of what is in it. Times
become RFC 3339, bytes base64, decimals and UUIDs their text.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import fastavro
import msgspec

from streams.adapters import Undecodable
from streams.adapters.validation import refuse
from streams.adapters.wire_format import Unpack
from streams.errors import InvalidSchema


def parse_avro(text: bytes) -> Any:
    """The schema in an ``.avsc`` file. Raises InvalidSchema."""
    named: dict[str, Any] = {}
    try:
        schema = fastavro.parse_schema(json.loads(text), named)
    except Exception as error:  # the library says what is wrong in many types, KeyError among them
        raise InvalidSchema(f"no Avro schema: {type(error).__name__}: {error}") from error
    _check(schema, named, frozenset())
    return schema


def unpack_avro(schemas: Mapping[int, Any], where: str) -> Unpack:
    """Unpacks with these schemas, by their ids; ``where`` says for people where they come from."""

    def unpack(schema_id: int, packed: bytes) -> bytes | Undecodable:
        if schema_id not in schemas:
            return refuse("undecodable", f"schema {schema_id}: no {schema_id}.avsc in {where}: add it, restart, and replay")
        stream = io.BytesIO(packed)
        try:
            plain = msgspec.json.encode(fastavro.schemaless_reader(stream, schemas[schema_id], None))
        except Exception as error:  # whatever the bytes: the library's own errors have no common type
            return refuse("undecodable", f"value: not of schema {schema_id}: {type(error).__name__}: {error}")
        left = len(packed) - stream.tell()
        return refuse("undecodable", f"value: {left} bytes more than schema {schema_id} reads") if left else plain

    return unpack


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
