"""Summary: the current text of one user, the last record of the flow, on the public compacted topic.

The record's key is the user's (:mod:`prefstream.tenants`), so the newest one of a key is the user's summary; a tombstone means
erased. The rules of evolution are those of :mod:`prefstream.events`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct, field

from prefstream import wire
from prefstream.events import Instant, UserId
from prefstream.tenants import TenantId

# The header of a tombstone that erases nobody: the user's records go on in the partition that it names.
MOVED_HEADER = "prefstream-moved"

FlushReason = Literal["size", "tokens", "age", "control", "drain"]


class Weight(Struct, frozen=True, array_like=True):
    """How much was said for and against one attribute, all decayed to the domain's event number ``at_event``.

    ``met`` counts the events it was part of, ``taken`` those among them in which the user took it unprompted: not shown and
    left, not put forward by the platform. ``last_day`` is that of the newest of them, in days since 1970; 0 where it is not
    known.
    """

    liked: float = 0.0
    disliked: float = 0.0
    met: float = 0.0
    taken: float = 0.0
    at_event: int = 0
    last_day: int = 0


class Mention(Struct, frozen=True, array_like=True):
    """An item the user felt strongly about: the domain's event number at that time, less for what came late, and the day."""

    item: str
    title: str
    strength: float
    at_event: int
    last_day: int = 0


class DomainTally(Struct, frozen=True, omit_defaults=True):
    """The evidence of one domain: weights overall and by ``name:value`` attribute, and what was strong and recent, that first.

    Decay runs by the events of the domain itself, so that a busy domain does not wear off a quiet one: ``num_events``, without
    those that came late, long behind the newest, which is of ``newest_day`` (days since 1970). ``searches`` and ``quotes`` are
    the user's own words.
    """

    num_events: int = 0
    overall: Weight = Weight()
    attributes: dict[str, Weight] = field(default_factory=dict)
    favourites: tuple[Mention, ...] = ()
    dislikes: tuple[Mention, ...] = ()
    searches: tuple[str, ...] = ()
    quotes: tuple[str, ...] = ()
    newest_day: int = 0


class Tally(Struct, frozen=True, omit_defaults=True):
    """The evidence so far, counted by code, beside the text: bounded, decayed, and the same however it was chunked."""

    num_events: int = 0
    domains: dict[str, DomainTally] = field(default_factory=dict)


class ModelUsed(Struct, frozen=True, omit_defaults=True):
    """Which model wrote the text, and with which constant prompt."""

    name: str = ""
    profile: str = ""
    dialect: str = ""
    prompt_sha256: str = ""


class Summary(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One version of one user's summary; positions are offsets of the events topic.

    ``num_events`` counts all events the text is based on, ``num_new_events`` those new in this version, ``num_spared_events``
    the newest of all, for which no model was asked because they said nothing new. ``position`` is the
    offset up to which evidence is covered, ``command_position`` the offset of the last command applied: neither stands for
    the other. ``origins`` maps a source partition (``topic-id/partition``) to the highest ``[offset, index]`` applied. ``pins``
    and ``own_words`` are what the person wants in every text, pinned or as the sentences of their last edit.
    """

    user: UserId
    version: int
    text: str
    previous_version: int = 0
    reason: FlushReason
    updated_at: Instant
    first_event_at: Instant | None = None
    last_event_at: Instant | None = None
    num_events: int = 0
    num_new_events: int = 0
    num_spared_events: int = 0
    position: int = -1
    command_position: int = -1
    tokens: int = 0
    pins: tuple[str, ...] = ()
    own_words: tuple[str, ...] = ()
    model: ModelUsed = ModelUsed()
    tally: Tally = Tally()
    origins: dict[str, tuple[int, int]] = field(default_factory=dict)
    tenant: TenantId = ""

    @property
    def says_nothing_new(self) -> bool:
        """Whether the text is that of the version before, because the new events say nothing that it does not."""
        return bool(self.num_new_events and self.num_spared_events)


_decoder = msgspec.json.Decoder(Summary)


def is_moved(value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> bool:
    """Whether a record of the summaries topic says only that its user is in another partition now."""
    return value is None and any(name == MOVED_HEADER for name, _ in headers)


def encode_summary(summary: Summary) -> bytes:
    """The summary as JSON, the value of its record on the summaries topic.

    Raises InvalidRecord for text that is not Unicode.
    """
    return wire.encode(summary)


def decode_summary(data: bytes) -> Summary:
    """The summary in ``data``; fields that this version does not know are ignored.

    Raises InvalidRecord, whose message names the field and its value.
    """
    return wire.decode(_decoder, data)
