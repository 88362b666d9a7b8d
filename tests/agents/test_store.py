"""Log first, store second, on a real RocksDB: a row is readable at once, and on disk when its record is acknowledged."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from agents.store import OFFSET_KEY, DirectoryUnusable, LoggedStore, Row, Shard, claim_directory
from prefstream.topics import OWNER_KEY
from tests.agents.scripted import Stopped, message, stops_recorded

KEYS = [b"", b"\0", b"e\0\1a", b"ada", "👩‍👩‍👧".encode()]


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[Shard]:
    shard = Shard(tmp_path / "tables" / "pending-0")
    yield shard
    shard.close()


def on_disk(shard: Shard) -> dict[bytes, bytes]:
    """What a scan finds, which reads the disk alone."""
    return {key: value for key, value in shard.scan(b"") if key != OFFSET_KEY}


def reopened(shard: Shard, path: Path) -> Shard:
    shard.close()
    return Shard(path)


@pytest.mark.parametrize("key", KEYS)
def test_a_staged_row_is_readable_and_not_on_disk(shard: Shard, key: bytes) -> None:
    shard.stage((key, b"1"))
    assert shard.get(key) == b"1"
    assert (on_disk(shard), shard.offset) == ({}, None)


@pytest.mark.parametrize("key", KEYS)
def test_an_acknowledged_row_is_on_disk_with_its_offset(shard: Shard, key: bytes) -> None:
    row: Row = (key, b"1")
    shard.stage(row)
    shard.apply([row], 41)
    assert (shard.get(key), on_disk(shard), shard.offset) == (b"1", {key: b"1"}, 41)


def test_what_is_on_disk_survives_and_what_was_on_its_way_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "pending-0"
    shard = Shard(path)
    shard.apply([(b"kept", b"1"), (b"deleted", b"1"), (b"changed", b"1")], 3)
    shard.stage((b"new", b"1"))
    shard.stage((b"changed", b"2"))
    shard.stage((b"deleted", None))
    assert [shard.get(key) for key in (b"kept", b"deleted", b"changed", b"new")] == [b"1", None, b"2", b"1"]
    shard = reopened(shard, path)
    assert (on_disk(shard), shard.offset) == ({b"kept": b"1", b"deleted": b"1", b"changed": b"1"}, 3)
    assert [shard.get(key) for key in (b"kept", b"deleted", b"changed", b"new")] == [b"1", b"1", b"1", None]
    shard.close()


def test_a_tombstone_deletes_at_once_and_on_disk_when_acknowledged(shard: Shard) -> None:
    shard.apply([(b"a", b"1")], 0)
    tombstone: Row = (b"a", None)
    shard.stage(tombstone)
    assert (shard.get(b"a"), on_disk(shard)) == (None, {b"a": b"1"})
    shard.apply([tombstone], 1)
    assert (shard.get(b"a"), on_disk(shard), shard.offset) == (None, {}, 1)


def test_the_newest_row_of_a_key_is_read_whatever_is_acknowledged_meanwhile(shard: Shard) -> None:
    # The first and the last are equal: it matters which of them was acknowledged, not what it says.
    rows: list[Row] = [(b"a", b"on"), (b"a", b"off"), (b"a", b"".join([b"o", b"n"]))]
    for row in rows:
        shard.stage(row)
    for offset, (row, stored) in enumerate(zip(rows, (b"on", b"off", b"on"), strict=True)):
        shard.apply([row], offset)
        assert (shard.get(b"a"), on_disk(shard)) == (b"on", {b"a": stored})


def test_unstaged_rows_are_as_if_never_written(shard: Shard) -> None:
    shard.apply([(b"a", b"1")], 0)
    shard.stage((b"a", None))
    shard.stage((b"b", b"2"))
    shard.unstage()
    assert (shard.get(b"a"), shard.get(b"b")) == (b"1", None)


def test_an_owners_barrier_moves_the_offset_and_is_no_row(shard: Shard) -> None:
    shard.apply([(b"a", b"1"), (OWNER_KEY, b"owner")], 9)
    assert (on_disk(shard), shard.get(OWNER_KEY), shard.offset) == ({b"a": b"1"}, None, 9)


def test_a_scan_meets_its_prefix_only_in_key_order(shard: Shard) -> None:
    keys = [b"d\xff", b"e", b"e\0", b"e\0\1", b"e\xff\xff", b"f", b"e\1"]
    shard.apply([(key, b"v") for key in keys], 0)
    assert [key for key, _ in shard.scan(b"e")] == [b"e", b"e\0", b"e\0\1", b"e\1", b"e\xff\xff"]
    assert list(shard.scan(b"g")) == []


def test_a_directory_belongs_to_one_worker(tmp_path: Path) -> None:
    directory = tmp_path / "not" / "there"
    lock = claim_directory(directory)
    (tmp_path / "file").touch()
    with pytest.raises(DirectoryUnusable, match=r"PREFSTREAM_DATA_DIRECTORY: .*/file/tables: Not a directory; name one"):
        claim_directory(tmp_path / "file" / "tables")
    with pytest.raises(DirectoryUnusable, match=r"another worker uses .*there: give each .* PREFSTREAM_DATA_DIRECTORY"):
        claim_directory(directory)
    os.close(lock)
    os.close(claim_directory(directory))


CHANGELOG = "t.pending"


@pytest.fixture
def store(tmp_path: Path) -> LoggedStore:
    app = SimpleNamespace(conf=SimpleNamespace(tabledir=tmp_path))
    table = SimpleNamespace(name="pending", changelog_topic=SimpleNamespace(get_topic_name=lambda: CHANGELOG))
    return LoggedStore("logged://", app, table)


def recover(store: LoggedStore, *rows: tuple[str, int, int, bytes, bytes | None]) -> None:
    batch: Iterable[Any] = [
        SimpleNamespace(message=message(topic, offset, value, key, partition)) for topic, partition, offset, key, value in rows
    ]
    store.apply_changelog_batch(batch, bytes, bytes)


async def test_recovery_fills_each_partitions_own_shard(store: LoggedStore) -> None:
    recover(
        store,
        (CHANGELOG, 0, 4, b"a", b"1"),
        (CHANGELOG, 1, 9, b"b", b"1"),
        ("t.summaries", 1, 99, b"stranger", b"1"),
        (CHANGELOG, 0, 5, OWNER_KEY, b"owner"),
        (CHANGELOG, 1, 12, b"b", None),
    )
    assert [on_disk(store.shard(number)) for number in (0, 1)] == [{b"a": b"1"}, {}]
    assert [store.persisted_offset(TP(CHANGELOG, number)) for number in (0, 1, 2)] == [5, 12, None]
    await store.on_stop()


async def test_a_partition_that_went_away_is_closed_and_opens_again_where_it_was(store: LoggedStore, tmp_path: Path) -> None:
    recover(store, (CHANGELOG, 0, 4, b"a", b"1"), (CHANGELOG, 1, 9, b"b", b"1"))
    kept = store.shard(0)
    # The same number of another topic says nothing about this table.
    await store.on_rebalance({TP(CHANGELOG, 0), TP("t.events", 1)}, {TP(CHANGELOG, 1)}, set())
    elsewhere = Shard(tmp_path / "pending-1")  # RocksDB lets nobody open what is open
    assert on_disk(elsewhere) == {b"b": b"1"}
    elsewhere.close()
    assert store.shard(0) is kept
    assert store.persisted_offset(TP(CHANGELOG, 1)) == 9
    await store.on_stop()
    Shard(tmp_path / "pending-0").close()


async def test_a_store_that_cannot_write_ends_the_worker(store: LoggedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    stops = stops_recorded(monkeypatch, "agents.store")
    store.shard(0).close()
    with pytest.raises(Stopped):
        recover(store, (CHANGELOG, 0, 4, b"a", b"1"))
    assert len(stops) == 1
    assert stops[0].startswith("the store of table pending cannot be written: ")


async def test_there_are_no_standbys(store: LoggedStore) -> None:
    assert not await store.need_active_standby_for(TP(CHANGELOG, 0))
