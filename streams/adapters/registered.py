"""Registered schemas: what a registry's answer says, and the schema that comes of it with all it refers to.

Place in the flow: between the worker's client of the registry and the adapters of the wire format. Only a registry's own word
makes a record a dead letter. Whatever else comes, an error, a page of somebody in between, or nothing, is no answer: the record
waits.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from streams.adapters import SchemaKind
from streams.adapters.avro import parse_avro
from streams.adapters.protobuf import parse_descriptor
from streams.errors import InvalidSchema

_NOT_THERE = (40401, 40402, 40403)  # a subject, its version, a schema


class Reference(Struct, frozen=True):
    """Another schema of the registry, and the name by which this one refers to it."""

    name: str
    subject: str
    version: int


class Registered(Struct, frozen=True, rename={"kind": "schemaType"}):
    """A schema as a registry keeps it: Avro as JSON, Protobuf as the base64 of a file's descriptor."""

    schema: str
    kind: str = "AVRO"
    references: tuple[Reference, ...] = ()


class NotThere(Struct, frozen=True):
    """The registry says that it has no such schema."""


class NoAnswer(Struct, frozen=True):
    """Nothing that a registry says of a schema; ``why`` for people."""

    why: str


class _Complaint(Struct, frozen=True):
    error_code: int


def read_answer(status: int, body: bytes) -> Registered | NotThere | NoAnswer:
    """What an answer of HTTP says.

    A 404 says it only with the registry's own code: a wrong address is one too, and would make a dead letter of every record.
    """
    try:
        if status == 200:
            return msgspec.json.decode(body, type=Registered)
        if status == 404 and msgspec.json.decode(body, type=_Complaint).error_code in _NOT_THERE:
            return NotThere()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return NoAnswer(f"status {status}, and not in the words of a schema registry")
    return NoAnswer(f"status {status}")


def parse_registered(kind: SchemaKind, files: Mapping[str, Registered]) -> Any:
    """The last of these schemas, which are by name, each behind those it refers to. Raises InvalidSchema."""
    other = [one.kind for one in files.values() if one.kind != kind.upper()]
    if other:
        raise InvalidSchema(f"is {other[0]}, and the topic's adapter in PREFSTREAM_SOURCES says confluent-{kind}")
    *names, _ = files
    *references, schema = files.values()
    if kind == "avro":
        return parse_avro(schema.schema.encode(), [one.schema.encode() for one in references])
    return parse_descriptor(_unpacked(schema), [(name, _unpacked(files[name])) for name in names])


def _unpacked(schema: Registered) -> bytes:
    try:
        return b64decode(schema.schema, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidSchema("the registry has no descriptor of it (format=serialized)") from error
