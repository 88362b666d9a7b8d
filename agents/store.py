"""The store: one RocksDB per table and owned partition, written only when the changelog record is acknowledged.

Place in the flow: below the three tables. *Log first, store second*: a row enters RocksDB in the acknowledgement
of its changelog record, in one batch with a stamp that holds the changelog offset, so the store is never ahead of the log and
a killed worker needs no wipe. Until then the row lives in memory (``stage``), where the worker reads its own writes. A store
that cannot be trusted (:mod:`agents.stamps`) or read is thrown away, and recovered from the log.

Faust owns assignment and recovery and reaches the store through :class:`LoggedStore`; stock Faust writes its RocksDB
before the log has the record.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import faust
import structlog
from faust.stores import STORES
from faust.stores.base import Store
from faust.types import TP, EventT
from rocksdict import (
    BlockBasedOptions,
    BottommostLevelCompaction,
    Cache,
    CompactOptions,
    Options,
    Rdict,
    WriteBatch,
)

from agents.crash_points import reached
from agents.failstop import stop_now
from agents.stamps import Changelog, Stamp, decode_stamp, encode_stamp, why_distrusted
from prefstream.topics import OWNER_KEY

SCHEME = "logged"
STORES.aliases[SCHEME] = "agents.store:LoggedStore"

# Like the owner's key neither a user id nor a key kind: 0xff never occurs in UTF-8 and is no kind byte.
STAMP_KEY = b"\xffstamp"
SWEPT_KEY = b"\xffswept"
SWEPT_WHOLLY_KEY = b"\xffswept wholly"

_WRITE_BUFFER_BYTES = 16 << 20
# RocksDB's own journal of its files names their first and last keys, and what was in it before. So small, it is written anew,
# without them, whenever a file comes or goes.
_MANIFEST_BYTES = 1
_AFTER_ALL = b"\xff" * 9  # behind every key with the prefix: no offset has so many
_BLOCK_CACHE = Cache(64 << 20)  # one for all partitions: RocksDB's own default would take it per database

_SIZES = ("total-sst-files-size", "size-all-mem-tables")
_WHOLLY = CompactOptions()
_WHOLLY.set_bottommost_level_compaction(BottommostLevelCompaction.force_optimized())
_WHOLLY.set_exclusive_manual_compaction(False)

Row = tuple[bytes, bytes | None]

log = structlog.get_logger()


def _rocksdb_options() -> Options:
    blocks = BlockBasedOptions()
    blocks.set_block_cache(_BLOCK_CACHE)
    blocks.set_bloom_filter(10, False)
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(blocks)
    options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(2)
    options.set_max_open_files(512)
    options.set_max_background_jobs(2)
    options.set_keep_log_file_num(2)
    options.set_max_manifest_file_size(_MANIFEST_BYTES)
    return options


def wall_clock_ms() -> int:
    """Now, in milliseconds since 1970: the machine's clock, not the agents', which stands still while a machine is suspended.

    A store must not look younger for that.
    """
    return time.time_ns() // 1_000_000


class Shard:
    """One partition of one table: RocksDB, and above it the rows that are sent and not yet acknowledged."""

    def __init__(self, path: Path, changelog: Changelog, now_ms: Callable[[], int] = wall_clock_ms) -> None:
        self._path = path
        self._changelog = changelog
        self._now_ms = now_ms
        self._staged: dict[bytes, Row] = {}
        self._files = threading.Lock()  # held while they are swept, or closed
        self._is_closed = False
        self._db = self._open()
        stamp = self._stamp()
        self.in_step_at_ms = stamp.in_step_at_ms if stamp else now_ms()

    def _open(self) -> Rdict:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._damage_mark.exists():
            self._remove("RocksDB found it damaged while it was in use")
        try:
            return Rdict(str(self._path), _rocksdb_options())
        except Exception as error:
            if not is_damage(error):
                raise
            self._remove(f"RocksDB cannot open it: {error}")
            return Rdict(str(self._path), _rocksdb_options())

    def _remove(self, reason: str) -> None:
        log.warning("store thrown away, to be recovered from its changelog", store=self._path.name, reason=reason)
        shutil.rmtree(self._path)

    @property
    def _damage_mark(self) -> Path:
        return self._path / "DAMAGED"

    def _note_damage(self, error: Exception) -> None:
        """Damage that shows only while the store is in use ends the worker; the next one must not meet it again."""
        if is_damage(error):
            with suppress(OSError):
                self._damage_mark.touch()

    def _stamp(self) -> Stamp | None:
        return decode_stamp(self.get(STAMP_KEY))

    def get(self, key: bytes) -> bytes | None:
        """The newest value of a key, acknowledged or not."""
        staged = self._staged.get(key)
        if staged is not None:
            return staged[1]
        try:
            value: bytes | None = self._db.get(key)
        except Exception as error:
            self._note_damage(error)
            raise
        return value

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The stored rows whose key starts with ``prefix``, in key order. Only rows already acknowledged."""
        rows = self._db.iter()
        rows.seek(prefix)
        try:
            while rows.valid():
                key = rows.key()
                if not key.startswith(prefix):
                    return
                yield key, rows.value()
                rows.next()
            rows.status()  # raises: at a damaged block an iterator only ends, as if there were no more rows
        except Exception as error:
            self._note_damage(error)
            raise

    def stage(self, row: Row) -> None:
        """Remember a row that is on its way to the log."""
        self._staged[row[0]] = row

    def unstage(self) -> None:
        """Forget rows that a former ownership had on their way: what became of them is in the log, or nowhere."""
        self._staged.clear()

    def apply(self, rows: Iterable[Row], last_offset: int, in_step_at_ms: int | None = None) -> None:
        """Store acknowledged rows and the offset of the last of them, in one batch.

        ``in_step_at_ms``: an instant at which the log held nothing beyond them. A recovery, which knows of none, leaves it out.
        """
        if in_step_at_ms is not None:
            self.in_step_at_ms = in_step_at_ms
        batch = WriteBatch(raw_mode=True)
        for row in rows:
            key, value = row
            if value is None:
                batch.delete(key)
            elif key != OWNER_KEY:
                batch.put(key, value)
            if self._staged.get(key) is row:
                del self._staged[key]
        log_now = self._changelog
        stamp = Stamp(log_now.topic_id, last_offset, self.in_step_at_ms, log_now.num_partitions)
        batch.put(STAMP_KEY, encode_stamp(stamp))
        try:
            self._db.write(batch)
        except Exception as error:
            self._note_damage(error)
            raise

    @property
    def offset(self) -> int | None:
        """The changelog offset up to which this shard holds the log."""
        stamp = self._stamp()
        return stamp.offset if stamp else None

    def trusted_offset(self, end: int) -> int | None:
        """The changelog offset after which a recovery may go on; ``None``, and an empty store, when it has to begin anew.

        ``end`` is the offset of the log's last record.
        """
        stamp = self._stamp()
        reason = why_distrusted(stamp, self._changelog, end, self._now_ms())
        if stamp is not None and reason is None:
            return stamp.offset
        if reason is not None and any(True for _ in self.scan(b"")):
            self._db.close()
            self._remove(reason)
            self._db = self._open()
        self.in_step_at_ms = self._now_ms()
        return None

    @property
    def num_bytes(self) -> int:
        """What RocksDB keeps of this shard: its files, and what it has not written to one yet."""
        return sum(self._db.property_int_value(f"rocksdb.{name}") or 0 for name in _SIZES)

    @property
    def wants_refreshing(self) -> bool:
        """Whether its owner had nothing to write for so long that the stamp is about to become old."""
        is_under_way = self.get(OWNER_KEY) is not None  # it is never stored, so it is on its way
        age_ms = self._now_ms() - self.in_step_at_ms
        return not is_under_way and not 0 <= age_ms < self._changelog.refresh_after_ms

    def sweep(self, prefixes: Iterable[bytes]) -> None:
        """Take what is deleted under these prefixes off the disk: until then it lies in older files, and in RocksDB's journals.

        Called in a thread of its own.
        """
        with self._files:
            if self._is_closed:
                return
            self._db.flush()
            for prefix in prefixes:
                self._db.compact_range(prefix, prefix + _AFTER_ALL, _WHOLLY)
            # One more file: the journal that is begun with it has no longer those that are gone.
            self._db.put(SWEPT_KEY, b"")
            self._db.flush()
            # It says of which keys the files were rewritten. RocksDB goes on writing to it.
            with suppress(FileNotFoundError):
                os.truncate(self._path / "LOG", 0)

    def sweep_wholly(self, num_partitions: int) -> None:
        """Take all that is deleted off the disk, once for each number of partitions. Called in a thread of its own.

        Where users moved away, a recovery stores what the log still has of them, and then deletes it.
        """
        wanted = str(num_partitions).encode()
        with self._files:
            if self._is_closed or self._db.get(SWEPT_WHOLLY_KEY) == wanted:
                return
        self.sweep([b""])
        with self._files:
            if not self._is_closed:
                self._db.put(SWEPT_WHOLLY_KEY, wanted)

    def close(self) -> None:
        """Let go of the files, so that another owner in this process can open them again."""
        with self._files:
            self._is_closed = True
            self._db.close()


# What RocksDB cannot do on this machine now, whatever the files hold: throwing them away would not help.
_NOT_THE_FILES = tuple(
    os.strerror(code)
    for code in (
        errno.EACCES,
        errno.EPERM,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.EIO,
        errno.EAGAIN,
        errno.ENOLCK,
    )
)


def is_damage(error: Exception) -> bool:
    """Whether RocksDB says that files are broken or missing; it says so in words only, and wraps one reason into another."""
    said = str(error)
    if any(cause in said for cause in _NOT_THE_FILES):
        return False
    return said.startswith("Corruption:") or os.strerror(errno.ENOENT) in said


class DirectoryUnusable(Exception):
    """The directory for the tables cannot be had: it cannot be written, or another process keeps its tables there."""


def claim_directory(directory: Path) -> int:
    """Make the directory and hold it for this process. Returns the descriptor that holds it until the process ends.

    Raises :class:`DirectoryUnusable`: RocksDB would fail later, in the middle of a rebalance.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = os.open(directory / "worker.lock", os.O_CREAT | os.O_RDWR)
    except OSError as error:
        raise DirectoryUnusable(
            f"PREFSTREAM_DATA_DIRECTORY: {directory}: {error.strerror}; name one that can be written"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise DirectoryUnusable(
            f"another worker uses {directory}: give each worker a PREFSTREAM_DATA_DIRECTORY of its own"
        ) from None
    return lock


class LoggedStore(Store[bytes, bytes]):
    """What Faust sees of a table's shards: it opens and closes them with the assignment and fills them in recovery.

    The table's options name the :class:`agents.stamps.Changelog`.
    """

    def __init__(self, url: Any, app: faust.App, table: Any, *, options: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(url, app, table, options=options, **kwargs)
        self._log: Changelog = options["changelog"]
        self._shards: dict[int, Shard] = {}

    def shard(self, partition: int) -> Shard:
        """The shard of an owned partition, opened on first use."""
        shard = self._shards.get(partition)
        if shard is None:
            shard = self._shards[partition] = self._open(partition)
        return shard

    def _open(self, partition: int) -> Shard:
        try:
            return Shard(self._path(partition), self._log)
        except Exception as error:
            stop_now(f"the store of table {self.table_name} cannot be opened", error)

    @property
    def num_bytes(self) -> int:
        """What RocksDB keeps of the owned partitions."""
        return sum(shard.num_bytes for shard in self._shards.values())

    def _path(self, partition: int) -> Path:
        return Path(self.app.conf.tabledir) / f"{self.table_name}-{partition}"

    def persisted_offset(self, tp: TP) -> int | None:
        """The changelog offset up to which this partition's store holds the log."""
        return self.shard(tp.partition).offset

    def trusted_offset(self, tp: TP, end: int) -> int | None:
        """The changelog offset a recovery of this partition may start after, given that of the log's last record."""
        try:
            return self.shard(tp.partition).trusted_offset(end)
        except Exception as error:
            stop_now(f"the store of table {self.table_name} can neither be used nor thrown away", error)

    async def need_active_standby_for(self, tp: TP) -> bool:
        """No standbys: a partition is recovered where it is owned."""
        return False

    async def on_rebalance(self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0) -> None:
        """Close what is no longer owned; recovery opens what is."""
        kept = {tp.partition for tp in assigned if tp.topic == self._changelog}
        for partition in set(self._shards) - kept:
            self._shards.pop(partition).close()

    @property
    def _changelog(self) -> str:
        name: str = self.table.changelog_topic.get_topic_name()
        return name

    def recover(self, tp: TP, rows: Sequence[Row], last_offset: int) -> None:
        """Recovery: store changelog records of one partition, and the offset of the last of them."""
        try:
            reached("recovery.storing", self._changelog)
            self.shard(tp.partition).apply(rows, last_offset)
        except Exception as error:
            stop_now(f"the store of table {self.table_name} cannot be written", error)

    def apply_changelog_batch(
        self, batch: Iterable[EventT], to_key: Callable[[Any], Any], to_value: Callable[[Any], Any]
    ) -> None:
        """Faust's own way to recover, which ours does not take: its records would come past the check of their order."""
        stop_now(f"changelog records of table {self.table_name} came in Faust's own way")

    def reset_state(self) -> None:
        """Faust asks for this only when the worker was started to throw its tables away, which ours is not."""

    async def backup_partition(self, tp: TP | int, flush: bool = True, purge: bool = False, keep: int = 1) -> None:
        """No backups: the changelog is the backup."""

    def restore_backup(self, tp: TP | int, latest: bool = True, backup_id: int = 0) -> None:
        """No backups: the changelog is the backup."""

    async def on_stop(self) -> None:
        """Close every shard."""
        for shard in self._shards.values():
            shard.close()
        self._shards.clear()
