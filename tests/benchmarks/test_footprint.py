"""The footprint benchmark: what is published, what a row weighs, what RocksDB makes of rows, and the fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.footprint import Work, files_of, fitted, log_bytes, total


def test_two_loads_say_what_an_event_and_a_call_cost_and_the_one_between_is_put_to_them() -> None:
    loads = [Work(each, 1_000, 1_000 // each, 0.2 + 0.002 * (1_000 // each), 0.0) for each in (20, 5, 2)]
    fit = fitted(loads)
    assert (fit.event_ms, fit.call_ms, fit.foretold_ratio) == pytest.approx((0.2, 2.0, 1.0))


def test_bytes_of_a_topic_are_those_of_all_its_partitions_and_of_no_other(tmp_path: Path) -> None:
    for name, size in (("a.events-0", 10), ("a.events-12", 5), ("a.events-more-0", 100), ("a-0", 100)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "00000000000000000000.log").write_bytes(b"x" * size)
        (tmp_path / name / "00000000000000000000.index").write_bytes(b"x" * 1_000)
    assert log_bytes(tmp_path, "a.events") == 15


def test_rocksdb_is_weighed_when_it_is_compacted(tmp_path: Path) -> None:
    rows = [(b"k%06d" % number, b"the same text again " * 50) for number in range(500)]
    assert total(rows) == 500 * (7 + 1_000)
    assert 0 < files_of(rows, tmp_path / "rows") < total(rows) / 3
