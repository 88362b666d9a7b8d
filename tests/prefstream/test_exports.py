"""What an export takes for the user's, and how it shows bytes: nobody else's records, and nothing that cannot be read."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.dead_letters import DeadLetter, Origin
from prefstream.exports import Whose, homes, is_about, row_of, shown_value
from prefstream.receipts import Receipt
from prefstream.topics import TopicNames
from streams.controls import Controls, Decided, encode_controls, encode_decided
from streams.keys import (
    MAX_USER_BYTES,
    controls_key,
    decided_key,
    event_key,
    failures_key,
    murmur2_partition,
    recent_ids_key,
    version_key,
)

NAMES = TopicNames("t")
AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)


CLOUD_EVENT = b'{"specversion": "1.0", "type": "click", "data": {"user": "ada"}}'
CLOUD_EVENT_OF_SHOP = b'{"specversion": "1.0", "type": "click", "data": {"user": "ada", "tenant": "shop"}}'


def letter(key: bytes | None, value: bytes | None, tenant: str = "") -> bytes:
    made = DeadLetter(
        origin=Origin("T1", 0, 1),
        source="s",
        reason="invalid",
        message="m",
        key=key,
        value=value,
        first_seen_at=AT,
        last_seen_at=AT,
        tenant=tenant,
    )
    return msgspec.json.encode(made)


@pytest.mark.parametrize(
    ("topic", "key", "value", "is_hers"),
    [
        (NAMES.events, b"ada", b"x", True),
        (NAMES.events, b"adam", b"x", False),
        (NAMES.summaries, b"\xffowner", b"owner", False),
        (NAMES.pending, event_key(b"ada", 7), b"x", True),
        (NAMES.pending, event_key(b"adam", 7), b"x", False),
        (NAMES.history, version_key(b"ada", 7), b"x", True),
        (NAMES.history, version_key(b"adam", 7), b"x", False),
        (NAMES.pending, b"l", b"x", False),
        (NAMES.pending, b"ada", b"x", False),
        (NAMES.inbox, b"other", b'{"user": "ada"}', True),
        (NAMES.inbox, None, b'[{"user": "bob"}, {"user": "ada"}]', True),
        (NAMES.inbox, None, b'{"user": "bob", "text": "ada"}', False),
        (NAMES.inbox, b"ada", None, True),
        (NAMES.receipts, b"bob", b'{"user": "ada"}', False),
        (NAMES.dead_letters, b"T1/0/1", letter(b"ada", b"\xff"), True),
        (NAMES.dead_letters, b"T1/0/1", letter(None, b'{"user": "ada"'), False),
        (NAMES.dead_letters, b"T1/0/1", letter(None, b'{"user": "ada"}'), True),
        (NAMES.dead_letters, b"T1/0/1", letter(None, CLOUD_EVENT), True),
        (NAMES.dead_letters, b"T1/0/1", letter(None, CLOUD_EVENT.replace(b"ada", b"bob")), False),
        (NAMES.dead_letters, b"T1/0/1", letter(b"ada", CLOUD_EVENT_OF_SHOP), False),
        (NAMES.dead_letters, b"T1/0/1", letter(None, b'{"data": "ada", "user": 5}'), False),
        (NAMES.dead_letters, b"ada", letter(b"bob", None), False),
        (NAMES.dead_letters, b"T1/0/1", None, False),
        (NAMES.dead_letters, b"T1/0/1", b'{"key": 5, "value": "no base64"}', False),
    ],
)
def test_whose_record_it_is(topic: str, key: bytes | None, value: bytes | None, is_hers: bool) -> None:
    assert is_about(key, value, Whose("", "ada"), NAMES, topic) is is_hers


HERS, THEIRS = Whose("", "ada"), Whose("shop", "ada")
SHOP_KEY = b"shop\xffada"


@pytest.mark.parametrize(
    ("topic", "key", "value", "declared", "whose"),
    [
        (NAMES.events, SHOP_KEY, b"x", "", THEIRS),
        (NAMES.pending, event_key(SHOP_KEY, 7), b"x", "", THEIRS),
        (NAMES.pending, event_key(b"ada", 7), b"x", "", HERS),
        (NAMES.inbox, b"ada", b'{"user": "ada"}', "", HERS),
        (NAMES.inbox, b"ada", b'{"user": "ada", "tenant": "shop"}', "", THEIRS),
        (NAMES.inbox, SHOP_KEY, b"no JSON", "", THEIRS),
        (NAMES.inbox, None, b'[{"user": "ada", "tenant": "shop"}]', "", THEIRS),
        (NAMES.inbox, b"ada", b'{"user": "ada", "tenant": "news"}', "", None),
        (NAMES.replays, b"ada", b'{"user": "ada"}', "shop", THEIRS),
        (NAMES.replays, b"ada", b"no JSON", "shop", THEIRS),
        (NAMES.replays, b"ada", b"no JSON", "", HERS),
        (NAMES.dead_letters, b"T1/0/1", letter(b"ada", b"no JSON"), "", HERS),
        (NAMES.dead_letters, b"T1/0/1", letter(b"ada", b"no JSON", "shop"), "", THEIRS),
        (NAMES.dead_letters, b"T1/0/1", letter(b"ada", b'{"user": "ada", "tenant": "news"}', "shop"), "", THEIRS),
        (NAMES.dead_letters, b"T1/0/1", letter(b"ada", b'{"user": "ada", "tenant": "shop"}'), "", THEIRS),
        (NAMES.dead_letters, b"T1/0/1", letter(SHOP_KEY, b"{}", "shop"), "", THEIRS),
        (NAMES.dead_letters, b"T1/0/1", letter(b"ada", b"no JSON", "?"), "", None),
        (NAMES.dead_letters, b"T1/0/1", letter(b"ada", b'{"user": "ada", "tenant": ["shop"]}'), "", HERS),
    ],
)
def test_of_two_people_with_one_id_each_has_their_own_records(
    topic: str, key: bytes | None, value: bytes, declared: str, whose: Whose | None
) -> None:
    found = [one for one in (HERS, THEIRS) if is_about(key, value, one, NAMES, topic, declared)]
    assert found == ([whose] if whose else [])


@given(st.binary(max_size=80), st.integers(0, 2**64 - 1))
def test_the_rows_of_a_worker_are_told_by_their_keys(user: bytes, offset: int) -> None:
    single = (failures_key(user), controls_key(user), recent_ids_key(user))
    keys = (*single, event_key(user, offset), decided_key(user, offset), version_key(user, offset))
    assert [row_of(key)[1] for key in keys] == [user] * 6
    assert len({row_of(key)[0] for key in keys}) == 6


def test_what_is_no_row_is_nobodys() -> None:
    assert [row_of(key)[1] for key in (None, b"", b"l", b"e", b"x\0\1a", event_key(b"x" * MAX_USER_BYTES, 1)[:-9])] == [
        None
    ] * 6


def test_bytes_are_shown_as_what_they_say() -> None:
    receipt = Receipt(user="ada", command="pin", outcome="applied", at=AT, command_position=4)
    shown = json.dumps(shown_value(encode_decided(Decided(receipt, b'{"text": "Loves war."}'))), default=str)
    assert ("Loves war." in shown, "applied" in shown) == (True, True)
    assert "Vegetarian." in str(shown_value(encode_controls(Controls(1, 1, ("Vegetarian.",)))))
    assert shown_value(b'{"a": [1]}') == {"a": [1]}
    assert shown_value("Grüße!".encode()) == "Grüße!"
    assert shown_value(None) is None


@given(st.binary(max_size=60))
def test_any_bytes_can_be_exported(value: bytes) -> None:
    """And come back, where nothing else could be made of them, or of the bytes that they pack."""
    shown = shown_value(value)
    exported = json.loads(msgspec.json.encode(shown))
    assert not isinstance(shown, bytes) or (exported == b64encode(shown).decode() and value.endswith(shown))


@given(st.binary(min_size=1, max_size=8), st.integers(1, 8), st.integers(1, 4), st.integers(1, 3))
def test_whoever_moved_is_found_where_they_were(key: bytes, first: int, times: int, again: int) -> None:
    found = homes(key, first * times * again)
    assert {murmur2_partition(key, count) for count in (first, first * times, first * times * again)} <= set(found)


def test_of_a_prime_number_only_the_first_partition_can_have_been_another() -> None:
    assert homes(b"ada", 7) == sorted({0, murmur2_partition(b"ada", 7)})
