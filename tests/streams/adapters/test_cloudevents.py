"""CloudEvents 1.0 over Kafka: both modes read the same event, and what the specification forbids is refused by name."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from prefstream.commands import Command, Forget
from prefstream.events import Event, Search
from streams.adapters import RawRecord, Undecodable
from streams.adapters.cloudevents import cloudevents

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
ATTRIBUTES = {
    "specversion": "1.0",
    "id": "7",
    "source": "/shop",
    "type": "com.shop.prefstream.search",
    "time": "2026-01-05T20:15:00Z",
    "subject": "ada",
}
DATA: dict[str, Any] = {"query": "heist"}
WHOLE = Search(user="ada", at=AT, query="heist", id="/shop 7")

Outcome = tuple[Event | Command, ...] | Undecodable


def binary(attributes: dict[str, Any], data: Any, content_type: str | None = "application/json") -> Outcome:
    headers = {f"ce_{name}": value for name, value in attributes.items() if value is not None}
    if content_type is not None:
        headers["content-type"] = content_type
    return read(json.dumps(data).encode(), {name: str(value).encode() for name, value in headers.items()})


def structured(attributes: dict[str, Any], data: Any, content_type: str | None = None) -> Outcome:
    envelope = attributes | {"data": data} | ({"datacontenttype": content_type} if content_type else {})
    return read(json.dumps(envelope).encode(), {"content-type": b"application/cloudevents+json; charset=UTF-8"})


def read(value: bytes, headers: dict[str, bytes]) -> Outcome:
    return cloudevents(RawRecord("platform", 0, 0, None, value, tuple(headers.items()), 0))


BOTH_MODES = pytest.mark.parametrize("mode", [binary, structured])


def assert_refused(outcome: Outcome, reason: str, message: str) -> None:
    assert isinstance(outcome, Undecodable)
    assert (outcome.reason, outcome.message) == (reason, message)


@BOTH_MODES
@pytest.mark.parametrize(
    ("attributes", "data", "record"),
    [
        ({}, DATA, WHOLE),
        ({"type": "search"}, DATA, WHOLE),
        ({}, DATA | {"user": "bob"}, Search(user="bob", at=AT, query="heist", id="/shop 7")),
        ({}, DATA | {"id": "mine"}, Search(user="ada", at=AT, query="heist", id="mine")),
        ({}, DATA | {"user": None, "id": None, "at": None}, WHOLE),
        ({"time": None}, DATA | {"at": "2026-01-05T20:15:00Z"}, WHOLE),
        ({"subject": None}, DATA | {"user": "ada"}, WHOLE),
        ({}, DATA | {"type": "film", "extension": 1}, WHOLE),
        ({"type": "com.shop.forget"}, {}, Forget(user="ada", at=AT, id="/shop 7")),
    ],
)
def test_the_envelope_completes_the_data(mode: Any, attributes: dict[str, Any], data: Any, record: Event | Command) -> None:
    assert mode(ATTRIBUTES | attributes, data) == (record,)


@BOTH_MODES
@pytest.mark.parametrize(
    "content_type", [None, "application/json", "Application/JSON; charset=utf-8", "application/vnd.shop+json"]
)
def test_json_data_is_read_by_any_of_its_names(mode: Any, content_type: str | None) -> None:
    assert mode(ATTRIBUTES, DATA, content_type) == (WHOLE,)


def test_base64_data_is_read() -> None:
    encoded = base64.b64encode(json.dumps(DATA).encode()).decode()
    assert read(
        json.dumps(ATTRIBUTES | {"data_base64": encoded}).encode(), {"content-type": b"application/cloudevents+json"}
    ) == (WHOLE,)


def test_header_names_are_read_in_any_case_and_the_last_counts() -> None:
    headers = {f"CE_{name}": value.encode() for name, value in ATTRIBUTES.items()} | {"Content-Type": b"text/xml"}
    assert read(json.dumps(DATA).encode(), headers | {"content-type": b"application/json"}) == (WHOLE,)


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type"])
@pytest.mark.parametrize("missing", [None, ""])
def test_a_missing_attribute_is_named(name: str, missing: str | None) -> None:
    reason = "unknown_type" if name == "type" else "undecodable"
    assert_refused(binary(ATTRIBUTES | {name: missing}, DATA), reason, f"ce_{name}: missing")
    assert_refused(structured(ATTRIBUTES | {name: missing}, DATA), reason, f"{name}: missing")


@pytest.mark.parametrize("version", ["0.3", "1.1", "2.0"])
def test_another_version_is_refused(version: str) -> None:
    assert_refused(
        binary(ATTRIBUTES | {"specversion": version}, DATA), "undecodable", f"ce_specversion: {version!r} is not '1.0'"
    )
    assert_refused(
        structured(ATTRIBUTES | {"specversion": version}, DATA), "undecodable", f"specversion: {version!r} is not '1.0'"
    )


@BOTH_MODES
@pytest.mark.parametrize(
    ("attributes", "data", "reason", "field", "value"),
    [
        ({"type": "com.shop.serch"}, DATA, "unknown_type", "type", "serch"),
        ({"type": "search."}, DATA, "unknown_type", "type", ""),
        ({"subject": None}, DATA, "missing_user", "user", ""),
        ({"subject": ""}, DATA, "missing_user", "user", ""),
        ({"time": None}, DATA, "invalid", "at", ""),
        ({"time": "yesterday"}, DATA, "invalid", "at", "yesterday"),
        ({}, {"query": 5}, "invalid", "query", "5"),
    ],
)
def test_the_contract_has_the_last_word(
    mode: Any, attributes: dict[str, Any], data: Any, reason: str, field: str, value: str
) -> None:
    refusal = mode(ATTRIBUTES | attributes, data)
    assert isinstance(refusal, Undecodable)
    assert refusal.reason == reason
    assert refusal.message.startswith(f"{field}: ")
    assert value in refusal.message


@pytest.mark.parametrize("content_type", ["application/xml", "application/avro", "text/plain", "json"])
def test_data_other_than_json_is_refused(content_type: str) -> None:
    assert_refused(binary(ATTRIBUTES, DATA, content_type), "undecodable", f"content-type: {content_type!r} is not JSON")
    assert_refused(structured(ATTRIBUTES, DATA, content_type), "undecodable", f"datacontenttype: {content_type!r} is not JSON")


@pytest.mark.parametrize(
    "content_type", ["application/cloudevents", "application/cloudevents-batch+json", "application/cloudevents+avro"]
)
def test_other_encodings_of_the_envelope_are_refused(content_type: str) -> None:
    refusal = binary(ATTRIBUTES, DATA, content_type)
    assert_refused(refusal, "undecodable", f"content-type: {content_type!r} is not application/cloudevents+json")


@pytest.mark.parametrize(
    ("envelope", "reason", "message"),
    [
        ({}, "invalid", "data: expected an object, got nothing"),
        ({"data": [DATA]}, "invalid", "data: expected an object, got list"),
        ({"data": "{}"}, "invalid", "data: expected an object, got str"),
        ({"data": DATA, "data_base64": "e30="}, "invalid", "data_base64: given together with data"),
        ({"data_base64": 5}, "invalid", "data_base64: expected text, got int"),
        ({"data_base64": "e30"}, "undecodable", "data_base64: not base64: Incorrect padding"),
        ({"data_base64": "W10="}, "undecodable", "data_base64: expected an object, got list"),
        (
            {"data_base64": "éé=="},
            "undecodable",
            "data_base64: not base64: string argument should contain only ASCII characters",
        ),
        ({"data": DATA, "id": 7}, "undecodable", "id: expected text, got int"),
        ({"data": DATA, "subject": ["ada"]}, "undecodable", "subject: expected text, got list"),
    ],
)
def test_a_faulty_envelope_is_refused(envelope: dict[str, Any], reason: str, message: str) -> None:
    value = json.dumps(ATTRIBUTES | envelope).encode()
    assert_refused(read(value, {"content-type": b"application/cloudevents+json"}), reason, message)


def test_a_record_that_is_no_cloudevent_says_what_is_missing() -> None:
    assert_refused(read(b"{}", {}), "undecodable", "ce_specversion: missing")


def test_a_header_that_is_no_text_is_named() -> None:
    headers = {f"ce_{name}": value.encode() for name, value in ATTRIBUTES.items()} | {"ce_subject": b"\xff"}
    assert_refused(read(b"{}", headers), "undecodable", "ce_subject: not UTF-8 (b'\\xff')")


def test_headers_of_others_do_not_matter() -> None:
    headers = {f"ce_{name}": value.encode() for name, value in ATTRIBUTES.items()} | {"trace": b"\xff"}
    assert read(json.dumps(DATA).encode(), headers) == (WHOLE,)


def test_two_publishers_with_the_same_id_do_not_collide() -> None:
    one, other = (binary(ATTRIBUTES | {"source": source}, DATA) for source in ("/shop", "/films"))
    assert isinstance(one, tuple)
    assert isinstance(other, tuple)
    assert one[0].id != other[0].id
