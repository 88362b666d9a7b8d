"""Replay: a dead letter on its way through intake again, on a topic of its own.

The record on the replays topic is the original one, key, value and headers, with one header more, in front: what it was. By
that intake reads it as it read it the first time, and knows its events when they come again.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from prefstream.dead_letters import DeadLetter, Origin
from prefstream.events import Instant
from prefstream.topics import TopicNames

HEADER = "prefstream.replay"
_MAX_HEADER_BYTES = 1 << 10  # what somebody else writes there must not make a dead letter too large for its topic


class Replay(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a replayed record was: ``source`` is the topic whose adapter reads it, ``origin`` where it was read first.

    ``is_event``: its value is one event in prefstream's own JSON, which was accepted once and refused later.
    """

    source: str
    origin: Origin
    attempts: int
    first_seen_at: Instant
    is_event: bool = False
    tenant: str = ""


_decode = msgspec.json.Decoder(Replay).decode


def why_not(letter: DeadLetter, names: TopicNames) -> str:
    """Why a letter cannot be replayed; empty if it can."""
    if letter.source == names.events:
        return f"somebody wrote it to {names.events}, where only intake writes: publish it to a source topic"
    if letter.state == "dropped":
        return "it was dropped, and its bytes are gone"
    if letter.value is None:
        return "the record had no value, so nothing can become of it"
    if letter.value_size > len(letter.value):
        kept = f"only {len(letter.value):,} of its {letter.value_size:,} bytes were kept"
        return f"{kept}: publish the record again at its source"
    return ""


def replay_of(letter: DeadLetter) -> Replay:
    """What the replay of a letter says of itself."""
    return Replay(
        source=letter.source,
        origin=letter.beginning,
        attempts=letter.attempts,
        first_seen_at=letter.first_seen_at,
        is_event=letter.is_event,
        tenant=letter.tenant,
    )


def header_of(replay: Replay) -> tuple[str, bytes]:
    """The header that goes in front."""
    return HEADER, msgspec.json.encode(replay)


def decode_header(header: tuple[str, bytes]) -> Replay | None:
    """What a record's first header says; None if it is not ours."""
    name, value = header
    try:
        return _decode(value) if name == HEADER and len(value) <= _MAX_HEADER_BYTES else None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
