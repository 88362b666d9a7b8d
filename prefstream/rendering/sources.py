"""Where a group stands in the topics it reads, on a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from prefstream.rendering import numbers_table, printable
from prefstream.sources import Standing, Verdict

VERDICT_STYLES: dict[Verdict, str] = {"ok": "dim", "expired": "yellow", "recreated": "bold red", "beyond end": "bold red"}
COLUMNS = ("topic", "partition", "committed", "beginning", "end", "lag", "expired", "verdict")


def standings_table(found: Iterable[Standing]) -> Table:
    """Each partition, by topic; ``expired`` is how many records were gone before they were read, ever."""
    table = numbers_table("sources", COLUMNS)
    topic = ""
    for one in found:
        if topic not in ("", one.topic):
            table.add_section()
        name, topic = "" if topic == one.topic else printable(one.topic), one.topic
        committed = "–" if one.committed is None else f"{one.committed:,}"
        numbers = (f"{number:,}" for number in (one.beginning, one.end, one.lag, one.mark.num_expired))
        table.add_row(name, str(one.partition), committed, *numbers, Text(one.verdict, VERDICT_STYLES[one.verdict]))
    return table
