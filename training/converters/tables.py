"""Parquet, a batch of rows at a time: what the papers' tables are read from and written to (file → **rows** → converter)."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pyarrow
from msgspec import Struct
from pyarrow import parquet
from rich.console import Console
from rich.progress import Progress

from evaluation.tasks.published import Skipped, Unreadable, refuse

_BATCH = 64
"""Rows of a verl table take up to 100 kB, their history four times."""

Row = TypeVar("Row", bound=Struct)


def read_table(path: Path, row: type[Row], skipped: Skipped | None) -> Iterator[tuple[str, Row]]:
    """The rows of a Parquet file, or of all in a folder, each with its place (``file, row 1``); a bar shows how far it is.

    Raises Unreadable.
    """
    for part in _parts(path):
        try:
            with parquet.ParquetFile(part) as table:
                yield from _rows(part, table, row, skipped)
        except (OSError, pyarrow.ArrowException) as error:
            raise Unreadable(f"{part}: no Parquet file ({error}). Give the path of the file as it was published.") from error


def _parts(path: Path) -> list[Path]:
    parts = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not parts:
        raise Unreadable(f"{path}: a folder without a .parquet file. Give the file, or the folder of its parts.")
    return parts


def _rows(part: Path, table: Any, row: type[Row], skipped: Skipped | None) -> Iterator[tuple[str, Row]]:
    console = Console(file=sys.stderr)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"Reading {part.name}", total=table.metadata.num_rows)
        documents = (document for batch in table.iter_batches(_BATCH) for document in batch.to_pylist())
        for number, document in enumerate(documents, 1):
            try:
                converted = msgspec.convert(document, row)
            except (ValueError, msgspec.MsgspecError) as error:
                refuse(f"{part}, row {number}", error, skipped)
            else:
                yield f"{part}, row {number}", converted
            bar.advance(task)


def write_table(path: Path, rows: Iterable[Struct], schema: Any) -> int:
    """Writes the rows, complete or not at all, and returns how many they are."""
    part = path.with_name(path.name + ".part")
    num_written = 0
    with parquet.ParquetWriter(part, schema) as table:
        documents = map(msgspec.to_builtins, rows)
        while some := list(islice(documents, _BATCH)):
            table.write_table(pyarrow.Table.from_pylist(some, schema))
            num_written += len(some)
    part.rename(path)
    return num_written
