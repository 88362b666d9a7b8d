"""The partition is the one Kafka's own clients choose, and a prefix scan meets one user's rows only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as kafka_murmur2

from streams import keys
from streams.errors import CorruptKey

OFFSETS = st.integers(0, 2**64 - 1)
TRICKY_USERS = ["a", "ab", "a|b", "a/b", "a:b", "a\0", "a\0\0", "\0", "e", "e\0", "👩‍👩‍👧", "ä", "é" * 512, ""]
USERS = (st.sampled_from(TRICKY_USERS) | st.text(max_size=40)).map(str.encode) | st.binary(max_size=40)
PAIRS = [(a.encode(), b.encode()) for a in TRICKY_USERS for b in TRICKY_USERS if a != b]


@given(st.binary(max_size=100))
def test_murmur2_is_kafkas(key: bytes) -> None:
    assert keys.murmur2(key) == kafka_murmur2(key)


@pytest.mark.parametrize(
    ("key", "hashed"),
    # The cases of org.apache.kafka.common.utils.UtilsTest, which are signed there.
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_the_java_clients(key: bytes, hashed: int) -> None:
    assert keys.murmur2(key) == hashed % 2**32


@given(USERS, st.integers(1, 1000))
def test_the_partition_is_the_default_partitioners(key: bytes, num_partitions: int) -> None:
    partition = keys.murmur2_partition(key, num_partitions)
    assert partition == (kafka_murmur2(key) & 0x7FFFFFFF) % num_partitions
    assert 0 <= partition < num_partitions


def all_keys(user: bytes, offset: int) -> list[bytes]:
    single = [keys.failures_key(user), keys.controls_key(user), keys.recent_ids_key(user)]
    return [keys.event_key(user, offset), *single, keys.version_key(user, offset)]


KINDS: tuple[keys.Kind, ...] = (b"e", b"f", b"c", b"i", b"v")


def assert_strangers(one: bytes, other: bytes, offset: int) -> None:
    for kind in KINDS:
        prefix = keys.user_prefix(kind, one)
        assert not any(key.startswith(prefix) for key in all_keys(other, offset))
        assert sum(key.startswith(prefix) for key in all_keys(one, offset)) == 1


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_tricky_users_never_meet(one: bytes, other: bytes) -> None:
    for offset in (0, 0x6500016100000000, 2**64 - 1):
        assert_strangers(one, other, offset)


@given(st.tuples(USERS, USERS).filter(lambda pair: pair[0] != pair[1]), OFFSETS)
def test_a_prefix_scan_meets_one_user_only(users: tuple[bytes, bytes], offset: int) -> None:
    assert_strangers(*users, offset)


@given(USERS, st.binary(max_size=8), OFFSETS)
def test_a_user_who_continues_another_is_a_stranger(user: bytes, rest: bytes, offset: int) -> None:
    if rest:
        assert_strangers(user, user + rest, offset)
        assert_strangers(user + rest, user, offset)


@given(USERS, st.lists(OFFSETS, max_size=8))
def test_the_events_of_a_user_sort_by_offset(user: bytes, offsets: list[int]) -> None:
    assert sorted(keys.event_key(user, offset) for offset in offsets) == [keys.event_key(user, o) for o in sorted(offsets)]


@given(USERS, OFFSETS)
def test_a_key_is_parsed_to_what_made_it(user: bytes, offset: int) -> None:
    assert [keys.parse_key(key) for key in all_keys(user, offset)] == [
        keys.EventKey(user, offset),
        keys.UserKey(b"f", user),
        keys.UserKey(b"c", user),
        keys.UserKey(b"i", user),
        keys.VersionKey(user, offset),
    ]


ALMOST_KEYS = st.builds(
    lambda kind, user: bytes([kind, 0, len(user)]) + user, st.sampled_from(b"efcixv"), st.binary(max_size=30)
)


@given(st.binary(max_size=30) | ALMOST_KEYS)
def test_any_other_key_is_corrupt(key: bytes) -> None:
    try:
        parsed = keys.parse_key(key)
    except CorruptKey:
        return
    match parsed:
        case keys.EventKey(user, offset):
            assert key == keys.event_key(user, offset)
        case keys.VersionKey(user, version):
            assert key == keys.version_key(user, version)
        case keys.FenceKey(digest):
            assert key == keys.fence_key(digest)
        case keys.UserKey(kind, user):
            assert key == keys.user_prefix(kind, user)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (b"", "no head"),
        (b"e\0", "no head"),
        (b"f\0\2a", "ends inside its user id"),
        (b"f\0\1ab", "suffix of 1 bytes"),
        (b"e\0\1a" + b"\0" * 7, "suffix of 7 bytes"),
        (b"q\0\1a", "kind b'q'"),
    ],
)
def test_a_corrupt_key_is_named(key: bytes, message: str) -> None:
    with pytest.raises(CorruptKey, match=message):
        keys.parse_key(key)


def test_a_user_id_that_the_length_cannot_hold_is_refused() -> None:
    assert keys.parse_key(keys.failures_key(b"u" * 65_535)) == keys.UserKey(b"f", b"u" * 65_535)
    with pytest.raises(ValueError, match="65536 bytes"):
        keys.failures_key(b"u" * 65_536)
