"""How records and differences look on a terminal, one file for each kind; here are the words that all of them use.

Text of users is data: no markup, no control characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from rich.text import Text

NARROW = 80
"""What every terminal has, in characters."""


def printable(text: str) -> str:
    """``text`` without the characters that would move the cursor or change the colours of a terminal."""
    return "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)


def age(then: datetime, now: datetime) -> str:
    """How long ago ``then`` was, in the largest fitting unit."""
    seconds = max(0, int((now - then).total_seconds()))
    for unit, length in (("year", 31_557_600), ("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if count := seconds // length:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return f"{seconds} s ago"


def counted(number: int, what: str) -> str:
    """``1 event``, ``1,200 events``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def short_age(then: datetime, now: datetime) -> str:
    """The same for a narrow column: ``50s ago``."""
    number, unit = age(then, now).split()[:2]
    return f"{number}{unit[0]} ago"


def empty_partitions(count: int) -> str:
    """What is said of partitions in which there never was anything."""
    return f"{counted(count, 'partition')} {'is' if count == 1 else 'are'} empty"


class Section(NamedTuple):
    """Rows of a list, under a heading of their own; a row that is a string is a remark about those left out."""

    heading: str
    rows: Sequence[Sequence[str | Text] | str]


def columns(headings: Sequence[str], sections: Sequence[Section], justify: str) -> list[Text]:
    """Lines with columns as wide as they need to be: nothing is cut, and no line wraps that has room.

    ``justify`` has an ``r`` or an ``l`` for each column. The columns move together where 80 characters are not enough.
    """
    rows = [[Text.styled(cell, "bold") for cell in headings]]
    rows += [[_text(cell) for cell in row] for section in sections for row in section.rows if not isinstance(row, str)]
    widths = [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]
    gap = "  " if sum(widths) + 2 * (len(widths) - 1) <= NARROW else " "

    def line(cells: Sequence[Text]) -> Text:
        return Text(gap).join(map(_aligned, cells, widths, justify))

    lines = [line(rows[0])]
    for section in sections:
        if section.heading:
            lines.append(Text(section.heading, "bold", overflow="fold"))
        lines += [Text(row, "dim") if isinstance(row, str) else line([_text(cell) for cell in row]) for row in section.rows]
    return lines


def _text(cell: str | Text) -> Text:
    return Text(cell) if isinstance(cell, str) else cell.copy()


def _aligned(cell: Text, width: int, justify: str) -> Text:
    if justify == "r":
        cell.pad_left(width - cell.cell_len)
    else:
        cell.pad_right(width - cell.cell_len)
    return cell
