"""Receipt: what became of one command, on a topic of its own; whoever sent the command waits for the receipt with its ``id``.

A receipt is published when what it says is durable, at least once, and always with the same content. It quotes nothing of what
the person wrote. The record's key is the user's (:mod:`prefstream.tenants`); the rules of evolution are those of
:mod:`prefstream.events`.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from prefstream import wire
from prefstream.events import Instant, ShortText, UserId
from prefstream.tenants import TenantId

ReceiptOutcome = Literal[
    "applied",  # it changed something; the summary, if there is one, has a new version
    "unchanged",  # it asked for what is already so
    "refused",  # it cannot be done: ``reason`` says why
]

RefusalReason = Literal[
    "",  # not refused
    "unknown_user",  # nothing is known of this user: perhaps the id is misspelt
    "empty",  # there are no words in it
    "too_long",  # longer than a summary may be
    "no_room",  # what the person wants kept would leave no room for what their events say
    "markup",  # it holds tags or tokens that a model takes for its own
    "instruction",  # it speaks to a model instead of about the person
    "contradicts_never",  # it says what a `never` forbids
    "sensitive",  # it speaks of a matter that is off unless the person allows it
    "not_pinned",  # there is no such pin
    "not_forbidden",  # there is no such `never`
    "no_such_version",  # there never was this version
    "not_kept",  # it is older than the versions that are kept
    "too_many",  # there are as many of these as are kept of one user
    "not_signed",  # only the installation itself may ask for it, and this is not signed with its secret
    "moved_on",  # it was made for another version than the one that is there
    "opted_out",  # the text of who has opted out stays as it is
    "rejected",  # a guard keeps the old text
    "unprocessable",  # the program itself fails on it: a defect, mended by a later version
]


class Erasure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a `forget` erased: events that were in the summary, that waited for one, and that had been given up.

    ``kept_until``: by when the last copies on each of prefstream's own topics are gone, null where they are kept for ever.
    ``not_reached`` are the platform's topics, which prefstream only reads.
    """

    num_applied: int = 0
    num_pending: int = 0
    num_given_up: int = 0
    kept_until: dict[str, Instant | None] = {}
    not_reached: tuple[str, ...] = ()


class Receipt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of the command ``id``, whose type is ``command``, at the offset ``command_position`` of the events topic.

    ``version`` is the version of the summary that it made, 0 if none. ``message`` says more, without the person's words.
    ``erasure`` is that of a `forget`.
    """

    user: UserId
    command: ShortText
    id: ShortText = ""
    outcome: ReceiptOutcome
    reason: RefusalReason = ""
    message: str = ""
    at: Instant
    command_position: int
    version: int = 0
    tenant: TenantId = ""
    erasure: Erasure | None = None


_decoder = msgspec.json.Decoder(Receipt)


def encode_receipt(receipt: Receipt) -> bytes:
    """The receipt as JSON, the value of its record on the receipts topic.

    Raises InvalidRecord for text that is not Unicode.
    """
    return wire.encode(receipt)


def decode_receipt(data: bytes) -> Receipt:
    """The receipt in ``data``; fields that this version does not know are ignored.

    Raises InvalidRecord, whose message names the field and its value.
    """
    return wire.decode(_decoder, data)
