"""Controls: what the person summarised has asked for, in one row beside what is pending, and the decisions not yet receipted.

Place in the flow: :mod:`streams.decisions` makes the next controls of a command, collect stores them, and every later step and
guard obeys them. The row ``c`` is the commit point of a command: whether it was decided is told by its ``position``.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from prefstream.receipts import Receipt

MAX_OPT_POSITIONS = 50


class Controls(Struct, frozen=True, array_like=True):
    """A user's row ``c``. Positions are offsets of the keyed topic, of the last command decided and the last one applied.

    ``pins`` are what the person wants said, ``own_words`` the sentences of their last edit that were not there before: both
    stand in every later text, word for word. Of what ``nevers`` name nothing is learnt and nothing said. ``allows`` are the
    sensitive categories that the person lets be learnt and said, though they are off for everybody. ``opt_positions`` are those
    of the last commands that changed ``is_opted_out``. ``forbade_with`` is the version that the newest of ``nevers`` made, 0
    without one: what is older may name titles of their subjects.
    """

    position: int = -1
    applied_position: int = -1
    pins: tuple[str, ...] = ()
    own_words: tuple[str, ...] = ()
    nevers: tuple[str, ...] = ()
    is_opted_out: bool = False
    allows: tuple[str, ...] = ()
    opt_positions: tuple[int, ...] = ()
    forbade_with: int = 0

    def with_opting(self, is_opted_out: bool, position: int) -> Controls:
        """The same from the command at this position on. Far more changes are kept than are ever read again after a crash."""
        positions = (*self.opt_positions, position)[-MAX_OPT_POSITIONS:]
        return replace(self, is_opted_out=is_opted_out, opt_positions=positions)

    def was_opted_out(self, offset: int) -> bool:
        """Whether the user had opted out where this offset of the keyed topic is.

        What a crash makes a worker read again lies before commands that were decided already.
        """
        num_since = sum(position > offset for position in self.opt_positions)
        return self.is_opted_out ^ bool(num_since % 2)

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
