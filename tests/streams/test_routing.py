"""A source record becomes all of its events on the keyed topic, or one dead letter; never a part of each."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from prefstream.commands import Forget
from prefstream.dead_letters import MAX_LETTER_VALUE_BYTES, DeadLetter, DeadLetterReason, Origin
from prefstream.events import Click, Event, Item, Rating, Skip
from prefstream.replays import Replay
from prefstream.topics import topic_specs
from streams.adapters import RawRecord, Undecodable
from streams.records import Arrival, Filtered, decode_arrival, decode_detailed, decode_event, decode_filtered
from streams.routing import Forward, asks_to_forget, route
from streams.tokens import estimate_event_tokens

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
NOW_MS = 1_767_644_100_250
NOW = datetime(2026, 1, 5, 20, 15, 0, 250_000, tzinfo=UTC)
ITEM = Item(id="50", title="Star Wars (1977)")
RECORD = RawRecord("clicks", 3, 41, b"key", b"value", (("trace", b"\x01"), ("empty", b"")), 1_767_000_000_000)


def click(user: str) -> Event:
    return Click(user=user, at=AT, item=ITEM, id=f"id of {user}")


def forwards_of(events: tuple[Event, ...]) -> tuple[Forward, ...]:
    routed = route(RECORD, events, "TID", NOW_MS)
    assert isinstance(routed, tuple)
    return routed


def letter_of(record: RawRecord, reason: DeadLetterReason, message: str) -> DeadLetter:
    routed = route(record, Undecodable(reason, message), "TID", NOW_MS)
    assert isinstance(routed, DeadLetter)
    return routed


@given(st.lists(st.sampled_from(["ada", "bob", "👩‍👩‍👧", "a\0b"]), min_size=1, max_size=5))
def test_every_event_is_forwarded_in_order_under_its_own_user(users: list[str]) -> None:
    events = tuple(click(user) for user in users)
    forwards = forwards_of(events)
    assert [one.key.decode() for one in forwards] == users
    arrivals = [decode_arrival(one.value) for one in forwards]
    assert [arrival.origin for arrival in arrivals] == [Origin("TID", 3, 41, index) for index in range(len(users))]
    assert tuple(map(decode_event, arrivals)) == events


def test_of_a_record_without_events_that_it_was_filtered_is_forwarded_under_a_key_of_nobody() -> None:
    (forward,) = forwards_of(())
    assert decode_filtered(forward.value) == Filtered(Origin("TID", 3, 41), NOW_MS)
    assert forward.key == b"\xff" + (41).to_bytes(8, "big")
    with pytest.raises(UnicodeDecodeError):
        forward.key.decode()
    with pytest.raises(msgspec.ValidationError):  # a worker of an earlier version makes it a dead letter
        decode_arrival(forward.value)


def test_an_arrival_says_when_it_came_how_long_it_is_and_who_it_is() -> None:
    event = Rating(user="ada", at=AT, item=ITEM, value=4, id="r1")
    arrival = decode_arrival(forwards_of((event,))[0].value)
    assert (arrival.arrived_at_ms, arrival.tokens, arrival.event_id) == (NOW_MS, estimate_event_tokens(event), "r1")


def test_an_arrival_says_whether_it_is_an_impression() -> None:
    skip, click = Skip(user="ada", at=AT, item=ITEM), Click(user="ada", at=AT, item=ITEM)
    arrivals = [decode_arrival(forward.value) for forward in forwards_of((skip, click))]
    assert [one.is_impression for one in arrivals] == [True, False]


def test_an_arrival_of_an_earlier_version_is_none() -> None:
    value = msgspec.msgpack.encode([["TID", 3, 41, 0], NOW_MS, 9, "", msgspec.Raw(b"\x80")])
    assert decode_arrival(value) == Arrival(Origin("TID", 3, 41), NOW_MS, 9, "", msgspec.Raw(b"\x80"))


def test_a_refused_record_is_a_letter_with_everything_it_was() -> None:
    assert letter_of(RECORD, "invalid", "value: 7 is outside its scale") == DeadLetter(
        origin=Origin("TID", 3, 41),
        source="clicks",
        reason="invalid",
        message="value: 7 is outside its scale",
        key=b"key",
        value=b"value",
        value_size=5,
        headers=(("trace", b"\x01"), ("empty", b"")),
        first_seen_at=NOW,
        last_seen_at=NOW,
    )


def test_a_replay_that_is_refused_is_as_old_as_its_record_and_tried_once_more() -> None:
    replay = Replay(source="clicks", origin=Origin("TID", 1, 7), attempts=2, first_seen_at=AT)
    again = route(msgspec.structs.replace(RECORD, replay=replay), Undecodable("invalid", ""), "REPLAYS", NOW_MS)
    assert isinstance(again, DeadLetter)
    assert (again.origin, again.first_origin, again.source) == (Origin("REPLAYS", 3, 41), Origin("TID", 1, 7), "clicks")
    assert (again.attempts, again.first_seen_at, again.last_seen_at, again.is_event) == (3, AT, NOW, False)


def test_only_a_forget_takes_along_where_the_sources_end() -> None:
    ends = {"TID/0": 7, "OTHER/3": 9}
    decoded = (click("ada"), Forget(user="ada", at=AT))
    assert (asks_to_forget(decoded), asks_to_forget(decoded[:1]), asks_to_forget(())) == (True, False, False)
    forwards = route(RECORD, decoded, "TID", NOW_MS, ends)
    assert not isinstance(forwards, DeadLetter)
    assert [decode_detailed(one.value).ends for one in forwards] == [{}, ends]


def test_a_replay_takes_along_where_it_began() -> None:
    origin = Origin("OLD", 2, 5)
    replay = Replay(source="clicks", origin=origin, attempts=1, first_seen_at=AT)
    forwards = route(replace(RECORD, replay=replay), (click("ada"),), "REPLAYS", NOW_MS)
    assert not isinstance(forwards, DeadLetter)
    (arrival,) = (decode_detailed(one.value) for one in forwards)
    assert (arrival.began, arrival.origin.topic) == (origin, "REPLAYS")


@pytest.mark.parametrize(
    ("value", "kept", "size"),
    [
        (None, None, 0),
        (b"", b"", 0),
        (b"x" * MAX_LETTER_VALUE_BYTES, b"x" * MAX_LETTER_VALUE_BYTES, MAX_LETTER_VALUE_BYTES),
        (b"x" * MAX_LETTER_VALUE_BYTES + b"y", b"x" * MAX_LETTER_VALUE_BYTES, MAX_LETTER_VALUE_BYTES + 1),
    ],
    ids=["tombstone", "empty", "largest", "too large"],
)
def test_a_letter_keeps_its_value_up_to_the_limit_and_says_its_size(value: bytes | None, kept: bytes | None, size: int) -> None:
    record = RawRecord("clicks", 0, 0, None, value, (), 0)
    letter = letter_of(record, "too_large", "")
    assert (letter.value, letter.value_size, letter.key) == (kept, size, None)


def test_a_letters_message_is_short() -> None:
    assert letter_of(RECORD, "undecodable", "m" * 9_999).message == "m" * 500


@given(st.integers(0, 3_000_000), st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 500_000)), max_size=200))
@example(3_000_000, [(5_000, 500_000)] * 200)
@settings(max_examples=20)
def test_a_letter_fits_its_topic_whatever_it_came_with(size: int, headers: list[tuple[int, int]]) -> None:
    """A letter the broker refuses would stop the worker, and the next one too."""
    # Control characters take six bytes each in JSON.
    record = RawRecord("t" * 249, 0, 0, b"k" * size, b"v" * size, tuple(("\1" * n, b"h" * m) for n, m in headers), 0)
    letter = msgspec.json.encode(letter_of(record, "too_large", "\1" * 9_999))
    (limit,) = {int(spec.configs["max.message.bytes"]) for spec in topic_specs("t") if spec.name == "t.dead-letters"}
    assert len(letter) < limit - 10_000


SHOPS = msgspec.structs.replace(RECORD, tenant="shop")


def test_the_events_of_a_tenant_go_under_its_own_keys() -> None:
    theirs = msgspec.structs.replace(click("ada"), tenant="shop")
    assert [one.key for one in forwards_of((click("ada"), theirs))] == [b"ada", b"shop\xffada"]


def test_a_topic_that_is_declared_for_a_tenant_has_events_of_nobody_else() -> None:
    theirs, others = (msgspec.structs.replace(click("ada"), tenant=tenant) for tenant in ("shop", "news"))
    routed = route(SHOPS, (click("ada"), theirs), "TID", NOW_MS)
    assert isinstance(routed, tuple)
    assert [one.key for one in routed] == [b"shop\xffada"] * 2
    assert {decode_event(decode_arrival(one.value)).tenant for one in routed} == {"shop"}
    refused = route(SHOPS, (click("ada"), others), "TID", NOW_MS)
    assert isinstance(refused, DeadLetter)
    assert (refused.reason, refused.tenant) == ("invalid", "shop")
    assert refused.message == "tenant: 'news', and this topic is declared for 'shop'"


@pytest.mark.parametrize(
    ("declared", "told", "tenant"), [("", "", ""), ("", "?", "?"), ("shop", "", "shop"), ("shop", "news", "shop")]
)
def test_a_refused_record_says_whose_it_is(declared: str, told: str, tenant: str) -> None:
    record = msgspec.structs.replace(RECORD, tenant=declared)
    routed = route(record, Undecodable("undecodable", "m", told), "TID", NOW_MS)
    assert isinstance(routed, DeadLetter)
    assert routed.tenant == tenant
