"""Ledger: what became of every event of one partition of the keyed topic, counted, in one row beside what is pending.

Place in the flow: collect counts each event into it, and the worker writes it before each commit, when everything it counts is
durable. So the counts survive a crash exactly: what lies behind the ledger was counted, what lies before it is read again.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

Outcome = Literal[
    "accepted",  # stored as pending
    "redelivered",  # the same source record again: intake sent it twice around a crash
    "duplicate",  # another source record with an id met before: a publisher's retry
    "dead",  # nothing intake wrote: refused
]

LEDGER_KEY = b"l"  # a kind byte without a user: a partition has one ledger


class Ledger(Struct, frozen=True, array_like=True):
    """Cumulative counts up to ``position``, the offset of the next event to be counted on the topic with this id."""

    position: int = 0
    accepted: int = 0
    redelivered: int = 0
    duplicate: int = 0
    dead: int = 0
    topic_id: str = ""

    def counted(self, offset: int, outcome: Outcome) -> Ledger:
        """The ledger with one more event in it."""
        return Ledger(
            offset + 1,
            self.accepted + (outcome == "accepted"),
            self.redelivered + (outcome == "redelivered"),
            self.duplicate + (outcome == "duplicate"),
            self.dead + (outcome == "dead"),
            self.topic_id,
        )


encode_ledger = msgspec.msgpack.Encoder().encode
decode_ledger = msgspec.msgpack.Decoder(Ledger).decode
