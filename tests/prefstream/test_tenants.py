"""The key of a user tells the tenant and the user apart from everybody else, whatever the id holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.commands import Pin, decode_record
from prefstream.errors import InvalidRecord
from prefstream.events import decode_event
from prefstream.summaries import decode_summary
from prefstream.tenants import is_tenant, key_of, shown, tenant_of, user_of
from prefstream.topics import OWNER_KEY
from streams.records import FILTERED_MARK

TENANTS = st.text("abcz09._-", max_size=64)
IDS = st.text(min_size=1, max_size=30) | st.sampled_from(
    ["a\0b", "a\U0001f600", "shop/ada", "shop.ada", "\u00ff", "shop\u00ffada"]
)
PERSON = st.tuples(TENANTS, IDS.filter(lambda user: not any(0xD800 <= ord(char) < 0xE000 for char in user)))


@given(PERSON, PERSON)
def test_a_key_is_of_one_user_alone(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert (key_of(*one) == key_of(*other)) is (one == other)


@given(PERSON)
def test_a_key_tells_whose_it_is(person: tuple[str, str]) -> None:
    key = key_of(*person)
    assert (user_of(key), tenant_of(key)) == (person, person[0])
    assert not key.startswith(FILTERED_MARK)
    assert not key.startswith(OWNER_KEY)


def test_the_default_tenants_keys_are_what_they_were() -> None:
    assert (key_of("", "ada"), key_of("shop", "ada")) == (b"ada", b"shop\xffada")
    assert (shown("", "ada"), shown("shop", "ada")) == ("ada", "ada (shop)")


@pytest.mark.parametrize("key", [OWNER_KEY, b"\xff", b"a\xfe", b"shop\xffa\xffb"])
def test_what_no_user_has_as_a_key_is_refused(key: bytes) -> None:
    with pytest.raises(UnicodeDecodeError):
        user_of(key)


@pytest.mark.parametrize("name", ["Shop", "a b", "shop\n", "s/t", "x" * 65, "\u00e9", "a:b"])
def test_a_tenant_has_plain_characters(name: str) -> None:
    assert not is_tenant(name)
    quoted = name.replace("\n", "\\n")
    document = f'{{"type": "search", "user": "ada", "at": "2026-01-05T20:15:00Z", "query": "q", "tenant": "{quoted}"}}'
    with pytest.raises(InvalidRecord, match="tenant: ") as refused:
        decode_event(document.encode())
    assert refused.value.reason == "invalid"


def test_records_of_old_writers_are_the_default_tenants() -> None:
    event = decode_event(b'{"type": "search", "user": "ada", "at": "2026-01-05T20:15:00Z", "query": "q"}')
    command = decode_record(b'{"type": "pin", "user": "ada", "at": "2026-01-05T20:15:00Z", "statement": "s"}')
    summary = decode_summary(
        b'{"user": "ada", "version": 1, "text": "t", "reason": "age", "updated_at": "2026-01-05T20:15:00Z"}'
    )
    assert isinstance(command, Pin)
    assert [one.tenant for one in (event, command, summary)] == [""] * 3
