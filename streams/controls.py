"""Controls: what the person summarised has asked for, in one row beside what is pending, and the decisions not yet receipted.

Place in the flow: :mod:`streams.decisions` makes the next controls of a command, collect stores them, and every later step and
guard obeys them. The row ``c`` is the commit point of a command: whether it was decided is told by its ``position``.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from prefstream.receipts import Receipt


class Controls(Struct, frozen=True, array_like=True):
    """A user's row ``c``. Positions are offsets of the keyed topic, of the last command decided and the last one applied.

    ``pins`` are what the person wants said, ``own_words`` the sentences of their last edit that were not there before: both
    stand in every later text, word for word. Of what ``nevers`` name nothing is learnt and nothing said. ``allows`` are the
    sensitive categories that the person lets be learnt and said, though they are off for everybody.
    """

    position: int = -1
    applied_position: int = -1
    pins: tuple[str, ...] = ()
    own_words: tuple[str, ...] = ()
    nevers: tuple[str, ...] = ()
    is_opted_out: bool = False
    allows: tuple[str, ...] = ()

    @property
    def kept(self) -> tuple[str, ...]:
        """The statements every text has to keep, each once."""
        return tuple(dict.fromkeys((*self.pins, *self.own_words)))


NO_CONTROLS = Controls()


class Decided(Struct, frozen=True, array_like=True):
    """A row ``r``: a command that is decided, until its receipt is durable. ``summary`` is the record it makes, or empty."""

    receipt: Receipt
    summary: bytes = b""


encode_controls = msgspec.msgpack.Encoder().encode
decode_controls = msgspec.msgpack.Decoder(Controls).decode
encode_decided = msgspec.msgpack.Encoder().encode
decode_decided = msgspec.msgpack.Decoder(Decided).decode
