"""Ledger: what became of every event of one partition of the keyed topic, counted, in one row beside what is pending.

Place in the flow: collect counts each event into it, and the worker writes it before each commit, when everything it counts is
durable. So the counts survive a crash exactly: what lies behind the ledger was counted, what lies before it is read again.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

Outcome = Literal[
    "accepted",  # stored as pending
    "redelivered",  # the same source record again: intake sent it twice around a crash
    "duplicate",  # another source record with an id met before: a publisher's retry
    "dead",  # nothing intake wrote: refused
    "filtered",  # nothing is learnt from it: a source record that makes no event, or an event of who has opted out
    "erased",  # of the past of somebody who was forgotten: not stored
    "command",  # decided, whatever became of it: its receipt says
]

LEDGER_KEY = b"l"  # a kind byte without a user: a partition has one ledger


class Ledger(Struct, frozen=True, array_like=True):
    """Cumulative counts up to ``position``, the offset of the next event to be counted on the topic with this id.

    ``filtered_to`` has the highest offset of a filtered record by source partition, as that of an event is kept with its user.
    ``moved`` is how many accepted events came with users from another partition, less those that went with others, when their
    number was raised to ``num_partitions`` (:mod:`streams.moving`); the events themselves are counted where they were accepted.
    ``began_at`` is the offset of the first event that was counted: what lay before it was gone by then.
    """

    position: int = 0
    accepted: int = 0
    redelivered: int = 0
    duplicate: int = 0
    dead: int = 0
    topic_id: str = ""
    filtered: int = 0
    filtered_to: dict[str, int] = {}
    commands: int = 0
    erased: int = 0
    moved: int = 0
    num_partitions: int = 0
    began_at: int = 0

    def counted(self, offset: int, outcome: Outcome) -> Ledger:
        """The ledger with one more event in it."""
        return Ledger(
            offset + 1,
            self.accepted + (outcome == "accepted"),
            self.redelivered + (outcome == "redelivered"),
            self.duplicate + (outcome == "duplicate"),
            self.dead + (outcome == "dead"),
            self.topic_id,
            self.filtered + (outcome == "filtered"),
            self.filtered_to,
            self.commands + (outcome == "command"),
            self.erased + (outcome == "erased"),
            self.moved,
            self.num_partitions,
            self.began_at if self.position else offset,
        )

    def knows_filtered(self, source: str, offset: int) -> bool:
        """Whether a filtered record of this source partition (``topic-id/partition``) was counted: intake sent it twice."""
        return offset <= self.filtered_to.get(source, -1)

    def with_filtered(self, source: str, offset: int) -> Ledger:
        """The ledger that knows it from now on. Of one source partition they come in the order of their offsets."""
        return replace(self, filtered_to=self.filtered_to | {source: offset})


encode_ledger = msgspec.msgpack.Encoder().encode
decode_ledger = msgspec.msgpack.Decoder(Ledger).decode
