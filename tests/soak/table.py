"""What a soak tells at its end: a table of the series, the accounts, and one sentence."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from prefstream.rendering import counted
from tests.chaos.worker import CRASHED
from tests.soak.run import Run
from tests.soak.verdicts import Row, problems, rows, unaccounted

_STYLES = {"flat": "green", "grows": "bold red", "unclear": "yellow", "too short": "dim"}


def series_table(run: Run) -> Table:
    """Each series: where it stood, how it moved, what it may, and what would have been told."""
    judged = max(0.0, run.seconds - run.warm_up_seconds) / 60
    title = f"{run.seconds / 60:.0f} minutes, the last {judged:.0f} judged; growth by the hour, with its 95 % interval"
    drawn = Table(title=title, title_justify="left")
    drawn.add_column("", no_wrap=True)
    for head in ("median", "growth/h", "interval", "may grow/h", "told from/h"):
        drawn.add_column(head, justify="right", no_wrap=True)
    drawn.add_column("verdict", no_wrap=True)
    for row in rows(run):
        drawn.add_row(row.name, *_cells(row), Text(row.verdict, _STYLES[row.verdict]))
    return drawn


def _cells(row: Row) -> tuple[str, ...]:
    if row.trend is None or row.limit is None or row.told is None:
        return ("",) * 5
    found = row.trend
    return (
        f"{found.median:,.1f} {row.unit}".strip(),
        f"{found.slope:+,.1f}",
        f"{found.low:+,.1f} to {found.high:+,.1f}",
        f"{row.limit:,.1f}",
        f"{row.told:,.1f}",
    )


def facts(run: Run) -> Iterator[str]:
    """What else is to be known of it, a line each."""
    scrapes = unaccounted(run.samples)
    wrong = sum(point.value != 0 for point in scrapes)
    yield f"identity: {counted(len(scrapes), 'scrape')} of workers that knew what waits, {wrong} did not balance"
    if run.accounts is not None:
        fates = ", ".join(f"{count:,} {fate}" for fate, count in run.accounts.fates.items() if count)
        yield f"the topics: {sum(run.accounts.fates.values()):,} events of the sources: {fates}"
    kinds = Counter(one.kind for one in run.faults)
    yield f"faults: {', '.join(f'{count} × {kind}' for kind, count in kinds.most_common()) or 'none'}"
    codes = ", ".join(f"{code}: {count}" for code, count in sorted(run.ends.items()))
    yield f"the others ended, by exit code (negative: the signal; {CRASHED}: at a crash point): {codes or 'never'}"
    missed = [one.fault for one in run.faults if one.problem]
    if missed:
        yield f"not injected, their occasion did not come: {', '.join(missed)}"
    if len(run.samples) > 1:
        first, last = run.samples[0], run.samples[-1]
        grown = (last.broker_mib - first.broker_mib) / (last.at_seconds - first.at_seconds) * 3_600
        yield f"the broker's log, which keeps everything: {last.broker_mib:,.0f} MiB, {grown:+,.0f} MiB/h"
    loads = [one.load for one in run.samples] or [0.0]
    yield f"the machine's load: {statistics.median(loads):.1f} (median), {max(loads):.1f} at most"
    yield f"{run.command}   # seed {run.wanted.seed}, {run.began_at:%Y-%m-%d %H:%M} UTC, {run.machine}"


def sentence(run: Run) -> str:
    """The verdict."""
    found = problems(run)
    if found:
        return f"NOT FLAT: {'; '.join(found)}"
    if run.is_interrupted:
        return "Interrupted: nothing is proven."
    if any(row.verdict == "too short" for row in rows(run)):
        return "Nothing is wrong, and nothing is proven: too short to tell a slope. Give it ten minutes or more."
    return "Flat."


def tell(console: Console, run: Run) -> None:
    """All of it."""
    console.print(series_table(run))
    for line in facts(run):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(sentence(run), style="bold red" if problems(run) else "bold", highlight=False, markup=False, soft_wrap=True)
