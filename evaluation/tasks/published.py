"""Published files, row by row: a bad one is named with file, line, field and what to do (file → **rows** → task).

A file is never held as a whole where its format lets it be read by lines, and a line is bounded. Every loader of this folder
takes ``skipped``: without it the first bad row raises Unreadable; with it bad rows are counted there and passed over.
"""

from __future__ import annotations

import csv
import hashlib
import heapq
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from gzip import GzipFile
from pathlib import Path
from typing import IO, TypeVar

import msgspec
from msgspec import Struct, field
from rich.console import Console
from rich.progress import Progress

MAX_LINE_BYTES = 16 * 1024 * 1024
"""A user of the longest published histories takes 0.2 MB; what is longer is not a file of these formats."""

DEFAULT_PEOPLE = 3_000
"""As many as the papers sample for a benchmark."""

_NAMED_BAD_ROWS = 5
_LINES_A_PICTURE = 4_096

Row = TypeVar("Row")


class Unreadable(Exception):
    """A published file cannot be used as it is; the message is a sentence with the file, the place, the field and the fix."""


class Skipped(Struct):
    """The bad rows that a load passed over because it was allowed to: how many, and what was wrong with the first ones."""

    num: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, problem: str) -> None:
        """Counts one more."""
        self.num += 1
        if len(self.first) < _NAMED_BAD_ROWS:
            self.first.append(problem)


def refuse(place: str, problem: object, skipped: Skipped | None) -> None:
    """A bad row at ``place``: counted where that is allowed; else raises Unreadable."""
    if skipped is None:
        raise Unreadable(f"{place}: {problem}. Mend this row, or allow bad rows to be passed over and counted.")
    skipped.add(f"{place}: {problem}")


def json_rows(path: Path, row: type[Row], skipped: Skipped | None) -> Iterator[tuple[str, Row]]:
    """The rows of a file of JSON lines, each with its place (``file:line``); gzipped where its name ends in ``.gz``.

    Raises Unreadable.
    """
    decoder = msgspec.json.Decoder(row)
    return parsed_rows(path, decoder.decode, skipped)


def parsed_rows(path: Path, parse: Callable[[bytes], Row], skipped: Skipped | None) -> Iterator[tuple[str, Row]]:
    """What ``parse`` makes of each line that is not empty, with its place; it refuses one with ValueError or MsgspecError."""
    for number, line in numbered_lines(path):
        if line.strip():
            try:
                row = parse(line)
            except (ValueError, msgspec.MsgspecError) as error:
                refuse(f"{path}:{number}", error, skipped)
            else:
                yield f"{path}:{number}", row


def array_rows(path: Path, row: type[Row], skipped: Skipped | None) -> Iterator[tuple[str, Row]]:
    """The rows of a file that is one JSON array, each with its place (``file, row 1``); the whole file is held meanwhile.

    Raises Unreadable.
    """
    try:
        documents = msgspec.json.decode(b"".join(line for _, line in numbered_lines(path)), type=list[msgspec.Raw])
    except (ValueError, msgspec.MsgspecError) as error:
        raise Unreadable(f"{path}: no JSON array of rows ({error}). Give the file as it was published.") from error
    decoder = msgspec.json.Decoder(row)
    for number, document in enumerate(documents, 1):
        try:
            decoded = decoder.decode(document)
        except (ValueError, msgspec.MsgspecError) as error:
            refuse(f"{path}, row {number}", error, skipped)
        else:
            yield f"{path}, row {number}", decoded


def table_rows(path: Path, columns: tuple[str, ...], skipped: Skipped | None) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of a CSV file whose first line names at least these columns, each with its place; others are left out.

    Raises Unreadable.
    """
    lines = (line.decode("utf-8-sig" if number == 1 else "utf-8", errors="replace") for number, line in numbered_lines(path))
    table = csv.reader(lines)
    header = next(table, [])
    if missing := [column for column in columns if column not in header]:
        raise Unreadable(f"{path}:1: no column {', '.join(missing)}. Its first line must name {','.join(columns)}.")
    places = [header.index(column) for column in columns]
    for cells in table:
        place = f"{path}:{table.line_num}"
        if len(cells) == len(header):
            yield place, {column: cells[index] for column, index in zip(columns, places, strict=True)}
        elif cells:
            refuse(place, f"{len(cells)} columns, where the first line names {len(header)}", skipped)


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file and their numbers, from 1; a bar on a terminal shows how far it is.

    Raises Unreadable for a file that is missing, damaged, or has a line of more than MAX_LINE_BYTES.
    """
    try:
        with ExitStack() as stack:
            raw = stack.enter_context(path.open("rb"))
            advance = _bar(stack, path)
            lines = iter(partial(_opened(raw, path).readline, MAX_LINE_BYTES + 1), b"")
            for number, line in enumerate(lines, 1):
                if len(line) > MAX_LINE_BYTES:
                    raise Unreadable(f"{path}:{number}: longer than {MAX_LINE_BYTES} bytes. Give one row a line.")
                if number % _LINES_A_PICTURE == 0:
                    advance(raw.tell())
                yield number, line
    except (OSError, EOFError, zlib.error) as error:
        problem = getattr(error, "strerror", None) or error
        raise Unreadable(f"{path}: cannot be read ({problem}). Give the path of the file as it was published.") from error


def _opened(raw: IO[bytes], path: Path) -> IO[bytes] | GzipFile:
    return GzipFile(fileobj=raw) if path.suffix == ".gz" else raw


def _bar(stack: ExitStack, path: Path) -> Callable[[int], object]:
    console = Console(file=sys.stderr)
    bar = stack.enter_context(Progress(console=console, transient=True, disable=not console.is_terminal))
    task = bar.add_task(f"Reading {path.name}", total=path.stat().st_size)
    return lambda position: bar.update(task, completed=position)


def rank(key: str, seed: int) -> bytes:
    """Where ``key`` stands in an order that says nothing and is the same on every machine."""
    return hashlib.sha256(f"{seed}:{key}".encode()).digest()


class Draw:
    """At most ``most`` of all the keys offered, drawn by ``seed`` whatever their order; holds no more than it keeps."""

    def __init__(self, most: int, seed: int) -> None:
        self.kept: set[str] = set()
        self._most, self._seed = most, seed
        self._heap: list[tuple[int, str]] = []
        self._last = ""

    def offer(self, key: str) -> None:
        """Keeps the key unless enough others come before it."""
        if key == self._last or key in self.kept:
            return
        self._last = key
        entry = (-int.from_bytes(rank(key, self._seed)), key)
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, entry)
        elif entry > self._heap[0]:
            self.kept.discard(heapq.heapreplace(self._heap, entry)[1])
        else:
            return
        self.kept.add(key)


def drawn(rows: Iterable[tuple[str, Row]], most: int, seed: int) -> list[tuple[str, Row]]:
    """At most ``most`` of the rows, drawn by ``seed`` and their places, in the order they came in."""
    numbered = enumerate(rows)
    chosen = heapq.nsmallest(most, numbered, key=lambda entry: rank(entry[1][0].rpartition("/")[2], seed))
    return [row for _, row in sorted(chosen, key=lambda entry: entry[0])]
