"""Log first, store second, on a real RocksDB: a row is readable at once, and on disk when its record is acknowledged."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from faust.types import TP
from structlog.testing import capture_logs

from agents.stamps import Changelog
from agents.store import STAMP_KEY, DirectoryUnusable, LoggedStore, Row, Shard, claim_directory, is_damage
from prefstream.topics import OWNER_KEY
from tests.agents.scripted import KEPT_AN_HOUR, Stopped, stops_recorded

KEYS = [b"", b"\0", b"e\0\1a", b"ada", "👩‍👩‍👧".encode()]


@pytest.fixture
def shard(tmp_path: Path) -> Iterator[Shard]:
    shard = Shard(tmp_path / "tables" / "pending-0", KEPT_AN_HOUR)
    yield shard
    shard.close()


def on_disk(shard: Shard) -> dict[bytes, bytes]:
    """What a scan finds, which reads the disk alone."""
    return {key: value for key, value in shard.scan(b"") if key != STAMP_KEY}


def reopened(shard: Shard, path: Path) -> Shard:
    shard.close()
    return Shard(path, KEPT_AN_HOUR)


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


def test_rows_are_stored_together_or_not_at_all(shard: Shard) -> None:
    def cut_short() -> Iterator[Row]:
        yield b"a", b"1"
        yield b"b", b"1"
        raise InterruptedError

    with pytest.raises(InterruptedError):
        shard.apply(cut_short(), 41)
    assert (on_disk(shard), shard.offset) == ({}, None)


def test_what_is_on_disk_survives_and_what_was_on_its_way_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "pending-0"
    shard = Shard(path, KEPT_AN_HOUR)
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


class Clock:
    """An instant that the test moves, in ms since 1970."""

    def __init__(self) -> None:
        self.now_ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now_ms


HALF_AN_HOUR = KEPT_AN_HOUR.max_age_ms


class Disk:
    """A store's files and a clock; ``come_back`` opens them as the next run of the worker does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = Clock()

    def come_back(self, log: Changelog = KEPT_AN_HOUR) -> Shard:
        return Shard(self.path, log, self.clock)

    def left_by_a_worker(self) -> int:
        """A store with one row at offset 41, in step now. Returns the offset of the next record."""
        shard = self.come_back()
        shard.apply([(b"ada", b"likes jazz")], 41, self.clock())
        shard.close()
        return 42


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "summaries-0")


def test_a_store_that_is_young_enough_is_gone_on_from(disk: Disk) -> None:
    end = disk.left_by_a_worker()
    disk.clock.now_ms += HALF_AN_HOUR
    shard = disk.come_back()
    assert (shard.trusted_offset(end), shard.get(b"ada")) == (41, b"likes jazz")
    shard.close()


@pytest.mark.parametrize(
    ("later_ms", "log", "num_lost", "reason"),
    [
        (HALF_AN_HOUR + 1, KEPT_AN_HOUR, 0, "last in step 1800 s ago"),
        (-1, KEPT_AN_HOUR, 0, "the clock was set back"),
        (0, Changelog("another", 3_600_000), 0, "created again"),
        (0, KEPT_AN_HOUR, 1, "the log never reached"),
        (5_000, Changelog(KEPT_AN_HOUR.topic_id, 9_000), 0, "keeps deletes for 9 s"),
    ],
    ids=["old", "future", "another topic", "beyond the end", "the topic's own retention"],
)
def test_a_store_that_cannot_be_trusted_is_emptied_with_one_line(
    disk: Disk, later_ms: int, log: Changelog, num_lost: int, reason: str
) -> None:
    end = disk.left_by_a_worker() - num_lost
    disk.clock.now_ms += later_ms
    shard = disk.come_back(log)
    with capture_logs() as lines:
        assert shard.trusted_offset(end) is None
    assert [(line["store"], reason in line["reason"]) for line in lines] == [("summaries-0", True)]
    assert (on_disk(shard), shard.get(b"ada"), shard.offset) == ({}, None, None)
    shard.apply([(b"bob", b"likes folk")], 7)
    assert shard.trusted_offset(8) == 7  # in step with the log since the recovery began
    shard.close()


def test_a_store_without_a_stamp_it_understands_is_emptied(disk: Disk) -> None:
    disk.left_by_a_worker()
    stranger = disk.come_back()
    stranger.apply([(b"ada", b"likes jazz")], 41)
    stranger._db.put(STAMP_KEY, b"\0\0\0\0\0\0\0\x29")
    stranger.close()
    shard = disk.come_back()
    with capture_logs() as lines:
        assert shard.trusted_offset(42) is None
    assert ([line["reason"] for line in lines], on_disk(shard)) == (["it has no stamp that this version understands"], {})
    shard.close()


def test_a_new_store_begins_without_a_word(disk: Disk) -> None:
    shard = disk.come_back()
    with capture_logs() as lines:
        assert shard.trusted_offset(0) is None
    assert lines == []
    shard.close()


def test_a_recovery_makes_no_store_younger(disk: Disk) -> None:
    """What it has not read yet may be a delete: only what the broker takes from the owner says that nothing is missing."""
    end = disk.left_by_a_worker()
    disk.clock.now_ms += HALF_AN_HOUR
    shard = disk.come_back()
    assert shard.trusted_offset(end + 9) == 41
    shard.apply([(b"bob", b"likes folk")], 45)
    shard = reopened_on(disk, shard)
    disk.clock.now_ms += 1
    assert shard.trusted_offset(end + 9) is None
    shard.close()


def test_a_recovery_from_nothing_counts_from_its_beginning(disk: Disk) -> None:
    shard = disk.come_back()
    assert shard.trusted_offset(9) is None
    disk.clock.now_ms += HALF_AN_HOUR
    shard.apply([(b"ada", b"likes jazz")], 4)
    shard = reopened_on(disk, shard)
    assert shard.trusted_offset(9) == 4
    disk.clock.now_ms += 1
    assert shard.trusted_offset(9) is None
    shard.close()


def reopened_on(disk: Disk, shard: Shard) -> Shard:
    shard.close()
    return disk.come_back()


def test_an_idle_store_wants_refreshing_until_something_is_under_way(disk: Disk) -> None:
    shard = disk.come_back()
    shard.apply([], 1, disk.clock())
    wanted = []
    for step_ms in (HALF_AN_HOUR // 10 - 1, 1):
        disk.clock.now_ms += step_ms
        wanted.append(shard.wants_refreshing)
    barrier: Row = (OWNER_KEY, b"owner")
    shard.stage(barrier)
    wanted.append(shard.wants_refreshing)
    shard.apply([barrier], 2, disk.clock())
    wanted.append(shard.wants_refreshing)
    disk.clock.now_ms -= 1
    wanted.append(shard.wants_refreshing)
    assert wanted == [False, True, False, False, True]
    shard.close()


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def garbled(path: Path) -> None:
    path.write_bytes(b"\xaa" * 64 + path.read_bytes()[64:])


@pytest.mark.parametrize(
    ("files", "break_"),
    [("CURRENT", emptied), ("MANIFEST-*", garbled), ("MANIFEST-*", Path.unlink), ("*.sst", Path.unlink), ("*.sst", emptied)],
)
def test_a_store_that_rocksdb_cannot_open_is_removed_and_begins_anew(
    disk: Disk, files: str, break_: Callable[[Path], None]
) -> None:
    left_with_files(disk)
    broken = list(disk.path.glob(files))
    assert broken
    for path in broken:
        break_(path)
    with capture_logs() as lines:
        shard = disk.come_back()
    assert [line["reason"].startswith("RocksDB cannot open it: ") for line in lines] == [True]
    assert (shard.trusted_offset(10**6), on_disk(shard)) == (None, {})
    shard.close()


def left_with_files(disk: Disk, num_rows: int = 2_000) -> None:
    """A store whose rows are in files of their own, not in RocksDB's own log."""
    shard = disk.come_back()
    chance = random.Random(5)
    shard.apply([(b"%d" % number, chance.randbytes(100)) for number in range(num_rows)], num_rows - 1, disk.clock())
    shard._db.flush()
    shard.close()


def test_damage_that_shows_only_while_reading_is_met_once(disk: Disk) -> None:
    left_with_files(disk)
    for path in disk.path.glob("*.sst"):
        content = path.read_bytes()  # the rows are in front of the index, which RocksDB reads when it opens a file
        path.write_bytes(content[:5_000] + b"\xaa" * 64 + content[5_064:])
    shard = disk.come_back()
    with pytest.raises(Exception, match="Corruption"):
        list(shard.scan(b""))
    shard = reopened_on(disk, shard)
    assert (shard.trusted_offset(10**6), on_disk(shard)) == (None, {})
    shard.close()


@pytest.mark.parametrize(
    ("said", "damaged"),
    [
        ("Corruption: block checksum mismatch: stored = 1, computed = 2", True),
        ("IO error: No such file or directory: While opening a file for sequentially reading: /d/MANIFEST-5", True),
        ("IO error: No space left on device: While appending to file: /d/000020.log", False),
        ("Corruption: Corruption: IO error: Permission denied: While open a file for random read: /d/000009.sst", False),
        ("IO error: While lock file: /d/LOCK: Resource temporarily unavailable", False),
        ("IO error: While open a file for random read: /d/000011.sst: Too many open files", False),
        ("IO error: Input/output error: While pread: /d/000011.sst", False),
        ("File exists (os error 17)", False),
        ("Shutdown in progress", False),
    ],
)
def test_a_machine_that_cannot_is_no_damage(said: str, damaged: bool) -> None:
    assert is_damage(Exception(said)) == damaged


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
    return LoggedStore("logged://", app, table, options={"changelog": KEPT_AN_HOUR})


def recover(store: LoggedStore, partition: int, last_offset: int, *rows: Row) -> None:
    store.recover(TP(CHANGELOG, partition), rows, last_offset)


async def test_recovery_fills_each_partitions_own_shard(store: LoggedStore) -> None:
    recover(store, 0, 5, (b"a", b"1"), (OWNER_KEY, b"owner"))
    recover(store, 1, 9, (b"b", b"1"))
    recover(store, 1, 12, (b"b", None))
    assert [on_disk(store.shard(number)) for number in (0, 1)] == [{b"a": b"1"}, {}]
    assert [store.persisted_offset(TP(CHANGELOG, number)) for number in (0, 1, 2)] == [5, 12, None]
    await store.on_stop()


async def test_a_partition_that_went_away_is_closed_and_opens_again_where_it_was(store: LoggedStore, tmp_path: Path) -> None:
    recover(store, 0, 4, (b"a", b"1"))
    recover(store, 1, 9, (b"b", b"1"))
    kept = store.shard(0)
    # The same number of another topic says nothing about this table.
    await store.on_rebalance({TP(CHANGELOG, 0), TP("t.events", 1)}, {TP(CHANGELOG, 1)}, set())
    elsewhere = Shard(tmp_path / "pending-1", KEPT_AN_HOUR)  # RocksDB lets nobody open what is open
    assert on_disk(elsewhere) == {b"b": b"1"}
    elsewhere.close()
    assert store.shard(0) is kept
    assert store.persisted_offset(TP(CHANGELOG, 1)) == 9
    await store.on_stop()
    Shard(tmp_path / "pending-0", KEPT_AN_HOUR).close()


async def test_a_store_that_cannot_write_ends_the_worker(store: LoggedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    stops = stops_recorded(monkeypatch, "agents.store")
    store.shard(0).close()
    with pytest.raises(Stopped):
        recover(store, 0, 4, (b"a", b"1"))
    assert len(stops) == 1
    assert stops[0].startswith("the store of table pending cannot be written: ")


async def test_a_store_that_cannot_be_opened_ends_the_worker_and_stays(
    store: LoggedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops = stops_recorded(monkeypatch, "agents.store")
    other = Shard(tmp_path / "pending-0", KEPT_AN_HOUR)  # RocksDB lets nobody open what is open
    other.apply([(b"a", b"1")], 0)
    with pytest.raises(Stopped):
        store.persisted_offset(TP(CHANGELOG, 0))
    assert stops[0].startswith("the store of table pending cannot be opened: IO error: lock hold by current process")
    assert on_disk(other) == {b"a": b"1"}
    other.close()


async def test_the_offset_to_go_on_from_is_that_of_a_trusted_store(store: LoggedStore) -> None:
    recover(store, 0, 4, (b"a", b"1"))
    assert [store.trusted_offset(TP(CHANGELOG, 0), end) for end in (5, 4)] == [4, None]
    assert on_disk(store.shard(0)) == {}
    await store.on_stop()


async def test_no_record_comes_in_fausts_own_way(store: LoggedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    stops = stops_recorded(monkeypatch, "agents.store")
    with pytest.raises(Stopped):
        store.apply_changelog_batch([], bytes, bytes)
    assert len(stops) == 1


async def test_there_are_no_standbys(store: LoggedStore) -> None:
    assert not await store.need_active_standby_for(TP(CHANGELOG, 0))


def test_who_moved_away_is_taken_off_the_disk_once_for_each_number_of_partitions(
    shard: Shard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard.apply([(b"ada-lovelace-1815", b"who moved"), (b"bob", b"who stays")], 3)
    shard.sweep([])  # it is in a file
    shard.apply([(b"ada-lovelace-1815", None)], 4)
    shard.sweep_wholly(8)
    files = [path.read_bytes() for path in (tmp_path / "tables" / "pending-0").iterdir()]
    assert not [one for one in files if b"ada-lovelace-1815" in one or b"who moved" in one]
    assert shard.get(b"bob") == b"who stays"
    swept: list[list[bytes]] = []
    monkeypatch.setattr(shard, "sweep", lambda prefixes: swept.append(list(prefixes)))
    shard.sweep_wholly(8)
    assert swept == []
    shard.sweep_wholly(16)
    assert swept == [[b""]]
