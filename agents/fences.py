"""Fences: the forget fences of one owned partition, in memory and in its table.

Place in the flow: inside :mod:`agents.owned`. Asked for every event; where nobody was ever forgotten nothing is hashed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from agents.failstop import stop_now
from agents.store import Shard
from agents.writer import Then
from streams.controls import NO_CONTROLS, Controls
from streams.forgetting import ALL_GONE, FIRST_LIFE, ROWS_GONE, Fence, Hiding, Life, decode_fence, encode_fence
from streams.keys import FenceKey, fence_key, parse_key

Put = Callable[[bytes, bytes | None, Then | None], None]


class Fences:
    """Who was forgotten, by keyed hash. ``put`` writes a row of the table ``pending``."""

    def __init__(self, pending: Shard, put: Put, hiding: Hiding) -> None:
        self._pending = pending
        self._put = put
        self._hiding = hiding
        self._digests: set[bytes] = set()
        self._unswept: set[bytes] = set()

    def load(self) -> None:
        """Know those of the table, after a recovery. Ends the worker where they were made with another key."""
        for stored_key, value in self._pending.scan(b"x"):
            key, fence = parse_key(stored_key), decode_fence(value)
            if not isinstance(key, FenceKey) or fence.check != self._hiding.check:
                stop_now(
                    "PREFSTREAM_FORGET_KEY is not the one with which people were forgotten here: give every worker the key of "
                    "that time. With another one nobody of them is recognised, and their late events would be taken in again"
                )
            self._digests.add(key.digest)
            if fence.stage != ALL_GONE:
                self._unswept.add(key.digest)

    def of(self, user: bytes) -> Fence | None:
        """The fence of a user who was forgotten."""
        if not self._digests or (digest := self._hiding.digest(user)) not in self._digests:
            return None
        stored = self._pending.get(fence_key(digest))
        return decode_fence(stored) if stored else None

    def life(self, user: bytes) -> Life:
        """Which of the user's lives it is."""
        fence = self.of(user)
        return fence.life if fence else FIRST_LIFE

    def controls(self, user: bytes) -> Controls:
        """What a user without controls of this life has asked for: an opt-out holds in every later one."""
        fence = self.of(user)
        return Controls(is_opted_out=True) if fence is not None and fence.is_opted_out else NO_CONTROLS

    @property
    def check(self) -> bytes:
        """What tells this key from another."""
        return self._hiding.check

    def write(self, user: bytes, fence: Fence, then: Then | None = None) -> None:
        """Keep the fence, in place of an older one of the user. It counts from now on."""
        digest = self._hiding.digest(user)
        self._digests.add(digest)
        self._put(fence_key(digest), encode_fence(fence), then)

    def unswept_beside(self, users: Iterable[bytes]) -> bool:
        """Whether the disk may hold something of others who were forgotten before the restore; they are kept in mind."""
        self._unswept -= {self._hiding.digest(user) for user in users}
        return bool(self._unswept)

    def all_swept(self) -> None:
        """The disk holds nothing of these any more."""
        for digest in self._unswept:
            stored = self._pending.get(fence_key(digest))
            if stored and (fence := decode_fence(stored)).stage == ROWS_GONE:
                self._put(fence_key(digest), encode_fence(replace(fence, stage=ALL_GONE)), None)
        self._unswept.clear()
