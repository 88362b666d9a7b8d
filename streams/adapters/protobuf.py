"""Protobuf as a schema registry has it: a message of a schema, as JSON with the fields' own names.

Place in the flow: inside the wire format (:mod:`streams.adapters.wire_format`), before the adapter of what is in it. Which of a
schema's messages it is stands before it, as a path of indexes. Timestamps become RFC 3339, bytes base64, enums their names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor import Descriptor, FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.json_format import MessageToDict
from google.protobuf.message_factory import GetMessageClass

from streams.adapters import SchemaNeeded, Undecodable
from streams.adapters.validation import refuse
from streams.adapters.wire_format import Absent, Unpack
from streams.errors import InvalidSchema

_MAX_DEPTH = 32  # of messages declared in messages
_ITSELF = "the schema itself"  # no file that another imports has this name
# What every compiler of Protobuf brings along, and no registry has.
_BROUGHT_ALONG = (
    any_pb2,
    descriptor_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)


def parse_protobuf(encoded: bytes) -> FileDescriptor:
    """The schema in a file of ``protoc --include_imports --descriptor_set_out``: its last one. Raises InvalidSchema."""
    try:
        return _last_of(FileDescriptorSet.FromString(encoded).file)
    except Exception as error:  # a file that is none, one that imports what is not there, no file at all
        raise InvalidSchema(f"no set of file descriptors: {type(error).__name__}: {error}") from error


def parse_descriptor(encoded: bytes, references: Sequence[tuple[str, bytes]]) -> FileDescriptor:
    """The schema in one file's descriptor; what it imports is in ``references`` by name, each behind what it imports itself.

    What every compiler brings along need not be there. Raises InvalidSchema.
    """
    try:
        files = [FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb) for module in _BROUGHT_ALONG]
        for name, one in (*references, (_ITSELF, encoded)):
            files.append(FileDescriptorProto.FromString(one))
            files[-1].name = name  # a registry calls it as it likes, and those that import it by this name
        return _last_of(files)
    except Exception as error:
        raise InvalidSchema(f"no Protobuf schema: {type(error).__name__}: {error}") from error


def _last_of(files: Sequence[FileDescriptorProto]) -> FileDescriptor:
    pool = DescriptorPool()
    for file in files:
        pool.Add(file)
    return pool.FindFileByName(files[-1].name)


def unpack_protobuf(schemas: Mapping[int, FileDescriptor], absent: Absent) -> Unpack:
    """Unpacks with these schemas, by their ids; ``absent`` says what becomes of a record of another."""

    def unpack(schema_id: int, packed: bytes) -> bytes | Undecodable | SchemaNeeded:
        if schema_id not in schemas:
            return absent(schema_id)
        try:
            indexes, start = _indexes(packed)
            message = GetMessageClass(_message(schemas[schema_id], indexes)).FromString(packed[start:])
            found = MessageToDict(
                message,
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
                unquote_int64_if_possible=True,
            )
            return msgspec.json.encode(found)
        except Exception as error:  # whatever the bytes: the library's own errors have no common type
            return refuse("undecodable", f"value: not of schema {schema_id}: {type(error).__name__}: {error}")

    return unpack


def _indexes(packed: bytes) -> tuple[list[int], int]:
    """The path to the message, and where the message begins. No path at all means the first one."""
    count, start = _number(packed, 0)
    if not 0 <= count <= _MAX_DEPTH:
        raise ValueError(f"a path of {count} indexes")
    indexes = []
    for _ in range(count):
        index, start = _number(packed, start)
        indexes.append(index)
    return indexes or [0], start


def _number(packed: bytes, start: int) -> tuple[int, int]:
    """The zigzag varint at ``start``, and where it ends."""
    value, shift = 0, 0
    for place, byte in enumerate(packed[start : start + 5], start):
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value >> 1 ^ -(value & 1), place + 1
    raise ValueError("no path to a message before it")


def _message(file: FileDescriptor, indexes: list[int]) -> Descriptor:
    found: Sequence[Descriptor] = list(file.message_types_by_name.values())
    for index in indexes[:-1]:
        found = _at(found, index).nested_types
    return _at(found, indexes[-1])


def _at(messages: Sequence[Descriptor], index: int) -> Descriptor:
    if not 0 <= index < len(messages):
        raise ValueError(f"it has no message {index}")
    return messages[index]
