"""No adapter raises, whatever the bytes; what one accepts can be written and read again, what it refuses has a reason."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.commands import Command, encode_record
from prefstream.dead_letters import DeadLetterReason
from prefstream.events import Event
from streams.adapters import MAX_EVENT_BYTES, MAX_MESSAGE_CHARS, Adapter, RawRecord, SchemaNeeded, Undecodable
from streams.adapters.cloudevents import cloudevents
from streams.adapters.mapping import mapping_adapter
from streams.adapters.mapping_file import parse_mapping
from streams.adapters.named import ADAPTERS as ADAPTERS_BY_NAME
from streams.adapters.native import native
from streams.adapters.snowplow import FIELDS

Headers = tuple[tuple[str, bytes], ...]
SAMPLES = Path(__file__).parent / "samples"

EVERYTHING = """
type = { field = "kind" }
user = "user"
at = { field = "ts", unit = "milliseconds" }
id = "id"
domain = { field = "domain", values = { f = "films" } }
recommended = { field = "source", values = { ours = true, search = false } }

[item]
id = "item.id"
title = "item.title"
attributes = { genre = { field = "item.genre", split = "|" }, tag = "item.tags" }

[fields]
value = "value"
scale = "scale"
seconds = "seconds"
text = "text"
query = "query"
liked = "liked"
chosen = { id = "chosen.id" }
rejected = { field = "rejected", each = { id = "id", attributes = { tag = "tags" } } }
"""

BINARY: Headers = (
    ("ce_specversion", b"1.0"),
    ("ce_id", b"7"),
    ("ce_source", b"/shop"),
    ("ce_type", b"com.shop.rating"),
    ("ce_time", b"2026-01-05T20:15:00Z"),
    ("ce_subject", b"ada"),
    ("content-type", b"application/json"),
)
STRUCTURED: Headers = (("content-type", b"application/cloudevents+json; charset=utf-8"),)

RATING: dict[str, Any] = {
    "type": "rating",
    "user": "ada",
    "at": "2026-01-05T20:15:00Z",
    "item": {"id": "50", "title": "Heat", "attributes": {"genre": ["crime"]}},
    "value": 4,
    "scale": [1, 5],
}
CHOICE: dict[str, Any] = {
    "type": "choice",
    "user": "ada",
    "at": "2026-01-05T20:15:00Z",
    "chosen": {"id": "50"},
    "rejected": [{"id": "51", "attributes": {"tag": ["slow"]}}],
}
MAPPED: dict[str, Any] = {
    "kind": "rating",
    "user": 17,
    "ts": 1_767_644_100_000,
    "id": 3,
    "domain": "f",
    "source": "ours",
    "item": {"id": 50, "title": 1984, "genre": "a|b", "tags": ["x", 5]},
    "value": 4,
    "scale": [1, 5],
    "chosen": {"id": 1},
    "rejected": [{"id": 2, "tags": "t"}],
}
ENVELOPE: dict[str, Any] = {
    "specversion": "1.0",
    "id": "7",
    "source": "/shop",
    "type": "com.shop.rating",
    "time": "2026-01-05T20:15:00Z",
    "subject": "ada",
    "datacontenttype": "application/json",
    "data": RATING,
}
ENCODED = base64.b64encode(json.dumps(RATING).encode()).decode()


def sampled(name: str) -> list[Any]:
    """The records of a sample that make an event."""
    lines, events = ((SAMPLES / file).read_text().splitlines() for file in (name, f"{name}.events"))
    return [json.loads(line) for line, made in zip(lines, events, strict=True) if made != "[]"]


ADAPTERS: dict[str, tuple[Adapter, Headers, list[Any]]] = {
    "native": (native, (), [RATING, CHOICE, [RATING, CHOICE], {"type": "forget", "user": "ada", "at": RATING["at"]}]),
    "binary": (cloudevents, BINARY, [RATING]),
    "structured": (cloudevents, STRUCTURED, [ENVELOPE, ENVELOPE | {"data": None, "data_base64": ENCODED}]),
    "segment": (ADAPTERS_BY_NAME["segment"], (), sampled("segment.jsonl")),
    "ga4": (ADAPTERS_BY_NAME["ga4"], (), sampled("ga4.jsonl")),
    "snowplow": (ADAPTERS_BY_NAME["snowplow"], (), sampled("snowplow.jsonl")),
    "mapping": (mapping_adapter(parse_mapping(EVERYTHING)), (), [MAPPED, MAPPED | {"kind": "choice"}]),
}
EVERY_ADAPTER = pytest.mark.parametrize("name", ADAPTERS)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**12), 10**16)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(
        ["rating", "forget", "", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"]
    )
)
JSON_VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def record(value: bytes | None, headers: Headers = ()) -> RawRecord:
    return RawRecord("platform", 0, 0, b"", value, headers, 0)


def assert_sound(outcome: Iterable[Event | Command] | Undecodable | SchemaNeeded) -> None:
    assert not isinstance(outcome, SchemaNeeded)
    if isinstance(outcome, Undecodable):
        assert outcome.reason in get_args(DeadLetterReason)
        assert 0 < len(outcome.message) <= MAX_MESSAGE_CHARS
        outcome.message.encode()
        return
    records = tuple(outcome)
    for one in records:
        assert msgspec.json.decode(encode_record(one), type=type(one)) == one
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(one), type=type(one)) == one


def mutate(document: Any, path: list[int], value: object) -> Any:
    """``document`` with the value at ``path`` (indices into the sorted keys, as far as there are any) exchanged."""
    if not path or not document or not isinstance(document, dict | list):
        return value
    if isinstance(document, list):
        place = path[0] % len(document)
        return [mutate(e, path[1:], value) if i == place else e for i, e in enumerate(document)]
    name = sorted(document)[path[0] % len(document)]
    return document | {name: mutate(document[name], path[1:], value)}


@EVERY_ADAPTER
def test_the_unharmed_documents_are_accepted(name: str) -> None:
    adapter, headers, documents = ADAPTERS[name]
    for document in documents:
        outcome = adapter(record(json.dumps(document).encode(), headers))
        assert_sound(outcome)
        assert isinstance(outcome, tuple)


@EVERY_ADAPTER
@given(value=st.binary(max_size=200))
def test_arbitrary_bytes(name: str, value: bytes) -> None:
    adapter, headers, _ = ADAPTERS[name]
    assert_sound(adapter(record(value, headers)))


@EVERY_ADAPTER
@given(value=JSON_VALUES)
def test_arbitrary_json(name: str, value: object) -> None:
    adapter, headers, _ = ADAPTERS[name]
    assert_sound(adapter(record(json.dumps(value).encode(), headers)))


@EVERY_ADAPTER
@given(which=st.integers(0, 9), path=st.lists(st.integers(0, 20), min_size=1, max_size=4), value=JSON_VALUES)
def test_one_value_exchanged(name: str, which: int, path: list[int], value: object) -> None:
    adapter, headers, documents = ADAPTERS[name]
    harmed = mutate(documents[which % len(documents)], path, value)
    assert_sound(adapter(record(json.dumps(harmed).encode(), headers)))


@EVERY_ADAPTER
@given(which=st.integers(0, 9), place=st.integers(0, 500), byte=st.integers(0, 255), cut=st.integers(0, 600))
def test_one_byte_exchanged_and_the_end_cut_off(name: str, which: int, place: int, byte: int, cut: int) -> None:
    adapter, headers, documents = ADAPTERS[name]
    harmed = bytearray(json.dumps(documents[which % len(documents)]).encode())
    harmed[place % len(harmed)] = byte
    assert_sound(adapter(record(bytes(harmed), headers)))
    assert_sound(adapter(record(bytes(harmed[:cut]), headers)))


LINES = [line.split(b"\t") for line in (SAMPLES / "snowplow.tsv").read_bytes().splitlines()]


@given(which=st.sampled_from(LINES), place=st.sampled_from(sorted(FIELDS.values())), value=st.binary(max_size=30) | st.none())
def test_lines_of_snowplow_with_one_field_exchanged(which: list[bytes], place: int, value: bytes | None) -> None:
    line = b"\t".join([*which[:place], which[place][:-1] if value is None else value, *which[place + 1 :]])
    assert_sound(ADAPTERS_BY_NAME["snowplow"](record(line)))


HEADER_NAMES = st.sampled_from([name for name, _ in BINARY] + ["ce_other", "Content-Type", ""])
HEADER_VALUES = st.binary(max_size=20) | st.sampled_from([value for _, value in BINARY + STRUCTURED])


@given(st.lists(st.tuples(HEADER_NAMES, HEADER_VALUES), max_size=8), st.sampled_from([RATING, ENVELOPE]))
def test_arbitrary_headers(headers: list[tuple[str, bytes]], document: dict[str, Any]) -> None:
    value = json.dumps(document).encode()
    assert_sound(cloudevents(record(value, tuple(headers))))
    assert_sound(cloudevents(record(value, (*BINARY, *headers))))


DEEP = 100_000
REFUSED: dict[str, tuple[bytes | None, str]] = {
    "tombstone": (None, "undecodable"),
    "empty": (b"", "undecodable"),
    "five_megabytes": (b'"' + b"x" * 5_000_000 + b'"', "too_large"),
    "one_byte_too_many": (b" " * (MAX_EVENT_BYTES + 1), "too_large"),
    "deep_arrays": (b"[" * DEEP + b"]" * DEEP, "undecodable"),
    "deep_objects": (b'{"a":' * (DEEP // 4), "undecodable"),
    "deep_inside": (b'{"user": ' + b"[" * DEEP + b"]" * DEEP + b"}", "undecodable"),
    "nan": (b"NaN", "undecodable"),
    "nan_inside": (b'{"value": NaN}', "undecodable"),
    "invalid_utf8": (b'{"user": "\xff\xfe"}', "undecodable"),
    "overlong_utf8": (b'{"user": "\xc0\x80"}', "undecodable"),
    "encoded_surrogate": (b'{"user": "\xed\xa0\x80"}', "undecodable"),
    "lone_surrogate": (b'{"user": "\\ud800"}', "undecodable"),
    "byte_order_mark": (b"\xef\xbb\xbf{}", "undecodable"),
    "no_object": (b"17", "undecodable"),
}


@EVERY_ADAPTER
@pytest.mark.parametrize("case", REFUSED)
def test_what_every_adapter_refuses(name: str, case: str) -> None:
    adapter, headers, _ = ADAPTERS[name]
    value, reason = REFUSED[case]
    outcome = adapter(record(value, headers))
    assert_sound(outcome)
    assert isinstance(outcome, Undecodable)
    assert outcome.reason == reason


@EVERY_ADAPTER
@pytest.mark.parametrize("digits", [19, 20, 21, 400, 4_299, 4_300, 4_301, 100_000])
@pytest.mark.parametrize("field", ["user", "at", "ts", "value", "kind", "type", "domain", "id", "userId", "event_timestamp"])
def test_huge_numbers(name: str, digits: int, field: str) -> None:
    adapter, headers, documents = ADAPTERS[name]
    document = json.dumps(mutate_field(documents[0], field)).replace('"HUGE"', "9" * digits)
    assert_sound(adapter(record(document.encode(), headers)))


def mutate_field(document: dict[str, Any], field: str) -> dict[str, Any]:
    inner = {"data": document["data"] | {field: "HUGE"}} if "data" in document else {}
    return document | {field: "HUGE"} | inner


NESTED = {
    "segment": ("type", "event", "userId", "properties"),
    "ga4": ("event_name", "user_id", "event_timestamp", "items", "event_params"),
    "snowplow": ("user_id", "derived_tstamp", "contexts", "unstruct_event"),
}


@EVERY_ADAPTER
@pytest.mark.parametrize("depth", range(10, 1_400, 70))
def test_depths_around_every_recursion_limit(name: str, depth: int) -> None:
    adapter, headers, documents = ADAPTERS[name]
    nested = "[" * depth + "]" * depth
    for field in ("item", "kind", "value", "unknown", *NESTED.get(name, ())):
        document = json.dumps(mutate_field(documents[0], field)).replace('"HUGE"', nested)
        assert_sound(adapter(record(document.encode(), headers)))


USERS = ["a|b", "a\0b", "\0", "👩‍👩‍👧", " ", "\u202eabc", "u" * 512, "é" * 512]
INSTANTS = ["1970-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"]


@pytest.mark.parametrize("name", ["native", "binary", "structured"])
@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("at", INSTANTS)
def test_unusual_users_and_times_are_accepted(name: str, user: str, at: str) -> None:
    adapter, headers, documents = ADAPTERS[name]
    fields = {"user": user, "at": at}
    document = documents[0] | ({"data": RATING | fields} if name == "structured" else fields)
    outcome = adapter(record(json.dumps(document).encode(), headers))
    assert_sound(outcome)
    assert isinstance(outcome, tuple)
    assert outcome[0].user == user
    assert outcome[0].at.isoformat().replace("+00:00", "Z") == at


@EVERY_ADAPTER
@pytest.mark.parametrize("at", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"])
def test_a_time_outside_the_calendar_in_utc_is_refused(name: str, at: str) -> None:
    adapter, headers, documents = ADAPTERS[name]
    times = dict.fromkeys(("at", "ts", "timestamp", "event_timestamp", "derived_tstamp"), at)
    document = documents[0] | times | ({"data": RATING | {"at": at}} if name == "structured" else {})
    outcome = adapter(record(json.dumps(document).encode(), headers))
    assert isinstance(outcome, Undecodable)
    assert (outcome.reason, re.sub(r"^\w[\w ]+, 0: ", "", outcome.message)[:4]) == ("invalid", "at: ")


@EVERY_ADAPTER
def test_the_largest_value_is_read(name: str) -> None:
    adapter, headers, documents = ADAPTERS[name]
    value = json.dumps(documents[0]).encode()
    assert isinstance(adapter(record(value.ljust(MAX_EVENT_BYTES), headers)), tuple)
