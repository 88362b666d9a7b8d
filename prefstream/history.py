"""History: the newest versions of each user's summary, as they were, on a compacted topic of their own.

A version's record is durable before the version is published, so of every current summary the versions before it are there;
a record above the current version is one that was never published, and is none. Its key is the user and the version, its value
this JSON; the rules of evolution are those of :mod:`prefstream.events`.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from prefstream import wire
from prefstream.events import Instant, ShortText, UserId
from prefstream.summaries import FlushReason, ModelUsed, Summary, Tally
from prefstream.tenants import TenantId

NUM_KEPT_VERSIONS = 20


class KeptVersion(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One version of a user's summary: all that a roll back and a look back need, without the places of its events.

    The fields are those of :class:`prefstream.summaries.Summary`; ``command`` is the type of the command that made it, empty
    where events did.
    """

    user: UserId
    version: int
    text: str
    reason: FlushReason
    command: ShortText = ""
    updated_at: Instant
    first_event_at: Instant | None = None
    last_event_at: Instant | None = None
    num_events: int = 0
    num_new_events: int = 0
    num_spared_events: int = 0
    tokens: int = 0
    pins: tuple[str, ...] = ()
    own_words: tuple[str, ...] = ()
    model: ModelUsed = ModelUsed()
    tally: Tally = Tally()
    tenant: TenantId = ""

    @property
    def says_nothing_new(self) -> bool:
        """Whether the text is that of the version before, because the new events say nothing that it does not."""
        return bool(self.num_new_events and self.num_spared_events)


def version_of(summary: Summary, command: str = "") -> KeptVersion:
    """What is kept of a summary, which a command of this type made, if any."""
    return KeptVersion(
        user=summary.user,
        version=summary.version,
        text=summary.text,
        reason=summary.reason,
        command=command,
        updated_at=summary.updated_at,
        first_event_at=summary.first_event_at,
        last_event_at=summary.last_event_at,
        num_events=summary.num_events,
        num_new_events=summary.num_new_events,
        num_spared_events=summary.num_spared_events,
        tokens=summary.tokens,
        pins=summary.pins,
        own_words=summary.own_words,
        model=summary.model,
        tally=summary.tally,
        tenant=summary.tenant,
    )


def is_kept(version: int, current: int) -> bool:
    """Whether a version is among the newest that are kept of somebody whose current version this is."""
    return max(0, current - NUM_KEPT_VERSIONS) < version <= current


_decoder = msgspec.json.Decoder(KeptVersion)


def encode_version(version: KeptVersion) -> bytes:
    """The version as JSON, the value of its record on the history topic.

    Raises InvalidRecord for text that is not Unicode.
    """
    return wire.encode(version)


def decode_version(data: bytes) -> KeptVersion:
    """The version in ``data``; fields that this version of prefstream does not know are ignored.

    Raises InvalidRecord, whose message names the field and its value.
    """
    return wire.decode(_decoder, data)
