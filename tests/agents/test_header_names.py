"""Records whose header names are no UTF-8 are read, and what was well before is read as before."""

from __future__ import annotations

import pytest
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords

from agents.header_names import TolerantRecords

# As a producer in C would write it: the builder takes text only, so a name of as many bytes is put in its place.
NAME, BROKEN = "name", b"\xff\xfe\x80x"


def encoded_batch(first_offset: int, num_records: int, compression: int = 0) -> bytes:
    builder = _DefaultRecordBatchBuilderPy(
        magic=2,
        compression_type=compression,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 20,
    )
    for number in range(num_records):
        headers = [(NAME, b"\xff"), ("other", None)]
        builder.append(number, timestamp=None, key=b"k", value=b"v%d" % number, headers=headers)
    if compression:
        builder._buffer = bytearray(bytes(builder._buffer).replace(NAME.encode(), BROKEN))
    encoded = bytearray(builder.build())
    encoded[:8] = first_offset.to_bytes(8, "big")
    return bytes(encoded)


def broken(encoded: bytes) -> bytes:
    return encoded.replace(NAME.encode(), BROKEN)


def read(encoded: bytes) -> list[tuple[int, bytes | None, list[tuple[str, bytes | None]]]]:
    records = TolerantRecords(encoded)
    assert records.size_in_bytes() == len(encoded)
    found = []
    while records.has_next():
        batch = records.next_batch()
        assert batch.is_control_batch is False
        found += [(record.offset, record.value, list(record.headers)) for record in batch]
    return found


@pytest.mark.parametrize("compression", [0, 1], ids=["plain", "gzip"])
def test_only_the_name_is_other_than_it_was(compression: int) -> None:
    good = encoded_batch(10, 3)
    bad = encoded_batch(13, 2, compression) if compression else broken(encoded_batch(13, 2))
    with pytest.raises(UnicodeDecodeError):
        list(MemoryRecords(bad).next_batch())
    found = read(good + bad + encoded_batch(15, 1))
    assert [offset for offset, _, _ in found] == [10, 11, 12, 13, 14, 15]
    assert [value for _, value, _ in found] == [b"v0", b"v1", b"v2", b"v0", b"v1", b"v0"]
    names = [[name for name, _ in headers] for _, _, headers in found]
    assert names == [[NAME, "other"]] * 3 + [[BROKEN.decode(errors="replace"), "other"]] * 2 + [[NAME, "other"]]
    assert {tuple(value for _, value in headers) for _, _, headers in found} == {(b"\xff", None)}


def test_what_is_well_is_read_by_aiokafkas_own_decoder() -> None:
    batch = TolerantRecords(encoded_batch(0, 1)).next_batch()
    (record,) = batch
    (other,) = MemoryRecords(encoded_batch(0, 1)).next_batch()
    assert type(record) is type(other)
    assert batch.next_offset == 1
