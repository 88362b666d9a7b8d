"""How records and differences look on a terminal. Text of users is data: no markup, no control characters."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from prefstream.admin import Difference
from prefstream.diffs import changed_words
from prefstream.summaries import FlushReason, Summary
from prefstream.topics import TopicSpec

REMEDY_STYLES = {"create": "green", "change": "yellow", "refuse": "bold red"}


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


REASONS: dict[FlushReason, str] = {
    "size": "enough events waited",
    "tokens": "enough text waited",
    "age": "the oldest event had waited long enough",
    "control": "the person changed something",
    "drain": "the worker was stopping",
}


def counted(number: int, what: str) -> str:
    """``1 event``, ``1,200 events``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def summary_panel(summary: Summary, now: datetime) -> Panel:
    """The text of a summary with its version, what it is based on, how fresh it is, and why it was written."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column()
    facts.add_row("version", f"{summary.version}")
    facts.add_row("based on", f"{counted(summary.num_events, 'event')}, {summary.num_new_events:,} of them new")
    facts.add_row("written", f"{age(summary.updated_at, now)}, because {REASONS[summary.reason]}")
    if summary.last_event_at:
        facts.add_row("last event", age(summary.last_event_at, now))
    if summary.pins:
        facts.add_row("pinned", Text(printable("\n".join(summary.pins))))
    if summary.model.name:
        facts.add_row("model", Text(printable(summary.model.name)))
    title = Text(printable(summary.user), "bold")
    return Panel(Group(Text(printable(summary.text)), "", facts), title=title, title_align="left")


def version_lines(previous: Summary | None, summary: Summary, now: datetime) -> Group:
    """One new version, with what changed since ``previous``; None shows the text without marks."""
    heading = Text.assemble(
        (printable(summary.user), "bold"),
        (f"  version {summary.version}, {summary.reason}, +{counted(summary.num_new_events, 'event')}, ", "dim"),
        (age(summary.updated_at, now), "dim"),
    )
    text = printable(summary.text)
    return Group(heading, Text(text) if previous is None else changed_words(printable(previous.text), text), "")
