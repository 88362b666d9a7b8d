"""Backlog: one user's pending events as numbers, oldest first: 25 bytes an event, and nothing takes longer for a longer one.

Place in the flow: inside the index of who waits. One bot may have hundreds of thousands of pending events.
"""

from __future__ import annotations

from array import array

_FIELDS = 3  # offset, arrived_at_ms, tokens


class Backlog:
    """Appended to in offset order, dropped from the front.

    ``first_offset`` and ``first_arrived_at_ms`` are those of the oldest event, when there is one. They and the sums are kept
    rather than computed: they are read for every event that is collected.
    """

    __slots__ = ("_begin", "_numbers", "_sizes", "first_arrived_at_ms", "first_offset", "num_events", "size", "tokens")

    def __init__(self) -> None:
        self._numbers = array("q")
        self._sizes = bytearray()
        self._begin = 0
        self.num_events = 0
        self.size = 0
        self.tokens = 0
        self.first_offset = -1
        self.first_arrived_at_ms = 0

    def append(self, offset: int, arrived_at_ms: int, tokens: int, size: int) -> None:
        """Add the newest event: its offset in the keyed topic, when it arrived (ms since 1970), its share of a prompt.

        ``size``, 1 to 255, is its share of a call.
        """
        self._numbers.extend((offset, arrived_at_ms, tokens))
        self._sizes.append(size)
        if not self.num_events:
            self.first_offset, self.first_arrived_at_ms = offset, arrived_at_ms
        self.num_events += 1
        self.tokens += tokens
        self.size += size

    def num_up_to(self, position: int) -> int:
        """How many events have an offset of at most ``position``."""
        at = self._begin
        while at < len(self._numbers) and self._numbers[at] <= position:
            at += _FIELDS
        return (at - self._begin) // _FIELDS

    def share(self, max_events: int, max_size: int, max_tokens: int) -> tuple[int, ...]:
        """The offsets of the oldest events within all bounds; always at least one."""
        end = min(len(self._numbers), self._begin + max_events * _FIELDS)
        offsets: list[int] = []
        size = tokens = 0
        for at in range(self._begin, end, _FIELDS):
            size += self._sizes[at // _FIELDS]
            tokens += self._numbers[at + 2]
            if offsets and (size > max_size or tokens > max_tokens):
                break
            offsets.append(self._numbers[at])
        return tuple(offsets)

    def drop(self, position: int) -> int:
        """Remove the events up to the offset ``position``. Returns how many there were."""
        num_dropped = self.num_up_to(position)
        end = self._begin + num_dropped * _FIELDS
        self.tokens -= sum(self._numbers[self._begin + 2 : end : _FIELDS])
        self.size -= sum(self._sizes[self._begin // _FIELDS : end // _FIELDS])
        self._begin = end
        if 2 * end >= len(self._numbers):  # seldom enough to cost nothing per event
            del self._numbers[:end]
            del self._sizes[: end // _FIELDS]
            self._begin = 0
        self.num_events -= num_dropped
        if self.num_events:
            self.first_offset, self.first_arrived_at_ms = self._numbers[self._begin], self._numbers[self._begin + 1]
        return num_dropped
