"""How an audit looks."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from prefstream.audit import Audit, PartitionAccount, Verdict
from prefstream.audit_folds import FindingKind
from prefstream.rendering import numbers_table, printable

VERDICT_STYLES: dict[Verdict, str] = {"holds": "bold green", "undecided": "bold yellow", "broken": "bold red"}
FINDING_STYLES: dict[FindingKind, str] = {"note": "dim", "unsettled": "yellow", "undecided": "yellow", "broken": "red"}


def audit_report(found: Audit) -> Group:
    """The accounts by partition and together, what was found of the sources, every finding, and the verdict in one sentence."""
    findings = [
        Text.assemble((finding.kind, FINDING_STYLES[finding.kind]), f"  {printable(finding.where)}: {finding.what}")
        for finding in found.findings
    ]
    sources = [_sources_table(found)] if found.sources else []
    verdict = Text(printable(found.sentence), VERDICT_STYLES[found.verdict])
    return Group(_accounts_table(found), *sources, *findings, verdict)


_ACCOUNT_COLUMNS = ("accepted", "applied", "pending", "poison", "redelivered", "duplicate", "dead", "on topic")
_SOURCE_COLUMNS = ("from", "committed", "found", "older", "unsure", "lost")


def _accounts_table(found: Audit) -> Table:
    table = numbers_table("keyed topics", ("partition", *_ACCOUNT_COLUMNS, ""))
    rows = [(account, _account_numbers(account)) for account in found.partitions]
    for account, numbers in rows:
        moving = Text("in motion", "dim") if account.is_moving else ""
        table.add_row(str(account.partition), *(f"{number:,}" for number in numbers), moving)
    table.add_section()
    totals = [sum(column) for column in zip(*(numbers for _, numbers in rows), strict=True)]
    table.add_row("total", *(f"{number:,}" for number in totals), "", style="bold")
    return table


def _account_numbers(account: PartitionAccount) -> tuple[int, ...]:
    events = (account.accepted, account.applied, account.pending, account.poison)
    return (*events, account.redelivered, account.duplicate, account.dead, account.num_on_topic)


def _sources_table(found: Audit) -> Table:
    table = numbers_table("sources", ("topic", "partition", *_SOURCE_COLUMNS))
    for source in found.sources:
        numbers = (source.partition, source.beginning, source.committed, source.met, source.older, source.unsure, source.lost)
        table.add_row(printable(source.topic), *(f"{number:,}" for number in numbers))
    return table
