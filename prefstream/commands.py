"""Command: what the person summarised asks for; it travels in the events topic, so that it is ordered with their events.

JSON on the wire, tagged by ``type`` as events are, and evolved by the same rules (:mod:`prefstream.events`)::

    {"type": "pin", "user": "ada", "at": "2026-01-05T20:15:00Z", "statement": "Vegetarian."}
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from prefstream import wire
from prefstream.events import Event, Instant, ShortText, UserId
from prefstream.summaries import ModelUsed
from prefstream.tenants import TenantId

# Much more than is ever accepted: a command that can be read is answered with a receipt, one that cannot is a dead letter.
AskedText = Annotated[str, Meta(max_length=200_000)]
MAX_VERSION = 2**63 - 1
"""What the records inside can hold; no summary has as many versions."""
VersionNumber = Annotated[int, Meta(ge=1, le=MAX_VERSION)]


class CommandBase(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """What every command carries: whose, when, and the ``id`` that makes a retry recognisable."""

    user: UserId
    at: Instant
    id: ShortText = ""
    tenant: TenantId = ""


class Edit(CommandBase, frozen=True, tag="edit"):
    """Replace the text of the summary by ``text``, and keep what is new in it."""

    text: AskedText


class Pin(CommandBase, frozen=True, tag="pin"):
    """Keep ``statement`` in every later version, word for word."""

    statement: AskedText


class Unpin(CommandBase, frozen=True, tag="unpin"):
    """Let go of a pinned ``statement``."""

    statement: AskedText


class Never(CommandBase, frozen=True, tag="never"):
    """Never speak of ``subject`` again."""

    subject: AskedText


class Allow(CommandBase, frozen=True, tag="allow"):
    """Take back a ``never`` on ``subject``."""

    subject: AskedText


class OptOut(CommandBase, frozen=True, tag="opt_out"):
    """Stop learning from this user's events from here on; those before it still count."""


class OptIn(CommandBase, frozen=True, tag="opt_in"):
    """Learn from this user's events again."""


class Forget(CommandBase, frozen=True, tag="forget"):
    """Erase the user: summary, history, pending events, dead letters."""


class RollBack(CommandBase, frozen=True, tag="roll_back"):
    """Make the text of an earlier ``version`` the current one, as a new version."""

    version: VersionNumber


class Adopt(CommandBase, frozen=True, tag="adopt"):
    """Replace the text of the version ``base`` by the ``text`` that ``model`` wrote in a shadow, of so many ``tokens``.

    The installation asks for it, and no person: ``signature`` says so (:mod:`prefstream.signing`).
    """

    text: AskedText
    base: VersionNumber
    model: ModelUsed = ModelUsed()
    tokens: Annotated[int, Meta(ge=0, le=MAX_VERSION)] = 0
    signature: ShortText = ""


class GiveBack(CommandBase, frozen=True, tag="give_back"):
    """Replace the text of the version ``base`` by that of the earlier ``version``, signed in the same way."""

    version: VersionNumber
    base: VersionNumber
    signature: ShortText = ""


Command = Edit | Pin | Unpin | Never | Allow | OptOut | OptIn | Forget | RollBack | Adopt | GiveBack

_decoder: msgspec.json.Decoder[Event | Command] = msgspec.json.Decoder(Event | Command)


def encode_record(record: Event | Command) -> bytes:
    """The event or command as JSON.

    Raises InvalidRecord for text that is not Unicode. Nothing else is checked here.
    """
    return wire.encode(record)


def decode_record(data: bytes) -> Event | Command:
    """The event or command in ``data``.

    Raises InvalidRecord, whose message names the field and its value and whose ``reason`` is ``undecodable``,
    ``unknown_type``, ``missing_user`` or ``invalid``.
    """
    return wire.decode(_decoder, data)
