"""Keys of the flow: which partition a user belongs to, and the raw keys of a user's rows in ``pending`` and ``history``.

A row's key is one kind byte, the length of the user id (u16, big-endian), the user id in UTF-8, and a suffix::

    e  len  user  offset (u64, big-endian)   one pending event, at its offset in the keyed topic
    f  len  user                             failures, what is suspect, and how many events were given up
    c  len  user                             controls
    i  len  user                             recent event ids
    r  len  user  offset (u64, big-endian)   one command that is decided, until its receipt is durable
    v  len  user  version (u64, big-endian)  one kept version, in the table ``history``
    x  len  hash                             a forget fence: the keyed hash of a user who was forgotten, in place of the id

A partition has two rows of its own: ``l``, the ledger, and ``b``, what it owes of budgets.

The length in front makes a prefix scan exact: no user id, whatever bytes it holds, is a prefix of another user's rows.
"""

from __future__ import annotations

from struct import Struct as Layout
from typing import Literal

from msgspec import Struct

from streams.errors import CorruptKey

UserRowKind = Literal[b"f", b"c", b"i"]
Kind = Literal[b"e", b"f", b"c", b"i", b"r", b"v", b"x"]
USER_KINDS: tuple[Kind, ...] = (b"e", b"f", b"c", b"i", b"r")  # whose keys hold a user id

MAX_USER_BYTES = 0xFFFF
_HEAD = Layout(">sH")
_OFFSET = Layout(">Q")
_WORDS = Layout("<I")
_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_U32 = 0xFFFFFFFF


class EventKey(Struct, frozen=True):
    """The key of one pending event."""

    user: bytes
    offset: int


class DecidedKey(Struct, frozen=True):
    """The key of one decided command."""

    user: bytes
    offset: int


class VersionKey(Struct, frozen=True):
    """The key of one kept version."""

    user: bytes
    version: int


class FenceKey(Struct, frozen=True):
    """The key of a forget fence, by the keyed hash of the user."""

    digest: bytes


class UserKey(Struct, frozen=True):
    """The key of one of the single rows a user has."""

    kind: UserRowKind
    user: bytes


def murmur2_partition(key: bytes, num_partitions: int) -> int:
    """The partition Kafka's default partitioner gives ``key``, from 0 to ``num_partitions - 1``."""
    return (murmur2(key) & 0x7FFFFFFF) % num_partitions


def murmur2(key: bytes) -> int:
    """Kafka's 32-bit murmur2 of ``key``, unsigned."""
    hashed = _SEED ^ len(key)
    whole = len(key) & ~3
    for (word,) in _WORDS.iter_unpack(key[:whole]):
        mixed = word * _MULTIPLIER & _U32
        hashed = (hashed * _MULTIPLIER & _U32) ^ ((mixed ^ mixed >> 24) * _MULTIPLIER & _U32)
    if rest := key[whole:]:
        hashed = (hashed ^ int.from_bytes(rest, "little")) * _MULTIPLIER & _U32
    hashed = (hashed ^ hashed >> 13) * _MULTIPLIER & _U32
    return hashed ^ hashed >> 15


def user_prefix(kind: Kind, user: bytes) -> bytes:
    """What every key of this kind and user starts with, and no other key does. Raises `ValueError` above 65,535 bytes."""
    if len(user) > MAX_USER_BYTES:
        raise ValueError(f"a user id of {len(user)} bytes is longer than {MAX_USER_BYTES}")
    return _HEAD.pack(kind, len(user)) + user


def event_key(user: bytes, offset: int) -> bytes:
    """The key of a pending event; the keys of one user sort by offset (0 to 2**64 - 1)."""
    return user_prefix(b"e", user) + _OFFSET.pack(offset)


def event_offset(key: bytes) -> int:
    """The offset in the key of a pending event."""
    offset: int = _OFFSET.unpack(key[-_OFFSET.size :])[0]
    return offset


def decided_key(user: bytes, offset: int) -> bytes:
    """The key of a decided command, by its offset in the keyed topic."""
    return user_prefix(b"r", user) + _OFFSET.pack(offset)


def version_key(user: bytes, version: int) -> bytes:
    """The key of a kept version; the keys of one user sort by version (0 to 2**64 - 1)."""
    return user_prefix(b"v", user) + _OFFSET.pack(version)


def failures_key(user: bytes) -> bytes:
    """The key of a user's failures and ``not_before``."""
    return user_prefix(b"f", user)


def controls_key(user: bytes) -> bytes:
    """The key of a user's controls."""
    return user_prefix(b"c", user)


def recent_ids_key(user: bytes) -> bytes:
    """The key of a user's recent event ids."""
    return user_prefix(b"i", user)


def fence_key(digest: bytes) -> bytes:
    """The key of a forget fence."""
    return user_prefix(b"x", digest)


def parse_key(key: bytes) -> EventKey | DecidedKey | VersionKey | FenceKey | UserKey:
    """What a stored key stands for. Raises `CorruptKey` for a key that none of the functions above makes."""
    if len(key) < _HEAD.size:
        raise CorruptKey(f"a key of {len(key)} bytes has no head")
    kind, length = _HEAD.unpack_from(key)
    user, suffix = key[_HEAD.size : _HEAD.size + length], key[_HEAD.size + length :]
    if len(user) < length:
        raise CorruptKey(f"a key of kind {kind!r} ends inside its user id")
    match kind, len(suffix):
        case b"e", _OFFSET.size:
            return EventKey(user, _OFFSET.unpack(suffix)[0])
        case b"r", _OFFSET.size:
            return DecidedKey(user, _OFFSET.unpack(suffix)[0])
        case b"v", _OFFSET.size:
            return VersionKey(user, _OFFSET.unpack(suffix)[0])
        case b"x", 0:
            return FenceKey(user)
        case ((b"f" | b"c" | b"i"), 0):
            return UserKey(kind, user)
    raise CorruptKey(f"no key has kind {kind!r} and a suffix of {len(suffix)} bytes")
