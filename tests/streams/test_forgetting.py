"""The fence of a `forget`: what it keeps of a user, and which events and commands belong to the past that it ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from prefstream.commands import Command, Forget, OptOut
from prefstream.dead_letters import Origin
from prefstream.events import Click, Event, Item
from streams.forgetting import (
    FIRST_LIFE,
    Ended,
    Fence,
    Life,
    decode_fence,
    encode_fence,
    fate_behind,
    fence_of,
    hiding,
)
from streams.records import Detailed, decode_arrival, decode_detailed, encode_arrival, encode_event

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
LATER, EARLIER = AT + timedelta(seconds=1), AT - timedelta(seconds=1)
ENDS = {"T1/0": 50, "T1/1": 7, "T2/0": 0}
ARRIVED_AT_MS = int(AT.timestamp() * 1_000) + 5
FORGET = Forget(user="ada", at=AT, id="f1")
CHECK = hiding("").check
BEHIND = Origin("T1", 0, 60)


def arrival(
    record: Event | Command,
    origin: Origin = BEHIND,
    ends: dict[str, int] | None = None,
    began: Origin | None = None,
) -> Detailed:
    return Detailed(origin, ARRIVED_AT_MS, 0, record.id, msgspec.Raw(encode_event(record)), ends=ends or {}, began=began)


def fence(**changes: object) -> Fence:
    made = fence_of(FORGET, arrival(FORGET, Origin("T1", 0, 49), ENDS), 100, Ended(6, 20, 3, 1, False), None, CHECK)
    return replace(made, **changes)


def click(at: datetime) -> Event:
    return Click(user="ada", at=at, item=Item(id="1"))


FATES = {
    "a new event of the new life": (click(LATER), Origin("T1", 0, 50), None),
    "published before, read behind": (click(LATER), Origin("T1", 0, 49), "erased"),
    "published before on another partition": (click(LATER), Origin("T1", 1, 6), "erased"),
    "published behind on another partition": (click(LATER), Origin("T1", 1, 7), None),
    "published behind on a source that was empty": (click(LATER), Origin("T2", 0, 0), None),
    "of a source that did not exist": (click(LATER), Origin("T9", 0, 0), None),
    "old, published behind": (click(EARLIER), Origin("T1", 0, 60), "erased"),
    "of the same instant, published behind": (click(AT), Origin("T1", 0, 60), "erased"),
    "another command from before": (OptOut(user="ada", at=LATER), Origin("T1", 1, 3), "erased"),
    "another command from behind": (OptOut(user="ada", at=LATER), Origin("T1", 1, 7), None),
    "another command from behind, of a clock that goes slow": (OptOut(user="ada", at=EARLIER), Origin("T1", 1, 7), None),
    "the same forget, sent on twice": (FORGET, Origin("T1", 0, 49), "redelivered"),
    "the same forget, published twice": (FORGET, Origin("T1", 0, 50), "duplicate"),
    "another forget": (replace(FORGET, id="f2", at=LATER), Origin("T1", 0, 50), None),
    "another forget of a clock that goes slow": (replace(FORGET, id="f2", at=EARLIER), Origin("T1", 0, 50), None),
    "another forget without an id": (replace(FORGET, id=""), Origin("T1", 0, 50), None),
}


@pytest.mark.parametrize("case", FATES)
def test_what_becomes_of_what_is_read_behind_the_fence(case: str) -> None:
    record, origin, fate = FATES[case]
    assert fate_behind(fence(), arrival(record, origin), record) == fate


def test_a_forget_without_an_id_has_no_duplicates() -> None:
    nameless = replace(FORGET, id="", at=LATER)
    assert fate_behind(fence(command_id=""), arrival(nameless, Origin("T1", 0, 50)), nameless) is None


@pytest.mark.parametrize(("began", "fate"), [(Origin("T1", 1, 6), "erased"), (Origin("T1", 1, 7), None), (None, None)])
def test_a_replay_belongs_to_the_life_in_which_its_record_was_read_first(began: Origin | None, fate: str | None) -> None:
    event = click(LATER)
    assert fate_behind(fence(), arrival(event, Origin("REPLAYS", 0, 3), began=began), event) == fate


def test_the_fence_says_what_it_ended() -> None:
    made = fence()
    assert (made.position, made.last_version, made.num_applied, made.num_erased, made.stage) == (100, 6, 20, 24, 0)
    assert (made.life, made.ends, made.at) == (Life(100, 6), ENDS, AT)
    assert decode_fence(encode_fence(made)) == made


def test_the_command_itself_lies_below_whatever_the_broker_said() -> None:
    made = fence_of(FORGET, arrival(FORGET, Origin("T3", 2, 9), {}), 100, Ended(), None, CHECK)
    assert made.ends == {"T3/2": 10}


def test_a_command_from_the_future_counts_as_of_its_arrival() -> None:
    dreamt = replace(FORGET, at=AT + timedelta(days=365))
    made = fence_of(dreamt, arrival(dreamt), 100, Ended(), None, CHECK)
    assert made.at == AT + timedelta(milliseconds=5)


def test_a_second_forget_takes_nothing_back() -> None:
    """Neither where the first one lay nor its time; and what both erased adds up."""
    slow = replace(FORGET, id="f2", at=EARLIER)
    ends = {"T1/0": 70, "T1/1": 2, "T4/0": 1}
    made = fence_of(slow, arrival(slow, Origin("T1", 0, 65), ends), 130, Ended(9, 4, 0, 0, True), fence(), CHECK)
    assert made.ends == {"T1/0": 70, "T1/1": 7, "T2/0": 0, "T4/0": 1}
    assert (made.at, made.num_applied, made.num_erased, made.last_version, made.is_opted_out) == (AT, 4, 28, 9, True)
    assert (made.command_id, made.position, made.life) == ("f2", 130, Life(130, 9))


def test_users_are_hidden_under_a_key() -> None:
    one, other, none = hiding("a secret of sixteen"), hiding("a secret of sixteeN"), hiding("")
    digests = {hidden.digest(user) for hidden in (one, other, none) for user in (b"ada", b"bob", b"")}
    assert (len(digests), len({one.check, other.check, none.check}), {len(digest) for digest in digests}) == (9, 3, {32})
    assert hiding("a secret of sixteen") == one
    assert hiding("a secret longer than the longest key of BLAKE2b, which is sixty-four bytes").digest(b"ada")
    assert all(b"ada" not in digest for digest in digests)


def test_what_only_some_arrivals_have_is_not_seen_by_who_does_not_ask() -> None:
    whole = arrival(FORGET, ends=ENDS, began=Origin("T", 0, 1))
    assert decode_detailed(encode_arrival(whole)) == whole
    plain = decode_arrival(encode_arrival(whole))
    assert (plain.origin, decode_detailed(encode_arrival(plain)).ends) == (whole.origin, {})


PLACES = st.builds(Origin, st.sampled_from(["T1", "T2", "T3"]), st.integers(0, 2), st.integers(0, 20))
SNAPSHOTS = st.dictionaries(
    st.sampled_from([f"{topic}/{number}" for topic in ("T1", "T2") for number in range(3)]), st.integers(0, 20)
)
TIMES = st.integers(-3, 3).map(lambda seconds: AT + timedelta(seconds=seconds))


@given(PLACES, SNAPSHOTS, TIMES, PLACES, SNAPSHOTS, TIMES, PLACES, TIMES)
def test_what_one_forget_erases_the_next_one_does_too(
    place: Origin,
    ends: dict[str, int],
    at: datetime,
    next_place: Origin,
    next_ends: dict[str, int],
    next_at: datetime,
    event_place: Origin,
    event_at: datetime,
) -> None:
    first, second = replace(FORGET, at=at), replace(FORGET, id="f2", at=next_at)
    before = fence_of(first, arrival(first, place, ends), 10, Ended(2, 5), None, CHECK)
    after = fence_of(second, arrival(second, next_place, next_ends), 20, Ended(4, 1), before, CHECK)
    event = click(event_at)
    fates = [fate_behind(one, arrival(event, event_place), event) for one in (before, after)]
    is_new = event_at > before.at and event_place.offset >= before.ends.get(f"{event_place.topic}/{event_place.partition}", 0)
    assert fates[0] == (None if is_new else "erased")
    assert fates[1] == "erased" if fates[0] else fates[1] in (None, "erased")
    assert after.num_erased == 6


def test_the_first_life_has_no_versions_before_it() -> None:
    assert (FIRST_LIFE.began_at, FIRST_LIFE.last_version) == (-1, 0)
