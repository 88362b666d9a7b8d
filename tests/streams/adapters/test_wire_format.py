"""The wire format of a schema registry: Avro, JSON and Protobuf are read by local schemas, and no bytes end the process."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import fastavro
import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet
from hypothesis import given
from hypothesis import strategies as st

from prefstream.events import Item, Rating, View
from streams.adapters import MAX_EVENT_BYTES, Adapter, RawRecord, SchemaNeeded, Undecodable
from streams.adapters.avro import parse_avro, unpack_avro
from streams.adapters.mapping import mapping_adapter
from streams.adapters.mapping_file import parse_mapping
from streams.adapters.native import native
from streams.adapters.protobuf import parse_protobuf, unpack_protobuf
from streams.adapters.wire_format import framed, not_in, of_a_registry, unpack_json
from streams.errors import InvalidSchema

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
MAPPING = parse_mapping(
    """
    type = "rating"
    user = "account"
    at = "rated_at"
    [item]
    id = "film.id"
    title = "film.name"
    attributes = { genre = "film.genres" }
    [fields]
    value = "stars"
    """
)
RATED = (Rating(user="17", at=AT, item=Item(id="50", title="Heat", attributes={"genre": ("crime", "drama")}), value=4),)

AVSC: dict[str, Any] = {
    "type": "record",
    "name": "Rated",
    "namespace": "com.films",
    "fields": [
        {"name": "account", "type": "long"},
        {"name": "rated_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {
            "name": "film",
            "type": {
                "type": "record",
                "name": "Film",
                "fields": [
                    {"name": "id", "type": "int"},
                    {"name": "name", "type": ["null", "string"]},
                    {"name": "genres", "type": {"type": "array", "items": "string"}},
                ],
            },
        },
        {"name": "stars", "type": "float"},
    ],
}
# 17; the time; 50; the union's second, "Heat"; two genres and the end of the array; 4.0
AVRO_RECORD = bytes.fromhex("22c0d6e3fcf16664020848656174040a6372696d650a6472616d610000008040")


def desc() -> bytes:
    """The set of descriptors of a schema with the messages Noise and Rated, which has Film inside."""
    text, integer, real = (getattr(FieldDescriptorProto, f"TYPE_{name}") for name in ("STRING", "INT64", "FLOAT"))

    def message(name: str, *fields: tuple[str, int, str], nested: tuple[DescriptorProto, ...] = ()) -> DescriptorProto:
        made = DescriptorProto(name=name, nested_type=nested)
        for number, (field, kind, of) in enumerate(fields, 1):
            label = FieldDescriptorProto.LABEL_REPEATED if field == "genres" else FieldDescriptorProto.LABEL_OPTIONAL
            made.field.add(name=field, number=number, type=kind, label=label, type_name=of or None)
        return made

    film = message("Film", ("id", integer, ""), ("name", text, ""), ("genres", text, ""))
    rated = message(
        "Rated",
        ("account", integer, ""),
        ("rated_at", FieldDescriptorProto.TYPE_MESSAGE, ".google.protobuf.Timestamp"),
        ("film", FieldDescriptorProto.TYPE_MESSAGE, ".com.films.Rated.Film"),
        ("stars", real, ""),
        nested=(film,),
    )
    timestamp = message("Timestamp", ("seconds", integer, ""), ("nanos", FieldDescriptorProto.TYPE_INT32, ""))
    known = FileDescriptorProto(
        name="google/protobuf/timestamp.proto", package="google.protobuf", syntax="proto3", message_type=[timestamp]
    )
    own = FileDescriptorProto(
        name="rated.proto",
        package="com.films",
        syntax="proto3",
        message_type=[message("Noise", ("text", text, "")), rated],
        dependency=[known.name],
    )
    return FileDescriptorSet(file=[known, own]).SerializeToString()


# account 17; rated_at { seconds }; film { 50, "Heat", two genres }; stars 4.0
PROTO_RECORD = bytes.fromhex(
    "0811" "1206" "08c4b7f0ca06" "1a16" "0832" "120448656174" "1a056372696d65" "1a056472616d61" "2500008040"
)  # fmt: skip
PATH = b"\x02\x02"  # one index: 1


AVRO = framed(unpack_avro({17: parse_avro(json.dumps(AVSC).encode())}, not_in("FOLDER", ".avsc")), mapping_adapter(MAPPING))
PROTOBUF = framed(unpack_protobuf({17: parse_protobuf(desc())}, not_in("FOLDER", ".desc")), mapping_adapter(MAPPING))
JSON = framed(unpack_json, native)


def packed(payload: bytes, schema_id: int = 17) -> bytes:
    return b"\0" + schema_id.to_bytes(4, "big") + payload


def read(adapter: Adapter, value: bytes | None) -> Any:
    return adapter(RawRecord("platform", 0, 0, None, value, (), 0))


@pytest.mark.parametrize(
    ("adapter", "payload"),
    [(AVRO, AVRO_RECORD), (PROTOBUF, PATH + PROTO_RECORD)],
    ids=["avro", "protobuf"],
)
def test_a_record_that_was_written_by_hand(adapter: Adapter, payload: bytes) -> None:
    assert read(adapter, packed(payload)) == RATED


def test_the_record_written_by_hand_is_what_the_library_writes() -> None:
    stream = io.BytesIO()
    film = {"id": 50, "name": "Heat", "genres": ["crime", "drama"]}
    fastavro.schemaless_writer(stream, fastavro.parse_schema(AVSC), {"account": 17, "rated_at": AT, "film": film, "stars": 4.0})
    assert stream.getvalue() == AVRO_RECORD


def test_json_needs_no_schema() -> None:
    event = View(user="ada", at=AT, item=Item(id="50"))
    value = b'{"type": "view", "user": "ada", "at": "2026-01-05T20:15:00Z", "item": {"id": "50"}}'
    assert read(JSON, packed(value, 4_000_000_000)) == (event,)


def test_a_missing_field_of_protobuf_has_its_default() -> None:
    """A rating of 0 is not on the wire at all."""
    refusal = read(PROTOBUF, packed(PATH + PROTO_RECORD[:-5]))
    assert isinstance(refusal, Undecodable)
    assert refusal.message.startswith("value 0.0 is outside its scale")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (b"\x00", "user: missing; mapped from account"),  # short for the first message, Noise
        (b"\x04\x02\x00", "user: missing; mapped from account"),  # the message Film in Rated
        (b"\x02\x06", "not of schema 17: ValueError: it has no message 3"),
        (b"\x04\x02\x04", "not of schema 17: ValueError: it has no message 2"),
        (b"\x02\x01", "not of schema 17: ValueError: it has no message -1"),
        (b"\xff\xff\xff\xff\xff", "not of schema 17: ValueError: no path to a message before it"),
        (b"\x7e", "not of schema 17: ValueError: a path of 63 indexes"),
        (b"", "not of schema 17: "),
    ],
)
def test_the_path_to_a_message_of_protobuf(path: bytes, message: str) -> None:
    refusal = read(PROTOBUF, packed(path + (b"" if len(path) == 3 and path[2] == 0 else PROTO_RECORD)))
    assert isinstance(refusal, Undecodable)
    assert message in refusal.message


@pytest.mark.parametrize("adapter", [AVRO, PROTOBUF], ids=["avro", "protobuf"])
def test_a_schema_that_is_not_there_is_named_with_the_way_on(adapter: Adapter) -> None:
    refusal = read(adapter, packed(b"\0", 99))
    assert isinstance(refusal, Undecodable)
    ending = "avsc" if adapter is AVRO else "desc"
    assert refusal.message == f"schema 99: no 99.{ending} in FOLDER: add it, restart, and replay"


@pytest.mark.parametrize(
    ("value", "reason", "message"),
    [
        (None, "undecodable", "value: null"),
        (b"", "undecodable", "value: begins with b'', not with a zero and a schema's id"),
        (b"\0\0\0\1", "undecodable", "value: begins with"),
        (b'{"type":', "undecodable", "value: begins with"),
        (packed(b"x" * MAX_EVENT_BYTES), "too_large", "value: "),
        (packed(AVRO_RECORD + b"x"), "undecodable", "value: 1 bytes more than schema 17 reads"),
        (packed(AVRO_RECORD[:-1]), "undecodable", "value: not of schema 17: "),
    ],
)
def test_what_is_not_in_the_wire_format_is_refused(value: bytes | None, reason: str, message: str) -> None:
    refusal = read(AVRO, value)
    assert isinstance(refusal, Undecodable)
    assert (refusal.reason, refusal.message[: len(message)]) == (reason, message)


@given(st.binary(max_size=80), st.sampled_from([AVRO, PROTOBUF, JSON]), st.integers(0, 60), st.integers(0, 255))
def test_no_bytes_are_more_than_a_record_can_be(payload: bytes, adapter: Adapter, place: int, byte: int) -> None:
    good = {id(AVRO): AVRO_RECORD, id(PROTOBUF): PATH + PROTO_RECORD}.get(id(adapter), b"{}")
    harmed = bytearray(good)
    harmed[place % len(harmed)] = byte
    for value in (payload, packed(payload), packed(bytes(harmed)), packed(bytes(harmed[:place]))):
        assert isinstance(read(adapter, value), tuple | Undecodable)


@pytest.mark.parametrize(
    ("kind", "value", "plain"),
    [
        ({"type": "long", "logicalType": "timestamp-micros"}, AT, "2026-01-05T20:15:00Z"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, Decimal("3.50"), "3.50"),
        ({"type": "string", "logicalType": "uuid"}, UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        ("bytes", b"\xff", "/w=="),
        ({"type": "enum", "name": "Kind", "symbols": ["film", "book"]}, "book", "book"),
        ({"type": "map", "values": "int"}, {"a": 1}, {"a": 1}),
        (["null", "double"], None, None),
    ],
)
def test_what_avro_has_and_json_has_not(kind: Any, value: object, plain: object) -> None:
    schema = {"type": "record", "name": "R", "fields": [{"name": "f", "type": kind}]}
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(schema), {"f": value})
    found = unpack_avro({1: parse_avro(json.dumps(schema).encode())}, not_in("FOLDER", ".avsc"))(1, stream.getvalue())
    assert isinstance(found, bytes)
    assert json.loads(found) == {"f": plain}


def test_an_id_that_no_registry_has_is_not_asked_for() -> None:
    """It would be answered like a wrong address, and hold up its source for ever."""
    absent = of_a_registry("avro")
    assert absent((1 << 31) - 1) == SchemaNeeded("avro", (1 << 31) - 1)
    refusal = absent(1 << 31)
    assert isinstance(refusal, Undecodable)
    assert refusal.message == "schema 2147483648: no registry has ids beyond 2147483647"


@pytest.mark.parametrize("depth", [200, 900, 5_000, 200_000])
def test_a_schema_of_any_depth_is_read_or_refused(depth: int) -> None:
    fields = '{"type": "array", "items": ' * depth + '"int"' + "}" * depth
    with suppress(InvalidSchema):  # and nothing else
        parse_avro(f'{{"type": "record", "name": "R", "fields": [{{"name": "f", "type": {fields}}}]}}'.encode())


LIST = {"type": "record", "name": "List", "fields": [{"name": "next", "type": ["null", "List"]}]}
EMPTY = {"type": "record", "name": "Empty", "fields": [{"name": "nothing", "type": "null"}]}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (b"{", "no Avro schema: JSONDecodeError"),
        (b'{"type": "recrd"}', "no Avro schema: "),
        (LIST, "List is inside itself"),
        ({"type": "map", "values": LIST}, "List is inside itself"),
        ({"type": "array", "items": "null"}, "take no bytes"),
        ({"type": "array", "items": EMPTY}, "take no bytes"),
        ([EMPTY, {"type": "array", "items": "Empty"}], "take no bytes"),
        ({"type": "array", "items": {"type": "fixed", "name": "Zero", "size": 0}}, "take no bytes"),
    ],
)
def test_a_schema_that_would_let_a_record_end_the_process_is_refused(schema: Any, words: str) -> None:
    """fastavro reads to any depth and any number of items: a segmentation fault, or all the memory there is."""
    with pytest.raises(InvalidSchema, match=words):
        parse_avro(schema if isinstance(schema, bytes) else json.dumps(schema).encode())


def test_a_record_that_is_met_twice_is_not_inside_itself() -> None:
    twice = {"type": "record", "name": "Two", "fields": [{"name": "a", "type": EMPTY}, {"name": "b", "type": "Empty"}]}
    assert parse_avro(json.dumps(twice).encode())


@pytest.mark.parametrize("encoded", [b"", b"\xff", FileDescriptorSet(file=[FileDescriptorProto(name="a", dependency=["b"])])])
def test_what_is_no_set_of_descriptors_is_refused(encoded: Any) -> None:
    with pytest.raises(InvalidSchema, match="no set of file descriptors"):
        parse_protobuf(encoded if isinstance(encoded, bytes) else encoded.SerializeToString())
