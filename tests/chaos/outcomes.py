"""Outcomes: what came of the faults of a run, as a table, as JSON, and as the commands that play a failure again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct
from rich.table import Table

from tests.chaos.judgement import Crime, Finding
from tests.chaos.schedule import Plan

_LOST: tuple[Crime, ...] = ("lost", "not_on_source")
_DOUBLED: tuple[Crime, ...] = ("doubled", "dead_and_applied", "from_nowhere")
_DISORDERED: tuple[Crime, ...] = ("out_of_order", "went_backwards", "version_skipped", "version_rewritten")


class Injected(Struct, frozen=True):
    """One fault as it was injected: how many records were published from it to the next, and the wait for a summary after it.

    ``problem`` says why it proves nothing, or what did not come after it (``is_stalled``); empty if all is well.
    """

    fault: str
    num_events: int
    stall_seconds: float
    problem: str = ""
    is_stalled: bool = False


class Outcome(Struct, frozen=True):
    """What came of an episode. ``ends`` counts the exit codes of its workers (negative: the signal)."""

    plan: Plan
    injected: tuple[Injected, ...]
    findings: tuple[Finding, ...]
    num_judged: int
    seconds: float
    ends: dict[int, int] = {}
    problem: str = ""
    is_interrupted: bool = False

    @property
    def problems(self) -> list[str]:
        """Everything that is wrong, in words."""
        found = [f"{one.fault}: {one.problem}" for one in self.injected if one.problem]
        found += [f"{finding.crime} {finding.count}: {'; '.join(finding.examples)}" for finding in self.findings]
        return [*found, self.problem] if self.problem else found

    def count(self, crimes: Iterable[Crime]) -> int:
        """How many records met one of these crimes."""
        return sum(finding.count for finding in self.findings if finding.crime in crimes)


class Row(Struct, frozen=True, kw_only=True):
    """One fault over the whole run. What an episode lost counts for each of its faults: any may have been it."""

    fault: str
    times_injected: int
    events: int
    lost: int
    doubled: int
    out_of_order: int
    other: int
    longest_stall_seconds: float


def rows(outcomes: Sequence[Outcome]) -> list[Row]:
    """The table, in the order of first injection of each name, sorted by name."""
    names = sorted({one.fault for outcome in outcomes for one in outcome.injected})
    return [_row(name, outcomes) for name in names]


def _row(name: str, outcomes: Sequence[Outcome]) -> Row:
    met = [(outcome, [one for one in outcome.injected if one.fault == name]) for outcome in outcomes]
    suspects = [outcome for outcome, found in met if found]
    injected = [one for _, found in met for one in found]
    named = (*_LOST, *_DOUBLED, *_DISORDERED)
    others = [outcome for outcome in suspects if outcome.problem]
    return Row(
        fault=name,
        times_injected=sum(not one.problem for one in injected),
        events=sum(one.num_events for one in injected),
        lost=sum(outcome.count(_LOST) for outcome in suspects),
        doubled=sum(outcome.count(_DOUBLED) for outcome in suspects),
        out_of_order=sum(outcome.count(_DISORDERED) for outcome in suspects),
        other=sum(finding.count for outcome in suspects for finding in outcome.findings if finding.crime not in named)
        + sum(bool(one.problem) for one in injected)
        + len(others),
        longest_stall_seconds=max((one.stall_seconds for one in injected), default=0.0),
    )


def total(outcomes: Sequence[Outcome]) -> Row:
    """The last line: every episode counted once."""
    injected = [one for outcome in outcomes for one in outcome.injected]
    named = (*_LOST, *_DOUBLED, *_DISORDERED)
    return Row(
        fault="all",
        times_injected=sum(not one.problem for one in injected),
        events=sum(outcome.num_judged for outcome in outcomes),
        lost=sum(outcome.count(_LOST) for outcome in outcomes),
        doubled=sum(outcome.count(_DOUBLED) for outcome in outcomes),
        out_of_order=sum(outcome.count(_DISORDERED) for outcome in outcomes),
        other=sum(finding.count for outcome in outcomes for finding in outcome.findings if finding.crime not in named)
        + sum(bool(one.problem) for one in injected)
        + sum(bool(outcome.problem) for outcome in outcomes),
        longest_stall_seconds=max((one.stall_seconds for one in injected), default=0.0),
    )


def ends(outcomes: Iterable[Outcome]) -> Counter[int]:
    """How often workers ended with which exit code."""
    return sum((Counter(outcome.ends) for outcome in outcomes), Counter())


def table(outcomes: Sequence[Outcome], title: str) -> Table:
    """The table for people."""
    drawn = Table(title=title, title_justify="left")
    drawn.add_column("fault", no_wrap=True)
    for heading in ("times injected", "events", "lost", "doubled", "out of order", "other", "longest stall"):
        drawn.add_column(heading, justify="right")
    for row in rows(outcomes):
        drawn.add_row(*_cells(row))
    drawn.add_section()
    drawn.add_row(*_cells(total(outcomes)), style="bold")
    return drawn


def _cells(row: Row) -> list[str]:
    wrong = [f"[bold red]{count:,}[/]" if count else "0" for count in (row.lost, row.doubled, row.out_of_order, row.other)]
    return [row.fault, f"{row.times_injected:,}", f"{row.events:,}", *wrong, f"{row.longest_stall_seconds:.1f} s"]
