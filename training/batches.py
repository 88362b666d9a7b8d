"""Batches: what a slow stage has done so far, a line per batch, so that whoever kills it loses one batch (**S2**, **S3**)."""

from __future__ import annotations

from pathlib import Path
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Batches(Generic[T]):
    """A file of batches that were finished, in order; a last line that was cut is taken away before the next is written."""

    def __init__(self, path: Path, kind: type[T]) -> None:
        self._path = path
        lines = whole_lines(path)
        self.done: list[list[T]] = [msgspec.json.decode(line, type=list[kind]) for line in lines]  # type: ignore[valid-type]
        cut_to(path, lines)

    def append(self, batch: list[T]) -> None:
        """One more batch is done."""
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(batch) + b"\n")
        self.done.append(batch)

    def all(self) -> list[T]:
        """Everything that is done."""
        return [one for batch in self.done for one in batch]


def whole_lines(path: Path) -> list[bytes]:
    """The lines of a file that were written whole; none where there is no file."""
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


def cut_to(path: Path, lines: list[bytes]) -> None:
    """Cuts a file after these of its first lines, in place: whoever is killed here loses none of them."""
    if path.exists():
        with path.open("r+b") as file:
            file.truncate(sum(len(line) + 1 for line in lines))
