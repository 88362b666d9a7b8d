"""A replayed record is read as the record that it was, and its events are known again however often it is replayed."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.dead_letters import DeadLetter, Origin
from prefstream.events import Event, Search, encode_event
from prefstream.replays import HEADER, Replay, decode_header, header_of, replay_of
from streams.adapters import Decoded, RawRecord, SchemaNeeded, Undecodable
from streams.adapters.native import native
from streams.adapters.replays import decode, replays
from streams.routing import route

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
NOW_MS = 1_767_644_100_250
ORIGIN = Origin("SHOP", 3, 41)
WAS = RawRecord("shop", 3, 41, b"key", b"value", (("trace", b"\x01"),), 1_767_000_000_000)
REPLAY = Replay(source="shop", origin=ORIGIN, attempts=2, first_seen_at=AT)


def search(identity: str = "") -> Event:
    return Search(user="ada", at=AT, query="war", id=identity)


def replayed(replay: Replay = REPLAY, value: bytes = b"value") -> RawRecord:
    """The record on the replays topic."""
    return RawRecord("p.replays", 0, 5, WAS.key, value, (header_of(replay), *WAS.headers), 0)


def decoded_with(record: RawRecord, decoded: Decoded | SchemaNeeded) -> tuple[RawRecord, Decoded | SchemaNeeded]:
    """What becomes of it where the shop's adapter makes this of the record."""
    return decode(record, {"p.replays": replays, "p.inbox": native, "shop": lambda record: decoded})


def ids_of(record: RawRecord, decoded: Decoded) -> list[str]:
    _, found = decoded_with(record, decoded)
    assert isinstance(found, tuple)
    return [event.id for event in found]


def test_the_adapter_sees_the_record_that_it_was_at_its_new_place() -> None:
    seen: list[RawRecord] = []

    def shop(record: RawRecord) -> Decoded:
        seen.append(record)
        return (search(),)

    record, _ = decode(replayed(), {"p.replays": replays, "shop": shop})
    assert seen == [record]
    assert record == msgspec.structs.replace(WAS, partition=0, offset=5, timestamp_ms=0, replay=REPLAY)


def test_what_is_no_replay_is_read_as_it_is() -> None:
    record = msgspec.structs.replace(WAS, headers=(header_of(REPLAY),))
    assert decoded_with(record, (search(),)) == (record, (search(),))


def test_an_event_without_an_id_gets_one_of_where_it_was_read_first() -> None:
    assert ids_of(replayed(), (search(), search("own"), search())) == ["replay:SHOP/3/41/0", "own", "replay:SHOP/3/41/2"]


def test_an_event_that_was_accepted_once_gets_another_id_than_it_had() -> None:
    replay = msgspec.structs.replace(REPLAY, origin=Origin("SHOP", 3, 41, 2), is_event=True)
    assert ids_of(replayed(replay, encode_event(search("own"))), ()) == ["replay:SHOP/3/41/2"]


def test_an_event_comes_in_our_own_json_whatever_its_source() -> None:
    replay = msgspec.structs.replace(REPLAY, source="gone", is_event=True)
    _, found = decoded_with(replayed(replay, encode_event(search())), Undecodable("invalid", "not asked"))
    assert found == (search("replay:SHOP/3/41/0"),)


@pytest.mark.parametrize("source", ["gone", "p.replays"])
def test_a_source_that_is_read_no_more_is_named(source: str) -> None:
    _, found = decoded_with(replayed(msgspec.structs.replace(REPLAY, source=source)), (search(),))
    assert found == Undecodable(
        "unknown_source",
        f"source: the worker that met it does not read {source}; give all workers the same, and replay again",
    )


def test_a_replay_that_fails_again_is_a_letter_with_the_same_id_and_one_attempt_more() -> None:
    record, found = decoded_with(replayed(), Undecodable("invalid", "value: 7"))
    assert isinstance(found, Undecodable)
    letter = route(record, found, "REPLAYS", NOW_MS)
    assert isinstance(letter, DeadLetter)
    assert (letter.origin, letter.first_origin, letter.id) == (Origin("REPLAYS", 0, 5), ORIGIN, "shop/3/41")
    assert (letter.source, letter.attempts, letter.first_seen_at) == ("shop", 3, AT)
    assert (letter.key, letter.value, letter.headers) == (WAS.key, WAS.value, WAS.headers)
    assert replay_of(letter) == msgspec.structs.replace(REPLAY, attempts=3)


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("trace", b""),),
        ((HEADER, b""),),
        ((HEADER, b"\xff"),),
        ((HEADER, b"[" * 1_000),),
        ((HEADER, b"{}"),),
        (("trace", b""), header_of(REPLAY)),
        (header_of(msgspec.structs.replace(REPLAY, source="x" * 5_000)),),
    ],
    ids=["none", "another", "empty", "not UTF-8", "nested", "no replay", "not in front", "longer than a name can be"],
)
def test_what_somebody_else_wrote_is_refused(headers: tuple[tuple[str, bytes], ...]) -> None:
    record = msgspec.structs.replace(replayed(), headers=headers)
    assert decoded_with(record, (search(),)) == (
        record,
        Undecodable("undecodable", "not a replay: publish events to a source topic instead"),
    )


@given(
    st.builds(
        Replay,
        source=st.text("abc.-_", min_size=1, max_size=249),
        origin=st.builds(Origin, st.text("abcA1-_", min_size=22, max_size=22), st.integers(0, 10_000), st.integers(0, 1 << 62)),
        attempts=st.integers(1, 1_000),
        first_seen_at=st.just(AT),
        is_event=st.booleans(),
    )
)
def test_every_replay_of_a_letter_can_be_read_again(replay: Replay) -> None:
    assert decode_header(header_of(replay)) == replay


def test_a_replay_may_need_a_schema_too() -> None:
    needed = SchemaNeeded("avro", 17)
    assert decoded_with(replayed(), needed)[1] == needed
