"""Ending: what becomes of all that an owned partition keeps of a user who is forgotten, on its topics and on its disk.

Place in the flow: inside :mod:`agents.owned`. On the pending topic it is one order of one lane: the decision; the fence, which
is the commit point; the deletes of all rows; and that they are deleted. What a crash cuts short of these is finished before
anything of a new life can be there. Behind them the kept versions go, and then the summary.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from agents.crash_points import reached
from agents.fences import Fences
from agents.history import History
from agents.store import Row, Shard
from agents.writer import PartitionWriter, Then
from prefstream.summaries import decode_summary
from prefstream.topics import TopicNames
from streams.controls import Decided, decode_decided, encode_decided
from streams.forgetting import ALL_GONE, BEGUN, ROWS_GONE, Fence
from streams.keys import USER_KINDS, Kind, controls_key, decided_key, failures_key, recent_ids_key, user_prefix


class Ending:
    """The ends of lives in one owned partition."""

    def __init__(
        self, writer: PartitionWriter, topics: TopicNames, shards: Mapping[str, Shard], fences: Fences, history: History
    ) -> None:
        self._writer = writer
        self._topics = topics
        self._shards = shards
        self._pending = shards[topics.pending]
        self._summaries = shards[topics.summaries]
        self._fences = fences
        self._history = history

    def keys(self, kind: Kind, user: bytes) -> list[bytes]:
        """The keys of the user's rows of this kind, as far as they are durable and not about to be deleted."""
        return [key for key, _ in self._pending.scan(user_prefix(kind, user)) if self._pending.get(key) is not None]

    def begin(self, user: bytes, fence: Fence, decided: Decided, fenced: Then, then: Then) -> None:
        """Put the fence behind the user's life, and delete it. ``fenced`` is called when that is decided for good.

        ``then`` when it is deleted: nobody can read the rows, the versions or the summary any more from this call on.
        """
        self._writer.put(self._topics.pending, decided_key(user, fence.position), encode_decided(decided))
        self._fences.write(user, fence)
        row = self._tombstone(user)

        def erased() -> None:
            fenced()
            reached("forget.fenced")
            self._erase_versions(user, fence, row, then)

        self._erase_rows(user, fence, erased)

    def finish(self, user: bytes, then: Then) -> None:
        """After a restore: what a crash cut short of it."""
        fence = self._fences.of(user)
        if fence is None:
            raise LookupError("a forget is decided, and there is no fence")
        stored = self._summaries.get(user)
        if stored and decode_summary(stored).version > fence.last_version:  # of the new life, so all else is done
            then()
            return
        row = self._tombstone(user)
        if fence.stage == BEGUN:
            self._erase_rows(user, fence, lambda: self._erase_versions(user, fence, row, then))
        else:
            self._erase_versions(user, fence, row, then)

    def _tombstone(self, user: bytes) -> Row | None:
        """That of the summary, if there is one; it is sent behind the versions."""
        return self._writer.stage(self._topics.summaries, user, None) if self._summaries.get(user) is not None else None

    def _erase_rows(self, user: bytes, fence: Fence, then: Then) -> None:
        """Delete all rows of the user's past. Of decisions, receipts that are under way stay: they quote nothing."""
        for key in (*self.keys(b"e", user), failures_key(user), controls_key(user), recent_ids_key(user)):
            if self._pending.get(key) is not None:
                self._writer.put(self._topics.pending, key, None)
        for key in self.keys(b"r", user):
            decided = decode_decided(self._pending.get(key) or b"")
            if decided.summary:
                self._writer.put(self._topics.pending, key, encode_decided(replace(decided, summary=b"")))
        self._fences.write(user, replace(fence, stage=ROWS_GONE), then)

    def _erase_versions(self, user: bytes, fence: Fence, row: Row | None, then: Then) -> None:
        """Delete the kept versions, and the summary behind them: a version on its way waits there for its own row."""

        def versions_gone() -> None:
            if row is None:
                then()
            else:
                self._writer.send(self._topics.summaries, row, then)

        self._history.forget(user, fence.last_version, versions_gone)

    def decided(self, user: bytes, position: int) -> Decided | None:
        """The decision at this offset, until its receipt is durable."""
        stored = self._pending.get(decided_key(user, position))
        return decode_decided(stored) if stored else None

    def amend(self, user: bytes, decided: Decided, then: Then) -> None:
        """Keep a decision whose receipt says more by now."""
        key = decided_key(user, decided.receipt.command_position)
        self._writer.put(self._topics.pending, key, encode_decided(decided), then)

    async def sweep(self, users: Iterable[bytes]) -> None:
        """Take what is deleted of these users off the disk. In a thread: it takes milliseconds to seconds."""
        users = list(users)
        prefixes = {
            self._topics.pending: [user_prefix(kind, user) for user in users for kind in USER_KINDS],
            self._topics.history: [user_prefix(b"v", user) for user in users],
            self._topics.summaries: users,
        }
        for topic, shard in self._shards.items():
            await asyncio.to_thread(shard.sweep, prefixes[topic])

    async def sweep_rest(self) -> None:
        """The same for the rows of receipts of whoever it is."""
        await asyncio.to_thread(self._pending.sweep, [b"r"])

    async def sweep_departed(self, num_partitions: int) -> None:
        """The same of all tables for whoever moved away when there came to be so many partitions; once for each store."""
        for shard in self._shards.values():
            await asyncio.to_thread(shard.sweep_wholly, num_partitions)

    def rest_swept(self) -> None:
        """Nothing of these rows is left on the disk."""
        self._fences.all_swept()

    def swept(self, user: bytes, position: int) -> None:
        """Nothing of who was forgotten at this offset is left on the disk."""
        fence = self._fences.of(user)
        if fence is not None and fence.position == position:
            self._fences.write(user, replace(fence, stage=ALL_GONE))
