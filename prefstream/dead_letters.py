"""DeadLetter: an input that can never succeed, kept with its reason and its original bytes so that it can be replayed."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from prefstream.events import Instant

DeadLetterReason = Literal[
    "undecodable",  # the bytes are not what the adapter reads
    "unknown_type",  # decoded, but of no type of the contract
    "missing_user",  # no user to keep it for
    "invalid",  # a field has a wrong type or an impossible value
    "too_large",  # larger than an event may be
    "unsupported",  # understood, but nothing here acts on it yet
]


class Origin(Struct, frozen=True, array_like=True):
    """Where an event came from: source topic id, partition, offset, and the index within the record.

    The topic's *id*, not its name: a topic deleted and created again is another topic with the same name.
    """

    topic: str
    partition: int
    offset: int
    index: int = 0


class DeadLetter(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One refused input. ``value_size`` is the original size in bytes; ``value`` is cut at the size limit of the topic."""

    origin: Origin
    source: str
    reason: DeadLetterReason
    message: str
    key: bytes | None = None
    value: bytes | None = None
    value_size: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()
    attempts: int = 1
    first_seen_at: Instant
    last_seen_at: Instant
