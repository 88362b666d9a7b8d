"""Routing: intake's decision what becomes of one source record, events for the keyed topic or a dead letter.

Place in the flow: after the adapter, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from prefstream.commands import Command, Forget
from prefstream.dead_letters import MAX_LETTER_VALUE_BYTES, DeadLetter, DeadLetterReason, Origin
from prefstream.events import Event, EventBase
from prefstream.tenants import key_of
from streams.adapters import Decoded, RawRecord, Undecodable
from streams.evidence import evidence_of, is_impression
from streams.records import Arrival, Detailed, Filtered, encode_arrival, encode_event, encode_filtered, filtered_key
from streams.tokens import estimate_evidence_tokens

_MAX_LETTER_TEXT = 500
_MAX_LETTER_KEY_BYTES = 16 << 10
_MAX_LETTER_HEADERS = 64
_MAX_LETTER_HEADER_BYTES = 1 << 10


class Forward(Struct, frozen=True):
    """An event or command for the keyed topic: its key and its value."""

    key: bytes
    value: bytes


def route(
    record: RawRecord, decoded: Decoded, topic_id: str, now_ms: int, ends: Mapping[str, int] | None = None
) -> tuple[Forward, ...] | DeadLetter:
    """What becomes of a source record: all its events forwarded, or the whole record refused. Never a part of each.

    Of a record without events, that it was filtered goes the way of an event, to be counted where events are.

    Where the topic is declared for a tenant, its events are that tenant's, and one that says another is refused.
    ``topic_id`` is Kafka's id of the source topic, ``now_ms`` the time of arrival. ``ends``, which a `forget` takes along, is
    where every source partition ends now, by ``topic-id/partition``.
    """
    if isinstance(decoded, Undecodable):
        record = replace(record, tenant=record.tenant or decoded.tenant)
        return refuse(record, decoded.reason, decoded.message, topic_id, now_ms)
    if not decoded:
        filtered = Filtered(Origin(topic_id, record.partition, record.offset), now_ms)
        return (Forward(filtered_key(filtered.origin), encode_filtered(filtered)),)
    forwards = []
    for index, event in enumerate(decoded):
        if record.tenant and event.tenant not in ("", record.tenant):
            message = f"tenant: {event.tenant!r}, and this topic is declared for {record.tenant!r}"
            return refuse(record, "invalid", message, topic_id, now_ms)
        event = _owned(event, record)
        arrival = _arrival(event, Origin(topic_id, record.partition, record.offset, index), now_ms)
        if isinstance(event, Forget) or record.replay:
            arrival = _detailed(arrival, event, record.replay.origin if record.replay else None, ends or {})
        forwards.append(Forward(key_of(event.tenant, event.user), encode_arrival(arrival)))
    return tuple(forwards)


def asks_to_forget(decoded: Decoded) -> bool:
    """Whether there is a `forget` in a record, which takes along where every source ends."""
    return not isinstance(decoded, Undecodable) and any(isinstance(one, Forget) for one in decoded)


def _owned(event: Event | Command, record: RawRecord) -> Event | Command:
    """The event of a topic that is declared for a tenant is that tenant's."""
    return replace(event, tenant=record.tenant) if record.tenant and not event.tenant else event


def _arrival(event: Event | Command, origin: Origin, now_ms: int) -> Arrival:
    tokens, is_faint = 0, False
    if isinstance(event, EventBase):
        evidence = evidence_of(event)
        tokens, is_faint = estimate_evidence_tokens(evidence), is_impression(evidence)
    return Arrival(origin, now_ms, tokens, event.id, msgspec.Raw(encode_event(event)), is_faint)


def _detailed(arrival: Arrival, event: Event | Command, began: Origin | None, ends: Mapping[str, int]) -> Detailed:
    return Detailed(
        arrival.origin,
        arrival.arrived_at_ms,
        arrival.tokens,
        arrival.event_id,
        arrival.event,
        arrival.is_impression,
        ends=dict(ends) if isinstance(event, Forget) else {},
        began=began,
    )


def refuse(record: RawRecord, reason: DeadLetterReason, message: str, topic_id: str, now_ms: int) -> DeadLetter:
    """The dead letter of a record; of one that is replayed, as long as it has been one and as often as it was tried."""
    replay = record.replay
    value = record.value or b""
    now = datetime.fromtimestamp(now_ms / 1_000, UTC)
    return DeadLetter(
        origin=Origin(topic_id, record.partition, record.offset),
        source=record.topic,
        reason=reason,
        message=message[:_MAX_LETTER_TEXT],
        key=None if record.key is None else record.key[:_MAX_LETTER_KEY_BYTES],
        value=None if record.value is None else value[:MAX_LETTER_VALUE_BYTES],
        value_size=len(value),
        headers=_bounded_headers(record),
        attempts=replay.attempts + 1 if replay else 1,
        first_seen_at=replay.first_seen_at if replay else now,
        last_seen_at=now,
        is_event=replay.is_event if replay else False,
        first_origin=replay.origin if replay else None,
        tenant=record.tenant,
    )


def _bounded_headers(record: RawRecord) -> tuple[tuple[str, bytes], ...]:
    """A dead letter has to fit its topic whatever it came with."""
    kept = record.headers[:_MAX_LETTER_HEADERS]
    return tuple((name[:_MAX_LETTER_HEADER_BYTES], value[:_MAX_LETTER_HEADER_BYTES]) for name, value in kept)
