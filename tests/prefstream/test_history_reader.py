"""Of the rows of a history those are shown that were published and are kept, and the current version always."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

from prefstream.history import KeptVersion, encode_version, version_of
from prefstream.history_reader import _newest, versions_in
from prefstream.summaries import Summary
from prefstream.tenants import key_of
from streams.keys import version_key

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
ADA = b"ada"


def kept(number: int) -> KeptVersion:
    return KeptVersion(user="ada", version=number, text=f"Text {number}.", reason="control", command="edit", updated_at=AT)


def rows(*numbers: int) -> dict[bytes, bytes]:
    return {version_key(ADA, number): encode_version(kept(number)) for number in numbers}


def current(number: int) -> Summary:
    return Summary(user="ada", version=number, text=f"Text {number}.", reason="size", updated_at=AT)


def test_the_versions_are_in_order_and_the_current_one_is_last() -> None:
    assert versions_in(rows(10, 2, 9), current(10)) == (kept(2), kept(9), kept(10))


def test_what_was_never_published_is_left_out() -> None:
    assert versions_in(rows(1, 2, 3), current(2)) == (kept(1), kept(2))


def test_what_is_too_old_is_left_out() -> None:
    assert [one.version for one in versions_in(rows(*range(1, 31)), current(30))] == [*range(11, 31)]


def test_a_summary_from_before_versions_were_kept_is_its_own_history() -> None:
    assert versions_in({}, current(7)) == (version_of(current(7)),)


def test_who_has_no_summary_has_no_history() -> None:
    assert versions_in(rows(1, 2), None) == ()


def test_of_a_partition_the_newest_rows_of_one_user_are_taken() -> None:
    other = key_of("shop", "ada")
    written = [
        (ADA, b"summary 1"),
        (version_key(ADA, 1), b"1"),
        (version_key(ADA, 2), b"2"),
        (version_key(b"adam", 1), b"x"),
        (version_key(other, 1), b"x"),
        (b"\xffowner", b"owner"),
        (None, b"x"),
        (version_key(ADA, 1), None),
        (version_key(ADA, 2), b"2 again"),
        (ADA, b"summary 2"),
    ]
    records = [SimpleNamespace(key=key, value=value) for key, value in written]
    assert _newest(records, ADA) == {version_key(ADA, 2): b"2 again", ADA: b"summary 2"}
    assert _newest([*records, SimpleNamespace(key=ADA, value=None)], ADA) == {version_key(ADA, 2): b"2 again"}
    assert _newest(records, other) == {version_key(other, 1): b"x"}
