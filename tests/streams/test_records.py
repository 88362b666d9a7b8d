"""An arrival is read back as it was written, and its event is left encoded until somebody needs it."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.dead_letters import Origin
from prefstream.events import Event, Item, Post, Rating, Search
from streams.records import Arrival, decode_arrival, decode_event, encode_arrival, encode_event

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
ITEM = Item(id="50", title="Star Wars (1977)", attributes={"genre": ("sci-fi", "war")})
EVENTS: list[Event] = [
    Rating(user="ada", at=AT, item=ITEM, value=5, id="r1", domain="films"),
    Post(user="👩‍👩‍👧", at=AT, text="Ein Satz.\0 Noch einer."),
    Search(user="a|b", at=AT, query="", recommended=True),
]
U64 = st.integers(0, 2**63 - 1)


def arrival_of(event: Event) -> Arrival:
    return Arrival(Origin("T1", 3, 41, 2), 1_700_000_000_000, 9, event.id, msgspec.Raw(encode_event(event)))


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_comes_back_as_it_went_in(event: Event) -> None:
    read = decode_arrival(encode_arrival(arrival_of(event)))
    assert decode_event(read) == event
    assert read == arrival_of(event)


@given(st.text(max_size=20), U64, U64, U64, U64, st.text(max_size=20), st.binary(max_size=40))
def test_every_field_survives(
    topic: str, partition: int, offset: int, at_ms: int, tokens: int, event_id: str, raw: bytes
) -> None:
    arrival = Arrival(Origin(topic, partition, offset), at_ms, tokens, event_id, msgspec.Raw(msgspec.msgpack.encode(raw)))
    assert decode_arrival(encode_arrival(arrival)) == arrival


def test_an_arrival_is_read_without_reading_its_event() -> None:
    """What an adapter of tomorrow puts inside must not stop the collect agent of today."""
    unknown = msgspec.Raw(msgspec.msgpack.encode({"type": "hologram", "user": "ada"}))
    arrival = decode_arrival(encode_arrival(Arrival(Origin("T1", 0, 0), 0, 1, "", unknown)))
    with pytest.raises(msgspec.ValidationError, match="hologram"):
        decode_event(arrival)


@pytest.mark.parametrize("value", [b"", b"{}", b"\x93\x01", msgspec.msgpack.encode({"user": "ada"}), b"\xff" * 9])
def test_what_is_no_arrival_is_refused(value: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_arrival(value)
