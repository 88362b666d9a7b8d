"""Replays: a dead letter that comes again is read as the record that it was, by the adapter of its own source.

Each of its events gets an id of which nothing depends on when and how often it is replayed, so that the second time it is a
duplicate: its own, or else one made of where the record was read first.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from prefstream.commands import Command
from prefstream.dead_letters import place_text
from prefstream.events import Event
from prefstream.replays import Replay, decode_header
from streams.adapters import Adapter, Decoded, RawRecord, SchemaNeeded, Undecodable
from streams.adapters.native import native
from streams.adapters.validation import refuse


def replays(record: RawRecord) -> Undecodable:
    """The adapter of the replays topic, for what is no replay."""
    return refuse("undecodable", "not a replay: publish events to a source topic instead")


def decode(record: RawRecord, adapters: Mapping[str, Adapter]) -> tuple[RawRecord, Decoded | SchemaNeeded]:
    """What the adapter of a record's topic makes of it; of a replay, what that of its own topic makes of what it was."""
    adapter = adapters[record.topic]
    if adapter is not replays:
        return record, adapter(record)
    before = _as_it_was(record)
    return before, replays(record) if before.replay is None else _decode_again(before, before.replay, adapters)


def _as_it_was(record: RawRecord) -> RawRecord:
    replay = decode_header(record.headers[0]) if record.headers else None
    if replay is None:
        return record
    return msgspec.structs.replace(record, topic=replay.source, headers=record.headers[1:], replay=replay, tenant=replay.tenant)


def _decode_again(record: RawRecord, replay: Replay, adapters: Mapping[str, Adapter]) -> Decoded | SchemaNeeded:
    adapter = native if replay.is_event else adapters.get(replay.source)
    if adapter is None or adapter is replays:
        return refuse(
            "unknown_source",
            f"source: the worker that met it does not read {replay.source}; give all workers the same, and replay again",
        )
    decoded = adapter(record)
    if not isinstance(decoded, tuple):
        return decoded
    return tuple(_identified(one, replay, index) for index, one in enumerate(decoded))


def _identified(one: Event | Command, replay: Replay, index: int) -> Event | Command:
    """The event with an id. One that was accepted once gets another than it had, which would be a duplicate's."""
    if one.id and not replay.is_event:
        return one
    origin = msgspec.structs.replace(replay.origin, index=replay.origin.index + index)
    return msgspec.structs.replace(one, id=f"replay:{place_text(origin, with_index=True)}")
