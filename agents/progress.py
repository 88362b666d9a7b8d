"""Progress: how far each source partition has been processed, what may be committed, and which holes are the broker's own.

Place in the flow: between the consumer, which tells what the broker handed over, and the agents, which tell what they have
done. Agents work in offset order, so one number per partition is the commit watermark. What the broker itself skipped
(compacted records, transaction markers, aborted records) is learnt where its batches arrive, and what expired before it was
read where the broker refuses to hand it over; any other offset that is missing between two messages was lost on the way, and
:class:`HoleFound` stops the worker before it commits over it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Literal, NamedTuple

from msgspec.structs import replace

from prefstream.sources import UNMARKED, Mark

CommitOutcome = Literal["done", "refused", "cut_short"]


class SourcePartition(NamedTuple):
    """A topic and one of its partitions; equal and hash-equal to Faust's and aiokafka's own tuples."""

    topic: str
    partition: int


class HoleFound(Exception):
    """Offsets vanished between the broker and an agent: going on would lose them."""

    def __init__(self, source: SourcePartition, expected: int, found: int) -> None:
        topic, partition = source
        super().__init__(f"{topic}/{partition}: expected offset {expected}, got {found}: what lies between was lost on the way")


class _Watermark:
    """One partition: ``position`` is the next offset to process, ``fetched`` the next one the broker has to hand over.

    ``expired`` has the skips over records that are gone: counted in the mark when the position passes them.
    """

    __slots__ = ("committed", "expired", "fetched", "mark", "position", "skips")

    def __init__(self, committed: int | None, mark: Mark) -> None:
        self.committed = committed
        self.mark = mark
        self.position = committed
        self.fetched = committed
        self.skips: dict[int, int] = {}
        self.expired: set[int] = set()

    def hand_over(self, offset: int) -> None:
        if self.fetched is None:
            self.position = offset
        elif offset > self.fetched:
            self.skips[self.fetched] = offset
        self.fetched = offset + 1

    def expire(self, beginning: int) -> int:
        if self.fetched is None or beginning <= self.fetched:
            return 0
        num_expired = beginning - self.fetched
        self.expired.add(self.fetched)
        self.skips[self.fetched] = self.fetched = beginning
        return num_expired

    def advance(self) -> None:
        """Step over what the broker skipped, so that a commit can pass it too."""
        while self.position in self.skips:
            start, self.position = self.position, self.skips.pop(self.position)
            if start in self.expired:
                self.expired.remove(start)
                self.mark = replace(self.mark, num_expired=self.mark.num_expired + self.position - start)


class Progress:
    """The watermarks of the partitions this worker reads. Partitions it was not told to ``start`` are ignored."""

    def __init__(self) -> None:
        self._watermarks: dict[tuple[str, int], _Watermark] = {}

    def start(self, source: tuple[str, int], committed: int | None, mark: Mark = UNMARKED) -> None:
        """Begin, or begin again after a rebalance, at the committed offset (``None``: nothing was ever committed).

        ``mark`` goes with every commit from now on.
        """
        self._watermarks[source] = _Watermark(committed, mark)

    def stop(self, sources: Iterable[tuple[str, int]]) -> None:
        """Forget partitions that another worker may own now."""
        for source in sources:
            self._watermarks.pop(source, None)

    def hand_over(self, source: tuple[str, int], offsets: Sequence[int]) -> None:
        """Learn which offsets the broker handed over in one batch, ascending."""
        watermark = self._watermarks.get(source)
        if watermark is None or not offsets:
            return
        contiguous = offsets[0] == watermark.fetched and offsets[-1] - offsets[0] + 1 == len(offsets)
        if contiguous:
            watermark.fetched = offsets[-1] + 1
            return
        for offset in offsets:
            watermark.hand_over(offset)

    def expire(self, source: tuple[str, int], beginning: int) -> int:
        """Learn that the broker has nothing below ``beginning`` any more. Returns how many offsets nobody will ever read."""
        watermark = self._watermarks.get(source)
        return watermark.expire(beginning) if watermark else 0

    def accept(self, source: tuple[str, int], offset: int) -> bool:
        """Whether this message is to be processed now: not one of a lost partition and not one already done.

        Raises :class:`HoleFound` when messages before it are missing and the broker did not skip them.
        """
        watermark = self._watermarks.get(source)
        if watermark is None or watermark.position is None:
            return False
        watermark.advance()
        if offset > watermark.position:
            raise HoleFound(SourcePartition(*source), watermark.position, offset)
        return offset == watermark.position

    def done(self, source: tuple[str, int], offset: int) -> None:
        """Everything derived from this message is on its way to Kafka: a flush and then a commit may cover it."""
        watermark = self._watermarks.get(source)
        if watermark is not None and watermark.position == offset:
            watermark.position = offset + 1

    def committable(self) -> dict[tuple[str, int], int]:
        """The offsets a commit would advance, by partition."""
        offsets = {}
        for source, watermark in self._watermarks.items():
            watermark.advance()
            if watermark.position is not None and watermark.position != watermark.committed:
                offsets[source] = watermark.position
        return offsets

    def committed(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """A commit of these offsets succeeded. One that failed is simply not told, and is due again."""
        for source, offset in offsets.items():
            watermark = self._watermarks.get(source)
            if watermark is not None:
                watermark.committed = offset

    def life(self, source: tuple[str, int]) -> object | None:
        """What is another after each ``start`` of the partition, and none while it is not read."""
        return self._watermarks.get(source)

    def has_unprocessed(self, left_out: Set[str]) -> bool:
        """Whether the broker handed over something, of other topics than these, that is not processed yet."""
        return any(
            one.position is not None and one.position < (one.fetched or 0)
            for (topic, _), one in self._watermarks.items()
            if topic not in left_out
        )

    @property
    def num_processed(self) -> int:
        """A number that grows with every message that is processed, as long as the same partitions are read."""
        return sum(one.position or 0 for one in self._watermarks.values())

    @property
    def num_committed(self) -> int:
        """A number that grows with every commit, as long as the same partitions are read."""
        return sum(one.committed or 0 for one in self._watermarks.values())

    def mark(self, source: tuple[str, int]) -> Mark:
        """What a commit of what is committable now says beside the offset."""
        return self._watermarks[source].mark

    def sources(self) -> list[tuple[str, int]]:
        """The partitions that are read."""
        return list(self._watermarks)

    def position(self, source: tuple[str, int]) -> int | None:
        """The next offset to process, if known."""
        watermark = self._watermarks.get(source)
        return watermark.position if watermark else None
