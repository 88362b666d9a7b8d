"""Whether every source record was met again by its origin, on the events and dead-letters topics, as far as they reach back.

Place in the flow: beside it. :mod:`prefstream.audit_reader` reads what was made of the records first, then the records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from msgspec import Struct

from prefstream.audit_findings import MAX_EXAMPLES
from prefstream.audit_rows import UNREADABLE
from prefstream.dead_letters import Origin


class Offsets:
    """A set of offsets out of ``bounds``, one bit each."""

    def __init__(self, bounds: range) -> None:
        self.bounds = bounds
        self._bits = bytearray((len(bounds) + 7) // 8)

    def add(self, offset: int) -> None:
        """Offsets out of bounds are left out."""
        if offset in self.bounds:
            index = offset - self.bounds.start
            self._bits[index >> 3] |= 1 << (index & 7)

    def __contains__(self, offset: int) -> bool:
        index = offset - self.bounds.start
        return offset in self.bounds and bool(self._bits[index >> 3] >> (index & 7) & 1)

    def __len__(self) -> int:
        return sum(byte.bit_count() for byte in self._bits)

    def gap(self) -> range:
        """From the first to the last offset that is not in the set; empty if all are."""
        if len(self) == len(self.bounds):
            return range(0)
        first = next(offset for offset in self.bounds if offset not in self)
        last = next(offset for offset in reversed(self.bounds) if offset not in self)
        return range(first, last + 1)


class KeptFold:
    """One partition of the events or dead-letters topic: what is there, from the offset ``beginning`` on.

    ``position``: up to where its records are counted. ``first_at_ms``: when the oldest one was written.
    """

    def __init__(self, position: int = 0) -> None:
        self.position = position
        self.beginning = 0
        self.num_below_position = 0
        self.first_at_ms: int | None = None

    def read(self, offset: int, at_ms: int) -> None:
        """The next record."""
        self.num_below_position += offset < self.position
        if self.first_at_ms is None:
            self.first_at_ms = at_ms


class Reach(Struct, frozen=True):
    """How far back events and dead letters are kept, in ms since 1970.

    What was taken in before ``by_age_ms`` may be gone by age, before ``at_all_ms`` otherwise. After it, all is there.
    """

    by_age_ms: float = float("-inf")
    at_all_ms: float = float("-inf")


# The clocks of brokers, workers and platforms differ.
_CLOCKS_MS = 3_600_000


def reach(kept: Iterable[tuple[Iterable[KeptFold], int | None]], now_ms: int) -> Reach:
    """The reach of topics, each given by its partitions and its retention in ms, None for ever."""
    by_age, at_all = [float("-inf")], [float("-inf")]
    for partitions, retention_ms in kept:
        cut = [partition for partition in partitions if partition.beginning]
        if cut and retention_ms is not None:
            by_age.append(now_ms - retention_ms + _CLOCKS_MS)
        at_all += [float("inf") if one.first_at_ms is None else one.first_at_ms for one in cut]
    return Reach(max(by_age), max(at_all))


class _WithOrigin(Struct, frozen=True):
    origin: Origin


class _ArrayWithOrigin(Struct, frozen=True, array_like=True):
    origin: Origin


_decode_event = msgspec.msgpack.Decoder(_ArrayWithOrigin).decode
_decode_letter = msgspec.json.Decoder(_WithOrigin).decode


def event_origin(value: bytes | None) -> Origin | None:
    """Where an event of the events topic came from; None for what intake did not write."""
    return _origin(_decode_event, value)


def letter_origin(value: bytes | None) -> Origin | None:
    """Where a dead letter came from; None for what is none."""
    return _origin(_decode_letter, value)


def _origin(decode: Callable[[bytes], _WithOrigin | _ArrayWithOrigin], value: bytes | None) -> Origin | None:
    try:
        return decode(value or b"").origin
    except UNREADABLE:
        return None


class SourceFold:
    """One source partition: which of its records were met again by origin, and what became of the others.

    ``num_expired`` is how many were gone before a worker read them, as the workers themselves committed it.
    """

    def __init__(self, topic: str, partition: int, bounds: range, num_expired: int = 0) -> None:
        self.topic = topic
        self.partition = partition
        self.met = Offsets(bounds)
        self.num_expired = num_expired
        self.older = 0
        self.unsure = 0
        self.lost = 0
        self.first_lost: list[int] = []

    def read(self, offset: int, at_ms: int, reach: Reach) -> None:
        """A record that exists, after everything that was met is known."""
        if offset in self.met or offset not in self.met.bounds:
            return
        if at_ms < reach.by_age_ms:
            self.older += 1
        elif at_ms < reach.at_all_ms:
            self.unsure += 1
        else:
            self.lost += 1
            if self.lost <= MAX_EXAMPLES:
                self.first_lost.append(offset)
