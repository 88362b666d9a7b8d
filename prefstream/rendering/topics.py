"""How differences between topics look."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from prefstream.admin import Difference
from prefstream.topics import TopicSpec

REMEDY_STYLES = {"create": "green", "change": "yellow", "refuse": "bold red"}


def topics_table(specs: Iterable[TopicSpec], found: Iterable[Difference]) -> Table:
    """What each topic is for, and every difference between what is and what should be."""
    by_topic: dict[str, list[Difference]] = {}
    for difference in found:
        by_topic.setdefault(difference.topic, []).append(difference)
    table = Table("topic", "what", "is", "should be", "so", title_justify="left")
    for spec in specs:
        use = f"\n{spec.caption}\n{spec.writer} → {', '.join(spec.readers)}"
        name = Text.assemble((spec.name, "bold"), (use, "dim"))
        rows = by_topic.get(spec.name, [])
        if not rows:
            table.add_row(name, Text("as it should be", "dim"))
        for row, difference in enumerate(rows):
            remedy = Text(difference.remedy, REMEDY_STYLES[difference.remedy])
            table.add_row("" if row else name, difference.what, difference.actual or "–", difference.wanted, remedy)
        table.add_section()
    return table
