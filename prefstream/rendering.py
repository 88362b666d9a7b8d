"""How records and differences look on a terminal. Text of users is data: no markup, no control characters."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from prefstream.admin import Difference
from prefstream.audit import Audit, PartitionAccount, Verdict
from prefstream.audit_folds import FindingKind
from prefstream.diffs import changed_words, marked
from prefstream.summaries import FlushReason, Summary
from prefstream.topics import TopicSpec

REMEDY_STYLES = {"create": "green", "change": "yellow", "refuse": "bold red"}

VERDICT_STYLES: dict[Verdict, str] = {"holds": "bold green", "undecided": "bold yellow", "broken": "bold red"}
FINDING_STYLES: dict[FindingKind, str] = {"note": "dim", "unsettled": "yellow", "undecided": "yellow", "broken": "red"}


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


def version_lines(previous: Summary | None, summary: Summary, now: datetime, has_colours: bool = True) -> Group:
    """One new version, with what changed since ``previous``, in colour or in marks; None shows the text as it is."""
    heading = Text.assemble(
        (printable(summary.user), "bold"),
        (f"  version {summary.version}, {summary.reason}, +{counted(summary.num_new_events, 'event')}, ", "dim"),
        (age(summary.updated_at, now), "dim"),
    )
    text = printable(summary.text)
    if previous is None:
        return Group(heading, Text(text), "")
    change = changed_words(printable(previous.text), text)
    return Group(heading, change if has_colours else Text(marked(change)), "")


def audit_report(found: Audit) -> Group:
    """The accounts by partition and together, what was found of the sources, every finding, and the verdict in one sentence."""
    findings = [
        Text.assemble((finding.kind, FINDING_STYLES[finding.kind]), f"  {printable(finding.where)}: {finding.what}")
        for finding in found.findings
    ]
    sources = [_sources_table(found)] if found.sources else []
    verdict = Text(printable(found.sentence), VERDICT_STYLES[found.verdict])
    return Group(_accounts_table(found), *sources, *findings, verdict)


_ACCOUNT_COLUMNS = ("accepted", "applied", "pending", "redelivered", "duplicate", "dead", "on topic")
_SOURCE_COLUMNS = ("from", "committed", "found", "older", "unsure", "lost")


def _accounts_table(found: Audit) -> Table:
    table = _numbers_table("keyed topics", ("partition", *_ACCOUNT_COLUMNS, ""))
    rows = [(account, _account_numbers(account)) for account in found.partitions]
    for account, numbers in rows:
        moving = Text("in motion", "dim") if account.is_moving else ""
        table.add_row(str(account.partition), *(f"{number:,}" for number in numbers), moving)
    table.add_section()
    totals = [sum(column) for column in zip(*(numbers for _, numbers in rows), strict=True)]
    table.add_row("total", *(f"{number:,}" for number in totals), "", style="bold")
    return table


def _account_numbers(account: PartitionAccount) -> tuple[int, ...]:
    counts = (account.accepted, account.applied, account.pending, account.redelivered, account.duplicate, account.dead)
    return (*counts, account.num_on_topic)


def _sources_table(found: Audit) -> Table:
    table = _numbers_table("sources", ("topic", "partition", *_SOURCE_COLUMNS))
    for source in found.sources:
        numbers = (source.partition, source.beginning, source.committed, source.met, source.older, source.unsure, source.lost)
        table.add_row(printable(source.topic), *(f"{number:,}" for number in numbers))
    return table


def _numbers_table(title: str, columns: Iterable[str]) -> Table:
    """A table whose first column names what the numbers are of."""
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    return table
