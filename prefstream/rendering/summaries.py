"""How summaries and their versions look."""

from __future__ import annotations

from calendar import month_abbr
from datetime import UTC, datetime

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from prefstream.diffs import changed_words, marked
from prefstream.history import KeptVersion
from prefstream.rendering import age, counted, printable
from prefstream.summaries import FlushReason, ModelUsed, Summary
from prefstream.tenants import shown

REASONS: dict[FlushReason, str] = {
    "size": "enough events",
    "tokens": "enough text",
    "age": "waited long enough",
    "control": "a command",
    "drain": "worker stopped",
}


def summary_panel(summary: Summary | KeptVersion, now: datetime) -> Panel:
    """The text of a summary with its version, what it is based on, how fresh it is, and why it was written."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim")
    facts.add_column()
    facts.add_row("version", f"{summary.version}")
    facts.add_row("based on", _basis(summary))
    if summary.says_nothing_new:
        facts.add_row("nothing new", f"in the last {counted(summary.num_spared_events, 'event')}: no model was asked")
    facts.add_row("written", age(summary.updated_at, now))
    facts.add_row("because", why(summary))
    if summary.last_event_at:
        facts.add_row("last event", age(summary.last_event_at, now))
    if summary.pins:
        facts.add_row("pinned", Text(printable("\n".join(summary.pins))))
    if summary.model.name:
        facts.add_row("model", Text(printable(shown_model(summary.model))))
    title = Text(printable(shown(summary.tenant, summary.user)), "bold")
    return Panel(Group(Text(printable(summary.text)), "", facts), title=title, title_align="left")


def _basis(summary: Summary | KeptVersion) -> str:
    """``42 events from 3 Mar to 5 Apr 2026, 20 of them new``: the days are of UTC, and those of the events."""
    covered = _span(summary.first_event_at, summary.last_event_at)
    return f"{counted(summary.num_events, 'event')}{covered}{of_them_new(summary)}"


def of_them_new(summary: Summary | KeptVersion) -> str:
    """``, 20 of them new``; nothing where none is, or each."""
    some_are = 0 < summary.num_new_events < summary.num_events
    return f", {summary.num_new_events:,} of them new" if some_are else ""


def _span(first: datetime | None, last: datetime | None) -> str:
    if first is None or last is None:
        return ""
    first, last = first.astimezone(UTC), last.astimezone(UTC)
    if first.date() == last.date():
        return f" of {_day(last)}"
    begin = _day(first).removesuffix(f" {last.year}") if first.year == last.year else _day(first)
    return f" from {begin} to {_day(last)}"


def _day(instant: datetime) -> str:
    return f"{instant.day} {month_abbr[instant.month]} {instant.year}"


def why(version: Summary | KeptVersion) -> str:
    """Why a version was made, in a few words; a kept one says what the person asked for."""
    command = version.command if isinstance(version, KeptVersion) else ""
    return printable(command.replace("_", "-")) or REASONS[version.reason]


def shown_model(model: ModelUsed) -> str:
    """Which model wrote a text; empty where a person did."""
    # The profile of a model that is served under its own name says nothing more.
    return model.name if model.profile in ("", model.name) else f"{model.name}, profile {model.profile}"


def version_lines(previous: Summary | None, summary: Summary, now: datetime, has_colours: bool = True) -> Group:
    """One new version, with what changed since ``previous``, in colour or in marks; None shows the text as it is."""
    heading = Text.assemble(
        (printable(shown(summary.tenant, summary.user)), "bold"),
        (f"  version {summary.version}, {why(summary)}, +{counted(summary.num_new_events, 'event')}, ", "dim"),
        ("nothing new, " if summary.says_nothing_new else "", "dim"),
        (age(summary.updated_at, now), "dim"),
    )
    said = Text(printable(summary.text)) if previous is None else changed(previous.text, summary.text, has_colours)
    return Group(heading, said, "")


def changed(old: str, new: str, has_colours: bool) -> Text:
    """The new text with what changed in it, in colour or in marks."""
    change = changed_words(printable(old), printable(new))
    return change if has_colours else Text(marked(change))
