"""History: the newest versions of each user's summary in one owned partition, written ahead of the summaries they are of.

Place in the flow: below :mod:`agents.owned`. A version's row is durable before the version is published, so a crash leaves at
most a row above the current version, which nobody reads and the next version overwrites. The row that is too old goes with it.
"""

from __future__ import annotations

from agents.store import Row, Shard
from agents.writer import PartitionWriter, Then
from prefstream.history import NUM_KEPT_VERSIONS, KeptVersion, decode_version, encode_version, is_kept
from streams.keys import user_prefix, version_key


class History:
    """The kept versions of one partition's users."""

    def __init__(self, writer: PartitionWriter, topic: str, shard: Shard) -> None:
        self._writer = writer
        self._topic = topic
        self._shard = shard

    def keep(self, user: bytes, kept: KeptVersion, then: Then) -> None:
        """Keep a version; ``then`` is called when that is durable, and the one that is too old is gone."""
        self.send(self.stage(user, kept), then)

    def stage(self, user: bytes, kept: KeptVersion) -> list[Row]:
        """The rows of a version, readable at once and to be sent later."""
        too_old = kept.version - NUM_KEPT_VERSIONS
        rows = [self._writer.stage(self._topic, version_key(user, kept.version), encode_version(kept))]
        if too_old > 0:
            rows.append(self._writer.stage(self._topic, version_key(user, too_old), None))
        return rows

    def send(self, rows: list[Row], then: Then) -> None:
        """Send staged rows; ``then`` is called when they are durable."""
        *first, last = rows
        for row in first:
            self._writer.send(self._topic, row)
        self._writer.send(self._topic, last, then)

    def at(self, user: bytes, version: int, current: int) -> KeptVersion | None:
        """A version of somebody whose current version this is; ``None`` where it is not kept."""
        stored = self._shard.get(version_key(user, version)) if is_kept(version, current) else None
        return decode_version(stored) if stored else None

    def forget(self, user: bytes, current: int, then: Then) -> None:
        """Delete all versions of somebody whose current version this is, also what a crash left above it.

        ``then`` is called when that is durable, and every version that was sent before.
        """
        stored = {key for key, _ in self._shard.scan(user_prefix(b"v", user))}
        newest = range(max(1, current - NUM_KEPT_VERSIONS), current + 1)  # some may not be stored yet
        keys = sorted(stored.union(version_key(user, version) for version in newest))
        kept = [key for key in keys if self._shard.get(key) is not None]
        if not kept:
            then()
        for key in kept:
            self._writer.put(self._topic, key, None, then if key == kept[-1] else None)
