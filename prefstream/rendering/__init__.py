"""How records and differences look on a terminal, one file for each kind; here are the words that all of them use.

Text of users is data: no markup, no control characters.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from rich.table import Table


def printable(text: str) -> str:
    """``text`` without the characters that would move the cursor or change the colours of a terminal."""
    return "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)


def age(then: datetime, now: datetime) -> str:
    """How long ago ``then`` was, in the largest fitting unit."""
    seconds = max(0, int((now - then).total_seconds()))
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if count := seconds // length:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return f"{seconds} s ago"


def counted(number: int, what: str) -> str:
    """``1 event``, ``1,200 events``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def numbers_table(title: str, columns: Iterable[str]) -> Table:
    """A table whose first column names what the numbers are of."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    return table
