"""Forgetting: the fence that a `forget` leaves behind, and which events and commands belong to the past it ended.

Place in the flow: collect makes the fence in the turn in which it reads the command, and asks it about whatever comes later.
The fence is a row under a keyed hash of the user, never under their id. It is the commit point of a `forget`, and it stays:
the public topic goes on with the next version, and who has opted out stays opted out, in every later life.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final, Literal

import msgspec
from msgspec import Struct

from prefstream.commands import Command, CommandBase, Forget
from prefstream.events import Event
from streams.ledger import Outcome
from streams.places import source_name
from streams.records import Detailed

_DIGEST_BYTES = 32
_CHECK_BYTES = 8

Stage = Literal[0, 1, 2]
BEGUN: Final = 0
ROWS_GONE: Final = 1
ALL_GONE: Final = 2
"""How far a `forget` is: decided; the user's rows are deleted too; nothing of the user is left on the disk either."""


class Hiding(Struct, frozen=True):
    """How users are hidden in fences: the key of the hash, and a ``check`` that tells one key from another."""

    key: bytes
    check: bytes

    def digest(self, user: bytes) -> bytes:
        """The keyed hash of a user."""
        return blake2b(user, digest_size=_DIGEST_BYTES, key=self.key, person=b"forget fence").digest()


def hiding(secret: str) -> Hiding:
    """The hiding with this secret, of any length. With none, whoever reads a fence can try out user ids."""
    key = blake2b(secret.encode(), digest_size=_DIGEST_BYTES).digest() if secret else b""
    return Hiding(key, blake2b(b"", digest_size=_CHECK_BYTES, key=key, person=b"forget check").digest())


class Life(Struct, frozen=True):
    """Which of a user's lives it is: the first, or the one that ``began_at`` the offset of a `forget`.

    ``last_version`` is that of the lives before it.
    """

    began_at: int = -1
    last_version: int = 0


FIRST_LIFE = Life()


class Fence(Struct, frozen=True, array_like=True):
    """A row ``x``. ``position`` is the offset of the newest `forget` on the keyed topic, ``command_id`` the id it came with.

    Erased are events whose place in their source lies below ``ends`` (by ``topic-id/partition``), and those with a time not
    after ``at``. The life that it ended had the versions from ``first_version`` to ``last_version``, ``num_applied`` events in
    its summary and ``num_ended`` accepted ones in all; ``num_erased`` were in that life and those before it. ``check`` is that
    of the key under which the row lies.
    """

    position: int
    command_id: str
    at: datetime
    ends: dict[str, int]
    first_version: int
    last_version: int
    num_applied: int
    num_ended: int
    num_erased: int
    is_opted_out: bool
    check: bytes
    stage: Stage = BEGUN

    @property
    def life(self) -> Life:
        """The life that begins behind it."""
        return Life(self.position, self.last_version)


encode_fence = msgspec.msgpack.Encoder().encode
decode_fence = msgspec.msgpack.Decoder(Fence).decode


class Ended(Struct, frozen=True):
    """What a `forget` finds of the life that it ends: versions and numbers of events, by what became of them."""

    last_version: int = 0
    num_applied: int = 0
    num_pending: int = 0
    num_given_up: int = 0
    is_opted_out: bool = False


def fence_of(command: Forget, arrival: Detailed, position: int, ended: Ended, before: Fence | None, check: bytes) -> Fence:
    """The fence of the `forget` at this offset of the keyed topic, behind the fence that there was ``before``.

    A command dated in the future counts as of its arrival: else nothing could be learnt until then.
    """
    first_version = before.last_version + 1 if before else 1
    arrived_at = datetime.fromtimestamp(arrival.arrived_at_ms / 1_000, UTC)
    at, ends = min(command.at, arrived_at), dict(arrival.ends)
    own = source_name(arrival.origin)
    ends[own] = max(ends.get(own, 0), arrival.origin.offset + 1)
    num_ended = num_erased = ended.num_applied + ended.num_pending + ended.num_given_up
    if before is not None:
        at, ends, num_erased = max(at, before.at), _highest(ends, before.ends), num_erased + before.num_erased
    return Fence(
        position=position,
        command_id=command.id,
        at=at,
        ends=ends,
        first_version=first_version,
        last_version=ended.last_version,
        num_applied=ended.num_applied,
        num_ended=num_ended,
        num_erased=num_erased,
        is_opted_out=ended.is_opted_out,
        check=check,
    )


def _highest(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {source: max(one.get(source, 0), other.get(source, 0)) for source in {**one, **other}}


def fate_behind(fence: Fence, arrival: Detailed, record: Event | Command) -> Outcome | None:
    """What becomes of something that is read behind the fence; ``None`` where it belongs to the new life.

    A command counts by its place alone: it was published after the `forget` was taken in, whatever its sender's clock says.
    """
    is_below = _lies_below(fence, arrival)
    match record:
        case Forget(id=command_id):
            if is_below:
                return "redelivered"
            return "duplicate" if command_id and command_id == fence.command_id else None
        case CommandBase():
            return "erased" if is_below else None
        case _:
            return "erased" if is_below or record.at <= fence.at else None


def _lies_below(fence: Fence, arrival: Detailed) -> bool:
    places = (arrival.origin,) if arrival.began is None else (arrival.origin, arrival.began)
    return any(place.offset < fence.ends.get(source_name(place), 0) for place in places)
