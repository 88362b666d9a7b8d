"""How an audit looks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import Group
from rich.text import Text

from prefstream.audit import Audit, PartitionAccount, SourceAccount, Verdict
from prefstream.audit_findings import FindingKind
from prefstream.rendering import Section, columns, empty_partitions, printable

VERDICT_STYLES: dict[Verdict, str] = {"holds": "bold green", "undecided": "bold yellow", "broken": "bold red"}
FINDING_STYLES: dict[FindingKind, str] = {"note": "dim", "unsettled": "yellow", "undecided": "yellow", "broken": "red"}


def audit_report(found: Audit) -> Group:
    """The accounts by partition and together, what was found of the sources, every finding, and the verdict in one sentence."""
    findings = [
        Text.assemble((finding.kind, FINDING_STYLES[finding.kind]), f"  {printable(finding.where)}: {finding.what}")
        for finding in found.findings
    ]
    verdict = Text(printable(found.sentence), VERDICT_STYLES[found.verdict])
    parts = [_accounts(found), *([_sources(found)] if found.sources else ()), [*findings, verdict]]
    return Group(*[line for part in parts for line in (*part, "")][:-1])


_ACCOUNT_COLUMNS = (
    "accepted",
    "applied",
    "pending",
    "poison",
    "erased",
    "redelivered",
    "duplicate",
    "dead",
    "filtered",
    "commands",
    "late",
    "on topic",
)
_SOURCE_COLUMNS = ("from", "committed", "found", "older", "unsure", "lost")
_ALWAYS = ("accepted", "applied", "pending", "on topic", "from", "committed", "found")

_Numbers = tuple[int, ...]


def _accounts(found: Audit) -> list[Text]:
    rows = [(account.partition, _account_numbers(account)) for account in found.partitions]
    totals = tuple(sum(column) for column in zip(*(numbers for _, numbers in rows), strict=True))
    kept = _kept(_ACCOUNT_COLUMNS, [numbers for _, numbers in rows])
    shown = _rows(rows, kept)
    if rows:
        shown.append([Text("total", "bold"), *(Text(f"{totals[index]:,}", "bold") for index in kept)])
    headings = ("partition", *(_ACCOUNT_COLUMNS[index] for index in kept))
    lines = columns(headings, [Section("", shown)], "r" * len(headings))
    moving = ", ".join(str(account.partition) for account in found.partitions if account.is_moving)
    return [*lines, Text(f"in motion: {moving}", "dim")] if moving else lines


def _account_numbers(account: PartitionAccount) -> _Numbers:
    events = (account.accepted, account.applied, account.pending, account.poison, account.erased)
    others = (account.redelivered, account.duplicate, account.dead, account.filtered, account.commands, account.late)
    return (*events, *others, account.num_on_topic)


def _sources(found: Audit) -> list[Text]:
    in_order = sorted(found.sources, key=lambda source: (source.topic, source.partition))
    numbers = [_source_numbers(source) for source in in_order]
    kept = _kept(_SOURCE_COLUMNS, numbers)
    sections = [
        Section(printable(topic), _rows([(source.partition, _source_numbers(source)) for source in sources], kept))
        for topic, sources in groupby(in_order, key=lambda source: source.topic)
    ]
    headings = ("partition", *(_SOURCE_COLUMNS[index] for index in kept))
    return columns(headings, sections, "r" * len(headings))


def _source_numbers(source: SourceAccount) -> _Numbers:
    return (source.beginning, source.committed, source.met, source.older, source.unsure, source.lost)


def _kept(names: Sequence[str], rows: Sequence[_Numbers]) -> list[int]:
    """Which columns say something."""
    return [index for index, name in enumerate(names) if name in _ALWAYS or any(row[index] for row in rows)]


def _rows(rows: Sequence[tuple[int, _Numbers]], kept: Sequence[int]) -> list[Sequence[str | Text] | str]:
    """A row for each partition in which there is something, and how many there are beside."""
    shown: list[Sequence[str | Text] | str] = [
        [str(partition), *(f"{numbers[index]:,}" for index in kept)] for partition, numbers in rows if any(numbers)
    ]
    num_empty = len(rows) - len(shown)
    return [*shown, empty_partitions(num_empty)] if num_empty else shown
