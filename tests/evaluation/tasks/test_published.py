"""Files are read by lines, bad rows named or counted, and what is drawn does not depend on the order of a file."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from msgspec import Struct

from evaluation.tasks.published import (
    MAX_LINE_BYTES,
    Draw,
    Skipped,
    Unreadable,
    array_rows,
    json_rows,
    numbered_lines,
    table_rows,
)


class Named(Struct):
    """A row."""

    name: str


def names(path: Path, skipped: Skipped | None = None) -> list[str]:
    return [row.name for _, row in json_rows(path, Named, skipped)]


def test_a_bad_line_is_named_with_file_line_field_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"name": "a"}\n\n{"name": 3}\n')
    with pytest.raises(Unreadable, match=r"rows\.jsonl:3: Expected `str`, got `int` - at `\$\.name`\. Mend this row, or allow"):
        names(path)


def test_bad_lines_are_counted_where_that_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"name": "a"}\n' + "nonsense\n" * 7 + '{"name": "b"}\n')
    skipped = Skipped()
    assert names(path, skipped) == ["a", "b"]
    assert (skipped.num, len(skipped.first)) == (7, 5)
    assert skipped.first[0].startswith(f"{path}:2: JSON is malformed")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("rows.jsonl", None, "No such file"),
        ("rows.jsonl.gz", b"plain text", "Not a gzipped file"),
        ("rows.jsonl.gz", gzip.compress(b'{"name": "a"}\n' * 999)[:-20], "ended before"),
        ("rows.jsonl", b"x" * (MAX_LINE_BYTES + 1), "rows.jsonl:1: longer than"),
    ],
    ids=["missing", "not gzip", "cut gzip", "endless line"],
)
def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path: Path, name: str, content: bytes | None, problem: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Unreadable, match=problem):
        list(numbered_lines(path))


def test_gzipped_lines_are_lines(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"name": "a"}\n{"name": "b"}'))
    assert names(path) == ["a", "b"]


def test_rows_of_an_array_are_numbered(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('[{"name": "a"},\n {"nom": "b"}]')
    skipped = Skipped()
    assert [place for place, _ in array_rows(path, Named, skipped)] == [f"{path}, row 1"]
    assert skipped.first == [f"{path}, row 2: Object missing required field `name`"]
    path.write_text('{"name": "a"}')
    with pytest.raises(Unreadable, match="no JSON array"):
        list(array_rows(path, Named, None))


def test_a_table_needs_its_columns_and_says_where_a_row_is_short(tmp_path: Path) -> None:
    path = tmp_path / "films.csv"
    path.write_text('\ufefffilm,title,more\r\n1,"Ferry, The (1998)",x\r\n2,short\r\n', encoding="utf-8")
    skipped = Skipped()
    assert [row for _, row in table_rows(path, ("title", "film"), skipped)] == [{"title": "Ferry, The (1998)", "film": "1"}]
    assert skipped.first == [f"{path}:3: 2 columns, where the first line names 3"]
    with pytest.raises(Unreadable, match=r"films\.csv:1: no column year"):
        list(table_rows(path, ("year",), None))


def test_a_draw_is_the_same_in_any_order_and_holds_no_more_than_it_keeps() -> None:
    keys = [f"user {number}" for number in range(200)]
    forwards, backwards, other = Draw(7, seed=1), Draw(7, seed=1), Draw(7, seed=2)
    for key in [*keys, *keys]:
        forwards.offer(key)
        other.offer(key)
    for key in reversed(keys):
        backwards.offer(key)
    assert len(forwards.kept) == 7
    assert forwards.kept == backwards.kept != other.kept
    everybody = Draw(500, seed=1)
    for key in keys:
        everybody.offer(key)
    assert everybody.kept == set(keys)
