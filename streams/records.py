"""The internal records of the flow: what intake hands to collect, and what pending keeps until a summary covers it.

Internal records are msgpack; an event inside them is the public contract's Struct, left encoded until somebody needs it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from prefstream.commands import Command
from prefstream.dead_letters import Origin
from prefstream.events import Event

MAX_RECENT_IDS = 256  # of one user, of events that a summary has covered
FILTERED_MARK = b"\xff"  # no text in UTF-8 begins with it


class Arrival(Struct, frozen=True, array_like=True):
    """An event or command on the keyed topic, and the value of an event's pending row: read without decoding what is in it.

    ``arrived_at_ms`` is when intake took it in (ms since 1970), ``tokens`` an estimate of the event's share of a
    prompt, ``event_id`` the publisher's id or empty. What ``is_impression`` (:func:`streams.evidence.is_impression`) counts
    for less where it is asked who is due.
    """

    origin: Origin
    arrived_at_ms: int
    tokens: int
    event_id: str
    event: msgspec.Raw
    is_impression: bool = False


class Detailed(Arrival, frozen=True, array_like=True):
    """An arrival with what only some have, behind the rest: who reads an :class:`Arrival` does not see it.

    ``ends`` goes with a `forget`: where every source partition (``topic-id/partition``) ended when intake took it in.
    ``began`` goes with a replay: where its record was read before it was a dead letter.
    """

    ends: dict[str, int] = {}
    began: Origin | None = None


class Filtered(Struct, frozen=True, array_like=True):
    """On the keyed topic, in place of an event: a source record without one was read there, at this time (ms since 1970).

    It says nothing of anybody's taste, and it is there so that what became of it can be proven, as of every other record.
    """

    origin: Origin
    arrived_at_ms: int


def filtered_key(origin: Origin) -> bytes:
    """The key under which what is filtered lies: no UTF-8, so no user's; and the same when the record is read again."""
    return FILTERED_MARK + origin.offset.to_bytes(8, "big")


def not_after(arrival: Arrival, now_ms: int) -> Arrival:
    """The arrival for a worker whose clock says ``now_ms``: that of another may be ahead, and nobody is to wait for it."""
    return arrival if arrival.arrived_at_ms <= now_ms else replace(arrival, arrived_at_ms=now_ms)


def remember_ids(recent: Sequence[str], new: Sequence[str]) -> tuple[str, ...]:
    """The event ids to remember for a user, newest last, bounded."""
    return tuple(dict.fromkeys([*recent, *new]))[-MAX_RECENT_IDS:]


class Passed(Struct, frozen=True, array_like=True):
    """Where something that no summary will cover lay on the keyed topic, its place in its source, and its id or nothing.

    It is a duplicate, a command, or an event that is not learnt from. A place is (offset, index within the record).
    """

    offset: int
    source: str
    place: tuple[int, int]
    event_id: str = ""


class Recent(Struct, frozen=True, array_like=True):
    """A user's recent past, kept beside the pending rows: event ids, and the highest place by source of what no summary covers.

    That is in no summary's origins, and is still to be known when its source record is read again. As long as the ledger has
    not counted it, it is read again itself, and so are the events before it: until then its place and id are kept apart.
    """

    event_ids: tuple[str, ...] = ()
    origins: dict[str, tuple[int, int]] = {}
    uncounted: tuple[Passed, ...] = ()

    def counted(self, position: int) -> Recent:
        """The same when the ledger has counted what lies below ``position`` on the keyed topic."""
        origins, counted = dict(self.origins), [one for one in self.uncounted if one.offset < position]
        for one in counted:
            origins[one.source] = max(one.place, origins.get(one.source, one.place))
        ids = [one.event_id for one in counted if one.event_id]
        event_ids = remember_ids(self.event_ids, ids) if ids else self.event_ids
        return Recent(event_ids, origins, tuple(one for one in self.uncounted if one.offset >= position))


encode_recent = msgspec.msgpack.Encoder().encode
decode_recent = msgspec.msgpack.Decoder(Recent).decode
encode_arrival = msgspec.msgpack.Encoder().encode
decode_arrival = msgspec.msgpack.Decoder(Arrival).decode
decode_detailed = msgspec.msgpack.Decoder(Detailed).decode
encode_filtered = msgspec.msgpack.Encoder().encode
decode_filtered = msgspec.msgpack.Decoder(Filtered).decode
encode_event = msgspec.msgpack.Encoder().encode
_event_decoder: msgspec.msgpack.Decoder[Event] = msgspec.msgpack.Decoder(Event)
_record_decoder: msgspec.msgpack.Decoder[Event | Command] = msgspec.msgpack.Decoder(Event | Command)


def decode_record(arrival: Arrival) -> Event | Command:
    """The event or command inside an arrival of the keyed topic."""
    return _record_decoder.decode(arrival.event)


def decode_event(arrival: Arrival) -> Event:
    """The event inside a pending arrival: commands never wait."""
    return _event_decoder.decode(arrival.event)
