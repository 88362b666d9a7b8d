"""An event survives the wire, and what is no event is refused with the field, its value and the dead letter's reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.dead_letters import DeadLetterReason
from prefstream.errors import InvalidRecord
from prefstream.events import (
    Choice,
    Click,
    Comment,
    Event,
    Feedback,
    Item,
    Message,
    Post,
    Purchase,
    Rating,
    Search,
    Skip,
    View,
    decode_event,
    encode_event,
)

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
ALIEN = Item(id="348", title="Alien (1979)", attributes={"genre": ("horror", "sci-fi")})
HEAT = Item(id="949")

EVENTS: list[Event] = [
    View(user="ada", at=AT, item=ALIEN, seconds=12.5, completion=0.5),
    Click(user="ada", at=AT, item=HEAT, id="e-1", domain="films", recommended=True),
    Skip(user="ada", at=AT, item=HEAT),
    Purchase(user="ada", at=AT, item=HEAT, returned=True),
    Rating(user="ada", at=AT, item=ALIEN, value=7, scale=(0, 10)),
    Choice(user="ada", at=AT, chosen=ALIEN, rejected=(HEAT, HEAT), query="horror"),
    Post(user="ada", at=AT, text="Zwölf 🦊\0\n"),
    Comment(user="ada", at=AT, text="no", in_reply_to="yes?", item=HEAT),
    Search(user="a/b\0c 🦊", at=datetime(2026, 1, 5, 23, 15, tzinfo=timezone(timedelta(hours=3))), query="x"),
    Message(user="ada", at=AT, text="hi", role="assistant"),
    Feedback(user="ada", at=AT, item=ALIEN, liked=False, text="too loud"),
]


def test_every_kind_of_event_is_among_the_examples() -> None:
    assert {type(event) for event in EVENTS} == set(get_args(Event))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_comes_back_as_it_was(event: Event) -> None:
    assert decode_event(encode_event(event)) == event


def test_an_event_is_small_readable_json() -> None:
    assert encode_event(EVENTS[4]) == (
        b'{"type":"rating","item":{"id":"348","title":"Alien (1979)","attributes":{"genre":["horror","sci-fi"]}},'
        b'"value":7,"scale":[0,10],"user":"ada","at":"2026-01-05T20:15:00Z"}'
    )


def test_unknown_fields_are_ignored() -> None:
    document = json.loads(encode_event(EVENTS[1])) | {"device": "tv", "user_agent": {"os": ["x"]}}
    document["item"]["price"] = 3
    assert decode_event(json.dumps(document).encode()) == EVENTS[1]


MISSING: Any = object()


def rating(**changes: Any) -> bytes:
    """A valid rating with some fields replaced, or left out."""
    document = {"type": "rating", "user": "ada", "at": "2026-01-05T20:15:00Z", "item": {"id": "5"}, "value": 3} | changes
    return json.dumps({name: value for name, value in document.items() if value is not MISSING}).encode()


def search(query: bytes) -> bytes:
    """A search with a query that is any JSON, or none."""
    return b'{"type":"search","user":"ada","at":"2026-01-05T20:15:00Z","query":' + query + b"}"


LONG = "'xxxxxxxxxxxxxxxxxxxxxxxxxxx...xxxxxxxxxxxxxxxxxxxxxxxxxxxx'"

REFUSED: list[tuple[str, bytes, str, str]] = [
    ("empty", b"", "undecodable", "not JSON: Input data was truncated"),
    ("not json", b"GET / HTTP/1.1", "undecodable", "not JSON: JSON is malformed: invalid character (byte 0)"),
    ("truncated", rating()[:-4], "undecodable", "not JSON: Input data was truncated"),
    ("truncated behind a bad field", rating(item=5)[:-1], "undecodable", "not JSON: Input data was truncated"),
    ("two documents", rating() + rating(), "undecodable", "not JSON: JSON is malformed: trailing characters (byte 97)"),
    ("not utf-8", search(b'"\xff"'), "undecodable", "not JSON: 'utf-8' codec can't decode byte 0xff in position 0"),
    ("array", b"[]", "undecodable", "expected `object`, got `array`"),
    ("number", b"5", "undecodable", "expected `object`, got `int`"),
    ("null", b"null", "undecodable", "expected `object`, got `null`"),
    ("nan", search(b"NaN"), "undecodable", "not JSON: JSON is malformed: invalid character"),
    ("half a surrogate pair", search(rb'"\ud800 and more"'), "undecodable", "not JSON: JSON is malformed: "),
    ("the other half", search(rb'"\udfff"'), "undecodable", "not JSON: JSON is malformed: invalid utf-16 surrogate pair"),
    ("deep", b"[" * 100_000, "undecodable", "nested too deeply"),
    ("deep in a field", search(b"[" * 100_000 + b"]" * 100_000), "undecodable", "nested too deeply"),
    ("deep in an unknown field", search(b'"x","z":' + b"[" * 100_000 + b"]" * 100_000), "undecodable", "nested too deeply"),
    ("no type", rating(type=MISSING), "unknown_type", "type: missing"),
    ("null type", rating(type=None), "unknown_type", "type: expected `str`"),
    ("other type", rating(type="zap"), "unknown_type", "type: unknown ('zap')"),
    ("number type", rating(type=5), "unknown_type", "type: expected `str` (5)"),
    ("long type", rating(type="x" * 1_000_000), "unknown_type", f"type: unknown ({LONG})"),
    ("no type, no user", b"{}", "unknown_type", "type: missing"),
    ("no user", rating(user=MISSING), "missing_user", "user: missing"),
    ("null user", rating(user=None), "missing_user", "user: empty"),
    ("empty user", rating(user=""), "missing_user", "user: empty"),
    ("no user, bad value", rating(user=MISSING, value="x"), "missing_user", "user: missing"),
    ("number user", rating(user=5), "invalid", "user: expected `str`, got `int` (5)"),
    ("long user", rating(user="x" * 513), "invalid", f"user: expected `str` of length <= 512 ({LONG})"),
    ("no time", rating(at=MISSING), "invalid", "at: missing"),
    (
        "local time",
        rating(at="2026-01-05T20:15:00"),
        "invalid",
        "at: expected `datetime` with a timezone",
    ),
    ("vague time", rating(at="yesterday"), "invalid", "at: invalid RFC3339 encoded datetime ('yesterday')"),
    ("unix time", rating(at=1767644100), "invalid", "at: expected `datetime`, got `int` (1767644100)"),
    ("no item", rating(item=None), "invalid", "item: expected `object`, got `null`"),
    ("no item id", rating(item={"title": "x"}), "invalid", "item.id: missing"),
    ("empty item id", rating(item={"id": ""}), "invalid", "item.id: expected `str` of length >= 1 ('')"),
    (
        "long title",
        rating(item={"id": "5", "title": "x" * 1_001}),
        "invalid",
        f"item.title: expected `str` of length <= 1000 ({LONG})",
    ),
    (
        "an attribute that is no list",
        rating(item={"id": "5", "attributes": {"genre": "war"}}),
        "invalid",
        "item.attributes[...]: expected `array`, got `str` ({'genre': 'war'})",
    ),
    (
        "a long attribute name",
        rating(item={"id": "5", "attributes": {"x" * 1_001: []}}),
        "invalid",
        f"item.attributes: expected `str` of length <= 1000 (a key) ({{{LONG}: []}})",
    ),
    ("worded value", rating(value="five"), "invalid", "value: expected `float`, got `str` ('five')"),
    ("value off its scale", rating(value=9), "invalid", "value 9.0 is outside its scale (1.0, 5.0)"),
    ("scale upside down", rating(scale=[5, 1]), "invalid", "scale (5.0, 1.0) must go from its lowest to its highest value"),
    ("scale of three", rating(scale=[1, 2, 3]), "invalid", "scale: expected `array` of length 2 ([1, 2, 3])"),
    ("worded scale", rating(scale=[1, "x"]), "invalid", "scale[1]: expected `float`, got `str` ('x')"),
    ("infinite value", rating()[:-2] + b"1e999}", "invalid", "value: number out of range"),
    ("huge integer", rating()[:-2] + b"1" * 5_000 + b"}", "invalid", "value: number out of range"),
    (
        "too many rejected",
        rating(type="choice", chosen={"id": "1"}, rejected=[{"id": "2"}] * 101),
        "invalid",
        "rejected",
    ),
    (
        "bad in a list",
        rating(type="choice", chosen={"id": "1"}, rejected=[{"id": 2}]),
        "invalid",
        "rejected[0].id: ",
    ),
    ("unknown role", rating(type="message", text="x", role="bot"), "invalid", "role: unknown ('bot')"),
    ("half nested value", search(b"[" * 500 + b"]" * 500), "invalid", "query: expected `str`, got `array` ([[[[...]]]])"),
]


@pytest.mark.parametrize(("data", "reason", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_is_no_event_is_refused_with_a_reason(data: bytes, reason: str, message: str) -> None:
    with pytest.raises(InvalidRecord) as refused:
        decode_event(data)
    assert (refused.value.reason, str(refused.value)[: len(message)]) == (reason, message)
    assert len(str(refused.value)) < 300


def refusal(data: bytes) -> InvalidRecord | None:
    """The only error that may come out of decoding."""
    try:
        decode_event(data)
    except InvalidRecord as refused:
        return refused
    return None


@given(st.binary())
def test_any_bytes_are_an_event_or_refused(data: bytes) -> None:
    refused = refusal(data)
    assert refused is None or refused.reason in get_args(DeadLetterReason)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | st.integers(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)


@given(
    name=st.sampled_from(["type", "user", "at", "item", "value", "scale", "id", "domain", "recommended", "unknown"]),
    value=json_values,
)
def test_any_value_in_any_field_is_accepted_or_refused_by_name(name: str, value: object) -> None:
    refused = refusal(rating(**{name: value}))
    assert refused is None or name in str(refused)


def test_text_that_is_no_unicode_cannot_be_written() -> None:
    with pytest.raises(InvalidRecord, match="surrogates not allowed") as refused:
        encode_event(Search(user="ada", at=AT, query="\ud800"))
    assert refused.value.reason == "invalid"
