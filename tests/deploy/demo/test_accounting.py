"""The accounts: exact where every record is somewhere, and not exact as soon as one is lost, or counted twice."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.demo.accounting import (
    Accounts,
    Identity,
    Record,
    Topics,
    cloudevent_identity,
    native_identity,
    settle,
    stars_identity,
)
from prefstream.dead_letters import DeadLetter, Origin
from prefstream.summaries import Summary, encode_summary
from streams.keys import event_key, recent_ids_key

FORMATS = {"stars": stars_identity, "app": cloudevent_identity, "yours": native_identity}
NOW = datetime(2026, 1, 5, tzinfo=UTC)


def stars(offset: int, user: int = 1, partition: int = 0) -> Record:
    return Record("stars", partition, offset, b"50", json.dumps({"member": user, "stars": 5}).encode())


def app(offset: int, user: str = "1", id: str = "a") -> Record:
    headers = (("ce_subject", user.encode()), ("ce_source", b"/app"), ("ce_id", id.encode()))
    return Record("app", 0, offset, user.encode(), b"{}", headers)


def summary(user: str, num_events: int, version: int = 1, position: int = 100) -> Record:
    made = Summary(
        user=user, version=version, text="x", reason="size", updated_at=NOW, num_events=num_events, position=position
    )
    return Record("summaries", 0, version, user.encode(), encode_summary(made))


def letter(source: str, offset: int, partition: int = 0, first_origin: Origin | None = None) -> Record:
    made = DeadLetter(
        origin=Origin("id", partition, offset),
        source=source,
        reason="invalid",
        message="",
        first_seen_at=NOW,
        last_seen_at=NOW,
        first_origin=first_origin,
    )
    return Record("dead-letters", 0, 0, b"", msgspec.json.encode(made))


def row(user: str, offset: int, value: bytes | None = b"event") -> Record:
    return Record("pending", 0, 0, event_key(user.encode(), offset), value)


def settled(
    raw: Sequence[Record],
    summaries: Sequence[Record] = (),
    letters: Sequence[Record] = (),
    pending: Sequence[Record] = (),
) -> Accounts:
    return settle(Topics(tuple(raw), tuple(letters), tuple(pending), tuple(summaries)), FORMATS)


def test_each_record_is_counted_as_what_became_of_it() -> None:
    accounts = settled(
        raw=[stars(0), stars(1), stars(2), app(0, id="a"), app(1, id="a"), app(2, id="b"), app(3, "2", "a")],
        letters=[letter("stars", 1)],
        pending=[row("1", 101), row("1", 5)],
        summaries=[summary("1", 1, version=1), summary("1", 3, version=2), summary("2", 1)],
    )
    assert accounts.num_source == {"stars": 3, "app": 4, "yours": 0}
    assert (accounts.applied, accounts.duplicate, accounts.dead, accounts.pending) == (4, 1, {"invalid": 1}, 1)
    assert (accounts.source, accounts.accounted, accounts.is_exact) == (7, 7, True)


@pytest.mark.parametrize(
    ("summaries", "why"),
    [
        ([summary("1", 1)], "one of user 1 is lost"),
        ([summary("1", 3)], "one of user 1 was applied twice"),
        ([summary("1", 1), summary("2", 1)], "the sum is right, and user 1's event is user 2's"),
        ([summary("1", 1, version=2), summary("1", 2, version=2)], "a version came twice"),
        ([summary("1", 1, version=2), summary("1", 2, version=1)], "a version went back"),
    ],
)
def test_accounts_that_are_wrong_are_not_exact(summaries: list[Record], why: str) -> None:
    raw = [stars(0), stars(1)]
    assert settled(raw, [summary("1", 2)]).is_exact
    accounts = settled(raw, summaries)
    assert not accounts.is_exact, why
    assert "1" in accounts.unexplained


def test_a_dead_letter_of_a_redelivered_record_counts_once_and_one_from_elsewhere_not_at_all() -> None:
    letters = [letter("stars", 0), letter("stars", 0), letter("demo.events", 1), letter("stars", 0, partition=1)]
    accounts = settled([stars(0), stars(0, partition=1)], letters=letters)
    assert accounts.dead == {"invalid": 2}
    assert accounts.is_exact


def test_a_dead_letter_that_somebody_replays_in_vain_counts_once() -> None:
    again = letter("stars", 7, partition=2, first_origin=Origin("id", 0, 0))
    accounts = settled([stars(0)], letters=[letter("stars", 0), again])
    assert (accounts.dead, accounts.is_exact) == ({"invalid": 1}, True)


def test_a_dead_record_is_never_read() -> None:
    assert settled([Record("stars", 0, 0, None, b'{"mem')], letters=[letter("stars", 0)]).is_exact


def test_a_record_that_nobody_can_read_and_nobody_refused_is_missing() -> None:
    accounts = settled([Record("stars", 0, 0, None, b'{"mem'), Record("app", 0, 0, None, b"{}")])
    assert (accounts.source - accounts.accounted, accounts.is_exact) == (2, False)


def test_only_live_rows_that_no_summary_covers_are_pending() -> None:
    pending = [
        row("1", 7),
        row("1", 8),
        row("1", 8, None),
        row("1", 3),
        Record("pending", 0, 0, recent_ids_key(b"1"), b"ids"),
        Record("pending", 0, 0, b"\xffowner", b"owner"),
        Record("pending", 0, 0, b"e", b""),
    ]
    accounts = settled([stars(0), stars(1)], [summary("1", 1, position=6)], pending=pending)
    assert (accounts.pending, accounts.is_exact) == (1, True)


def test_workers_own_records_and_erased_users_are_no_summaries() -> None:
    erased = Record("summaries", 0, 9, b"2", None)
    accounts = settled(
        [stars(0)], [Record("summaries", 0, 0, b"\xffowner", b"owner"), summary("2", 5), erased, summary("1", 1)]
    )
    assert list(accounts.versions) == ["1"]
    assert accounts.is_exact


def test_identities_are_what_the_platform_wrote() -> None:
    own = Record("yours", 0, 0, None, b'{"user": "ada", "id": "x"}')
    assert native_identity(own) == Identity("ada", "x")
    assert stars_identity(stars(0, user=7)) == Identity("7", "")
    assert cloudevent_identity(app(0, "7", "rating-3")) == Identity("7", "/app rating-3")


@given(st.text(min_size=1).filter(lambda user: user.encode("utf-8", "ignore").decode() == user), st.integers(0, 2**64 - 1))
def test_its_reading_of_a_pending_key_is_that_of_the_worker(user: str, offset: int) -> None:
    accounts = settled([Record("yours", 0, 0, None, json.dumps({"user": user}).encode())], pending=[row(user, offset)])
    assert accounts.pending == 1
    assert accounts.is_exact
    assert struct.unpack(">Q", event_key(user.encode(), offset)[-8:]) == (offset,)
