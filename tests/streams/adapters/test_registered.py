"""Only a registry's own word says that a schema is not there; a schema brings along what it refers to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.adapters.registered import NoAnswer, NotThere, Reference, Registered, parse_registered, read_answer
from streams.errors import InvalidSchema

ITEM = '{"type": "record", "name": "shop.Item", "fields": []}'


@pytest.mark.parametrize(
    ("status", "body", "found"),
    [
        (200, b'{"schema": "\\"int\\""}', Registered('"int"')),
        (
            200,
            b'{"schema": "x", "schemaType": "PROTOBUF", "id": 5, "references": [{"name": "a", "subject": "b", "version": 2}]}',
            Registered("x", "PROTOBUF", (Reference("a", "b", 2),)),
        ),
        (404, b'{"error_code": 40403, "message": "Schema 7 not found"}', NotThere()),
        (404, b'{"error_code": 40401, "message": "Subject not found"}', NotThere()),
        (404, b'{"error_code": 40402, "message": "Version not found"}', NotThere()),
        (404, b'{"error_code": 404, "message": "HTTP 404 Not Found"}', NoAnswer("status 404")),
        (404, b"<html>", NoAnswer("status 404, and not in the words of a schema registry")),
        (404, b"", NoAnswer("status 404, and not in the words of a schema registry")),
        (200, b"<html>", NoAnswer("status 200, and not in the words of a schema registry")),
        (200, b"\xff", NoAnswer("status 200, and not in the words of a schema registry")),
        (200, b"[" * 100_000, NoAnswer("status 200, and not in the words of a schema registry")),
        (500, b'{"error_code": 50001, "message": "Error in the backend data store"}', NoAnswer("status 500")),
        (500, b'{"error_code": 40403}', NoAnswer("status 500")),
        (302, b"", NoAnswer("status 302")),
    ],
)
def test_what_an_answer_says(status: int, body: bytes, found: object) -> None:
    assert read_answer(status, body) == found


@given(st.integers(100, 599), st.binary(max_size=60))
def test_no_bytes_are_more_than_an_answer_can_be(status: int, body: bytes) -> None:
    assert isinstance(read_answer(status, body), Registered | NotThere | NoAnswer)


def test_references_are_by_their_names_and_before_the_schema() -> None:
    files = {"item": Registered(ITEM), "": Registered('{"type": "array", "items": "shop.Item"}')}
    with pytest.raises(InvalidSchema, match="take no bytes"):  # seen through the reference
        parse_registered("avro", files)


def test_a_record_inside_itself_is_refused_in_a_reference_too() -> None:
    inside = '{"type": "record", "name": "shop.Item", "fields": [{"name": "i", "type": ["null", "shop.Item"]}]}'
    with pytest.raises(InvalidSchema, match=r"shop\.Item is inside itself"):
        parse_registered("avro", {"item": Registered(inside), "": Registered('["null", "shop.Item"]')})


@pytest.mark.parametrize(
    ("kind", "schema", "words"),
    [
        ("avro", Registered("{}", "JSON"), "is JSON, and the topic's adapter in PREFSTREAM_SOURCES says confluent-avro"),
        ("protobuf", Registered('"int"'), "is AVRO, and the topic's adapter in PREFSTREAM_SOURCES says confluent-protobuf"),
        ("protobuf", Registered("message A {}", "PROTOBUF"), "no descriptor of it"),
        ("protobuf", Registered("é", "PROTOBUF"), "no descriptor of it"),
        ("protobuf", Registered("////", "PROTOBUF"), "no Protobuf schema: DecodeError"),
    ],
)
def test_what_cannot_be_used_says_why(kind: object, schema: Registered, words: str) -> None:
    with pytest.raises(InvalidSchema, match=words):
        parse_registered(kind, {"": schema})  # type: ignore[arg-type]
