"""Header names: records whose headers are not named in UTF-8 are read like all others.

Place in the flow: inside the consumer, where a fetched batch becomes records. Kafka's protocol says that names are UTF-8, no
broker checks it, and producers in C write whatever they are given. aiokafka's decoder raises then, for the whole batch, at
every start again: one such record would hold up its partition for ever.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, SupportsIndex, overload

import aiokafka.consumer.fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

_HEAD = struct.Struct(">qi")  # base offset, and how many bytes follow


class _Tolerant(bytearray):
    """Bytes whose slices are decoded with a mark in place of what is no UTF-8."""

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> int: ...
    @overload
    def __getitem__(self, index: slice, /) -> bytearray: ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> int | bytearray:
        found = super().__getitem__(index)
        return found if isinstance(found, int) else _Tolerant(found)

    def decode(self, encoding: str = "utf-8", errors: str = "replace") -> str:
        return super().decode(encoding, errors)


class TolerantBatch:
    """A fetched batch; what it is asked for, aiokafka's own answers, unless that cannot decode it."""

    def __init__(self, batch: Any, encoded: bytes) -> None:
        self._batch = batch
        self._encoded = encoded

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:  # how a control batch, which has one record, is read
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            return iter(list(self._batch))
        except UnicodeDecodeError:
            return iter(_decoded_tolerantly(self._encoded))


def _decoded_tolerantly(encoded: bytes) -> list[Any]:
    batch = _DefaultRecordBatchPy(encoded)
    batch._maybe_uncompress()
    batch._buffer = _Tolerant(batch._buffer)
    return list(batch)


class TolerantRecords:
    """The batches of one fetched partition, in place of aiokafka's class of the same protocol."""

    def __init__(self, encoded: bytes) -> None:
        self._records = MemoryRecords(encoded)
        self._encoded = encoded
        self._position = 0

    def size_in_bytes(self) -> int:
        """How many bytes were fetched."""
        return len(self._encoded)

    def has_next(self) -> bool:
        """Whether there is another whole batch."""
        return bool(self._records.has_next())

    def next_batch(self) -> TolerantBatch:
        """The next batch."""
        begin = self._position
        self._position = begin + _HEAD.size + _HEAD.unpack_from(self._encoded, begin)[1]
        return TolerantBatch(self._records.next_batch(), self._encoded[begin : self._position])


def read_any_header_name() -> None:
    """From now on consumers of this process read such records."""
    aiokafka.consumer.fetcher.MemoryRecords = TolerantRecords
