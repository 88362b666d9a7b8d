"""The end of the demo: the accounts as a table, and what some summaries were on their way to what they are."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from deploy.demo.accounting import Accounts
from deploy.demo.screen import heading, which
from prefstream.diffs import changed_words, has_colours, marked
from prefstream.rendering import printable
from prefstream.summaries import Summary

_NUM_SHOWN = 3
_MAX_VERSIONS = 3
_MAX_NAMED = 5


def report(console: Console, accounts: Accounts) -> None:
    """Print the whole end report."""
    console.print()
    for versions in _chosen(accounts):
        console.print(_history(versions, in_colour=has_colours(console)))
    console.print(accounts_table(accounts))
    console.print(accounts_verdict(accounts))


def _chosen(accounts: Accounts) -> list[Sequence[Summary]]:
    """Users with many, some and few versions."""
    by_length = sorted(accounts.versions.values(), key=lambda versions: (len(versions), versions[0].user))
    several = [versions for versions in by_length if len(versions) > 1] or by_length
    last = len(several) - 1
    places = dict.fromkeys(round(last * share) for share in (0.9, 0.5, 0.1)) if several else {}
    return [several[place] for place in places][:_NUM_SHOWN]


def _history(versions: Sequence[Summary], in_colour: bool) -> RenderableType:
    """The newest version in a box, and below it how it came about."""
    newest = versions[-1]
    first = max(0, len(versions) - _MAX_VERSIONS)
    steps: list[RenderableType] = [Text(f"(from version {first + 1} on)", "dim")] if first else []
    for index in range(first, len(versions)):
        change = _change(versions[index - 1] if index else None, versions[index])
        steps += [heading(versions[index]), change if in_colour else Text(marked(change))]
    box_of_newest = Panel(Text(printable(newest.text)), title=which(newest), title_align="left", border_style="cyan")
    return Group(box_of_newest, Padding(Group(Text("how it came about:", "italic"), *steps), (0, 2, 1, 2)))


def _change(previous: Summary | None, summary: Summary) -> Text:
    text = printable(summary.text)
    return changed_words(printable(previous.text), text) if previous else Text(text)


def accounts_table(accounts: Accounts) -> Table:
    """Where every source record is, a line each."""
    table = Table(title="The accounts, from the topics alone", title_justify="left", box=box.SIMPLE_HEAD, show_footer=True)
    table.add_column("", Text("= accounted for"))
    table.add_column("records", Text(f"{accounts.accounted:,}"), justify="right", no_wrap=True)
    table.add_column("counted as", Text("must equal the source records"))
    sources = " + ".join(f"{count:,} {topic}" for topic, count in accounts.num_source.items() if count)
    dead = ", ".join(f"{count:,} {reason}" for reason, count in sorted(accounts.dead.items()))
    table.add_row(Text("source records", "bold"), Text(f"{accounts.source:,}", "bold"), sources, end_section=True)
    table.add_row("  applied", f"{accounts.applied:,}", f"num_events of {len(accounts.versions):,} current summaries")
    table.add_row("+ duplicate", f"{accounts.duplicate:,}", "raw records that repeat a user's id: publisher's retries")
    table.add_row("+ dead", f"{sum(accounts.dead.values()):,}", f"dead letters: {dead}" if dead else "dead letters")
    table.add_row("+ pending", f"{accounts.pending:,}", "stored events that no summary covers yet")
    return table


def accounts_verdict(accounts: Accounts) -> Text:
    """Whether that is exact, in one sentence."""
    num_versions = sum(len(versions) for versions in accounts.versions.values())
    said = f"{len(accounts.versions):,} users summarised, in {num_versions:,} versions. "
    if accounts.is_exact:
        return Text.assemble(said, ("The accounts are exact, also for each user.", "bold green"))
    missing = accounts.source - accounts.accounted
    named = ", ".join(printable(user) for user in accounts.unexplained[:_MAX_NAMED])
    users = f" {len(accounts.unexplained):,} users are not explained: {named}." if named else ""
    return Text.assemble(said, (f"The accounts are NOT exact: {missing:+,} records.{users}", "bold red"))
