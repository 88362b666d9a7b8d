"""DeadLetter: an input that can never succeed, kept with its reason and its original bytes so that it can be replayed.

A letter lies on the dead-letters topic under its own key, and a newer one with that key replaces it: first it is ``open``, and
later, without another letter, ``replayed`` or ``dropped``. A replay that fails again is a letter of its own, because it is a
record of its own, on the replays topic; both have the id of the first.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from prefstream.events import Instant

DeadLetterReason = Literal[
    "undecodable",  # the bytes are not what the adapter reads
    "unknown_type",  # decoded, but of no type of the contract
    "missing_user",  # no user to keep it for
    "invalid",  # a field has a wrong type or an impossible value
    "too_large",  # larger than an event may be
    "unsupported",  # understood, but the version that read it did not act on it yet
    "unprocessable",  # the program itself fails on it: a defect, mended by a later version
    "unknown_source",  # a replay whose topic is read no more
    "poison",  # an accepted event with which no rewrite succeeds, while the model works for others
]

LetterState = Literal[
    "open",  # waits for somebody to decide
    "replayed",  # went through intake again
    "dropped",  # given up: its bytes are gone, its account stays
]

MAX_LETTER_VALUE_BYTES = 1 << 20


class Origin(Struct, frozen=True, array_like=True):
    """Where an event came from: source topic id, partition, offset, and the index within the record.

    The topic's *id*, not its name: a topic deleted and created again is another topic with the same name.
    """

    topic: str
    partition: int
    offset: int
    index: int = 0


def place_text(origin: Origin, *, with_index: bool) -> str:
    """``topic-id/partition/offset``, and ``/index`` where one event is meant and not the whole record."""
    return f"{origin.topic}/{origin.partition}/{origin.offset}{f'/{origin.index}' if with_index else ''}"


class DeadLetter(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One refused input. ``value_size`` is the original size in bytes; ``value`` is cut at ``MAX_LETTER_VALUE_BYTES``.

    ``is_event``: it is about one event of its record, and ``value`` is that event in prefstream's own JSON. ``first_origin``:
    where the record was read before its first replay; None if it was never replayed. ``settled_at``: when it left ``open``.
    ``tenant``: whose topic it is from, where the topic is declared for one; ``?`` where that cannot be told of its record.
    """

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
    is_event: bool = False
    first_origin: Origin | None = None
    state: LetterState = "open"
    settled_at: Instant | None = None
    tenant: str = ""

    @property
    def beginning(self) -> Origin:
        """Where the record was read first."""
        return self.first_origin or self.origin

    @property
    def id(self) -> str:
        """What people call it, also after it was replayed: its source, partition and offset, and the index of an event."""
        return place_text(Origin(self.source, *msgspec.structs.astuple(self.beginning)[1:]), with_index=self.is_event)


def letter_key(letter: DeadLetter) -> bytes:
    """The key under which a letter lies on its topic: one for each record, and for each event that is refused alone."""
    return place_text(letter.origin, with_index=letter.is_event).encode()


encode_letter = msgspec.json.Encoder().encode
decode_letter = msgspec.json.Decoder(DeadLetter).decode
