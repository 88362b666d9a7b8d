"""Adapters, the first step of intake: a record of a platform's topic becomes events of ours, or the reason why it cannot.

One file per source format, each a plain function of one record. An adapter never raises, whatever the bytes: a record that
it cannot read is an `Undecodable`, which becomes exactly one dead letter. No events at all, an empty tuple, is what it makes of
a record that is as it should be and says nothing of anybody's taste: that is counted as filtered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from prefstream.commands import Command
from prefstream.dead_letters import DeadLetterReason
from prefstream.events import Event
from prefstream.replays import Replay

MAX_EVENT_BYTES = 256 * 1024
"""The largest value of a source record. The longest texts of the contract fit (two of 20,000 characters, at 4 bytes each),
and a dead letter of it, in base64 with its headers, stays well below the 1 MiB that brokers accept by default."""

MAX_MESSAGE_CHARS = 300
"""The longest refusal: a dead letter is a line to read, and its value lies beside it."""


class RawRecord(Struct, frozen=True):
    """One record of a source topic as it lies there.

    ``timestamp_ms`` is Kafka's, in ms since 1970; a header that Kafka holds without a value has an empty one here. ``replay``
    is what it was before, if it is replayed: ``topic`` is then the topic of that time, and ``offset`` that of now. Where the
    topic is declared for a tenant, ``tenant`` is that.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp_ms: int
    replay: Replay | None = None
    tenant: str = ""


class Undecodable(Struct, frozen=True):
    """A record that no retry makes readable. ``message`` names field and value, in at most 300 characters.

    ``tenant`` is whose it is, where the adapter reads that and not the contract; ``?`` where it cannot tell.
    """

    reason: DeadLetterReason
    message: str
    tenant: str = ""


SchemaKind = Literal["avro", "protobuf"]


class SchemaNeeded(Struct, frozen=True):
    """A record that cannot be read before the schema of this id is known: ask a registry for it, and the adapter again."""

    kind: SchemaKind
    schema_id: int


Decoded = tuple[Event | Command, ...] | Undecodable
Adapter = Callable[[RawRecord], Decoded | SchemaNeeded]
