"""The command ``python -m tests.chaos.removals``: shows that each named test passes with its fix and fails without it.

All tests run once as they are, in one process; then each removal has a process of its own. A broker is started for those
that need one, unless PREFSTREAM_BOOTSTRAP_SERVERS names a running one.
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from deploy.kafka.broker import ADDRESS_VARIABLE, Broker, external_bootstrap_servers
from tests.chaos.removals.fixes import REMOVALS, Removal
from tests.chaos.removals.runs import ROOT, Outcome, run_tests

RESULTS = ROOT / "benchmarks" / "results"
EPILOG = """\b
Examples:
  python -m tests.chaos.removals                     every fix; writes benchmarks/results/removals.txt and .json
  python -m tests.chaos.removals watermark barrier   these two, and nothing is written
  python -m tests.chaos.removals --list              what there is
"""

Tell = Callable[[Outcome], None]


class Trial(msgspec.Struct, frozen=True):
    """One test of one removal, with the fix and without it."""

    removal: str
    fix: str
    stock: str
    test: str
    with_fix: str
    without: str
    why: str
    seconds: float

    @property
    def is_noticed(self) -> bool:
        """Whether the test tells the two apart."""
        return (self.with_fix, self.without) == ("passed", "failed")


class Results(msgspec.Struct, frozen=True):
    """What a complete run found."""

    python: str
    num_removals: int
    num_tests: int
    seconds: float
    trials: list[Trial]


def verdict(test: str, outcomes: Sequence[Outcome]) -> tuple[str, str, float]:
    """The result of a test over all its cases, why it failed, and how long it took (seconds): one failed case is a failure."""
    cases = [outcome for outcome in outcomes if outcome.test.partition("[")[0] == test]
    failed = next((case for case in cases if case.result == "failed"), None)
    seconds = sum(case.seconds for case in cases)
    if failed:
        return "failed", failed.why, seconds
    results = {case.result for case in cases} or {"did not run"}
    return ("passed" if results == {"passed"} else ", ".join(sorted(results))), "", seconds


def try_removal(removal: Removal, as_they_are: Sequence[Outcome], tell: Tell) -> Iterator[Trial]:
    """Each test of this removal, with and without the fix."""
    run = run_tests(removal.tests, removal.name, tell)
    for test in removal.tests:
        with_fix, why_with, seconds_with = verdict(test, as_they_are)
        without, why, seconds = verdict(test, run.outcomes)
        if without == "did not run":
            why = (run.printed.strip().splitlines() or [""])[-1]
        yield Trial(
            removal.name, removal.fix, removal.stock, test, with_fix, without, why_with or why, round(seconds_with + seconds, 2)
        )


def try_all(removals: Sequence[Removal], console: Console) -> list[Trial]:
    """Every test of these removals, with and without its fix, with progress while it runs."""
    tests = list(dict.fromkeys(test for removal in removals for test in removal.tests))
    columns = (TextColumn("{task.description:34}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress, broker_if_needed(tests):
        task = progress.add_task("with every fix", total=len(tests) + len(removals))
        seen: set[str] = set()

        def tell(outcome: Outcome) -> None:
            seen.add(outcome.test.partition("[")[0])
            progress.update(task, completed=len(seen))

        run = run_tests(tests, "", tell)
        as_they_are = run.outcomes
        if any(outcome.result == "failed" for outcome in as_they_are):
            console.print(escape(run.printed))
        trials: list[Trial] = []
        for number, removal in enumerate(removals):
            progress.update(task, description=f"without {removal.name}", completed=len(tests) + number)
            trials += try_removal(removal, as_they_are, lambda outcome: None)
        return trials


@contextmanager
def broker_if_needed(tests: Sequence[str]) -> Iterator[None]:
    """One broker for all runs, if a test needs one and nobody has named one."""
    if external_bootstrap_servers() or not any(test.startswith("tests/kafka/") for test in tests):
        yield
        return
    with tempfile.TemporaryDirectory() as directory, Broker.start(Path(directory)) as broker:
        os.environ[ADDRESS_VARIABLE] = broker.bootstrap_servers
        try:
            yield
        finally:
            del os.environ[ADDRESS_VARIABLE]


def table_of(trials: Sequence[Trial]) -> Table:
    """A row for each trial; the ones that tell nothing apart stand out."""
    table = Table("fix", "stock behaviour")
    table.add_column("test", overflow="fold")
    for column in ("with fix", "without", "seconds"):
        table.add_column(column)
    for trial in trials:
        style = "" if trial.is_noticed else "bold red"
        test = trial.test.rpartition("/")[2].replace(".py::test_", ": ")
        cells = (trial.removal, trial.stock, test, trial.with_fix, trial.without, f"{trial.seconds:.2f}")
        table.add_row(*map(escape, cells), style=style)
    return table


def listing(removals: Sequence[Removal]) -> Iterator[Text]:
    """What there is to take out, what happens without it, and the tests that notice, as they are typed."""
    for removal in removals:
        yield Text.assemble((removal.name, "bold"), f", of {removal.fix}: {removal.stock}")
        yield from (Text(f"    {test}", "dim") for test in removal.tests)


def chosen(names: Sequence[str]) -> Sequence[Removal]:
    """The removals of these names, or all. Raises ``typer.BadParameter`` for a name that is none."""
    known = {removal.name: removal for removal in REMOVALS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise typer.BadParameter(f"no fix is called {', '.join(unknown)}: see --list")
    return [known[name] for name in names] or REMOVALS


def sentence(removals: Sequence[Removal], trials: Sequence[Trial], seconds: float) -> str:
    """What the run says, in one line."""
    missed = [trial for trial in trials if not trial.is_noticed]
    if missed:
        lines = [f"  {trial.removal}: {trial.test}: {trial.with_fix}, then {trial.without} {trial.why}" for trial in missed]
        return "\n".join([f"{len(missed)} of {len(trials)} tests do not tell a fix from its absence:", *lines])
    fixes = "1 fix" if len(removals) == 1 else f"{len(removals)} fixes, each"
    return f"{fixes} taken out alone: {len(trials)} of {len(trials)} tests noticed, in {seconds:.0f} s"


def main(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Fixes to take out; all if none is named.")
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="Show what there is, and run nothing.")] = False,
) -> None:
    """Take each fix out of the worker, one at a time, and see that the named tests fail without it and pass with it."""
    removals = chosen(names or [])
    if show:
        for line in listing(removals):
            Console().print(line, soft_wrap=True)
        return
    console = Console(width=140, record=True)
    started = time.monotonic()
    trials = try_all(removals, console)
    seconds = time.monotonic() - started
    console.print(table_of(trials))
    console.print(escape(sentence(removals, trials, seconds)), soft_wrap=True)
    if not names:
        found = Results(platform.python_version(), len(removals), len(trials), round(seconds, 1), trials)
        (RESULTS / "removals.json").write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
        (RESULTS / "removals.txt").write_text(console.export_text())
    raise typer.Exit(not all(trial.is_noticed for trial in trials))


if __name__ == "__main__":
    command = typer.Typer(add_completion=False, rich_markup_mode=None)
    command.command(epilog=EPILOG)(main)
    command()
