"""JSON lines that training writes: a file appears under its name when it is complete (stage → **lines** → next stage)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct


def write_lines(path: Path, rows: Iterable[Struct]) -> int:
    """Writes the rows, complete or not at all, and returns how many they are; until then they are in ``path`` + ``.part``."""
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    num_written = 0
    with part.open("wb") as file:
        for row in rows:
            file.write(msgspec.json.encode(row) + b"\n")
            num_written += 1
    part.rename(path)
    return num_written
