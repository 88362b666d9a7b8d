"""``make chaos``: faults, injected one after the other into a running system, and what became of every event.

Exit code 0: every fault was injected and nothing was found; 1: something was; 130: interrupted, after the table so far.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from prefstream.rendering import counted
from tests.chaos.faults import CATALOGUE, Fault
from tests.chaos.outcomes import Injected, Outcome, ends, rows, table, total
from tests.chaos.run import ground, play
from tests.chaos.schedule import Plan, schedule
from tests.chaos.worker import CRASHED

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
WHOLE_RUN = 200
DESCRIPTION = """\
Injects faults one after the other into a running system, and says what became of every event.
200 of them take about half an hour; a broker, the workers and a model are started for it.

Exit code 0: every fault was injected and nothing was found; 1: something was; 130: interrupted, after the table so far.
"""
EXAMPLES = """examples:
  make chaos                                            200 faults, a seed of its own
  make chaos FAULTS=30 SEED=7                           30 of them, played again with their seed
  python -m tests.chaos --faults 200 --seed 7 --episode 3   only the third episode of that run
  python -m tests.chaos --only "broker" "kill -9" --faults 12
  python -m tests.chaos --list                          every fault, and how it is injected
"""


class Screen:
    """What is shown while a run goes on: one live picture on a terminal, one line for each fault anywhere else."""

    def __init__(self, console: Console, num_faults: int) -> None:
        self._console = console
        self._num_faults = num_faults
        self._started_at = time.monotonic()
        self._now = ""
        self.num_done = 0
        self.num_problems = 0

    def begins(self, plan: Plan, fault: str) -> None:
        """Show which fault it is."""
        self._now = f"episode {plan.number} ({plan.num_workers} workers): {fault}"

    def ended(self, injected: Injected) -> None:
        """Count it."""
        self.num_done += 1
        self.num_problems += bool(injected.problem)
        if not self._console.is_terminal:
            trouble = f"  {injected.problem}" if injected.problem else ""
            self._console.print(f"{self.line()}  {injected.fault}  {injected.stall_seconds:.1f} s{trouble}", soft_wrap=True)

    def judged(self, outcome: Outcome) -> None:
        """Count what the accounts of an episode found."""
        self.num_problems += len(outcome.problems) - sum(bool(one.problem) for one in outcome.injected)

    def line(self) -> str:
        """How far it is."""
        elapsed = time.monotonic() - self._started_at
        left = elapsed / self.num_done * (self._num_faults - self.num_done) if self.num_done else 0.0
        time_and_found = f"{_clock(elapsed)} elapsed  {_clock(left)} left  {self.num_problems} found"
        return f"{self.num_done}/{self._num_faults} faults  {time_and_found}"

    def __rich__(self) -> RenderableType:
        style = "bold red" if self.num_problems else "bold green"
        return Group(Text(self.line(), style), Text(self._now))


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit code."""
    options = _parse(arguments)
    console = Console(width=None if sys.stdout.isatty() else 150)
    faults = {fault.name: fault for fault in _chosen(options.only)}
    if options.list or not faults:
        for line in _listing(tuple(faults.values())):
            console.print(line, highlight=False)
        return 0 if faults else 1
    plans = schedule(tuple(faults), options.faults, options.seed)
    chosen = [plan for plan in plans if options.episode in (None, plan.number)]
    console.print(
        f"seed {options.seed}: {sum(len(plan.faults) for plan in chosen)} faults in {counted(len(chosen), 'episode')}",
        highlight=False,
    )
    if options.write and not _is_whole(options):
        console.print(f"nothing is written: that takes a whole run of {WHOLE_RUN} faults or more", style="dim")
    return _run(options, console, faults, chosen)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--faults", type=int, default=200, help="how many are injected (200)")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(1_000_000), help="of everything (at random)"
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="WORDS", help="only faults whose name contains one of these")
    parser.add_argument("--episode", type=int, help="play only this episode of the run")
    parser.add_argument("--list", action="store_true", help="name the faults, and how each is injected")
    parser.add_argument(
        "--keep", action="store_true", help="leave every episode's logs and disks behind, not only those of failures"
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help=f"write benchmarks/results/chaos.txt and chaos.json, after a whole run of {WHOLE_RUN} faults or more",
    )
    return parser.parse_args(arguments)


def _is_whole(options: argparse.Namespace) -> bool:
    """Whether it is a run that stands for the catalogue: a short one must not replace its results."""
    return options.faults >= WHOLE_RUN and not options.only and options.episode is None


def _listing(faults: Sequence[Fault]) -> Iterator[Text]:
    """A line for each fault; those that are injected the same way stand together, and disks kept and lost in one line."""
    for how, found in groupby(faults, key=lambda fault: fault.how):
        disks: dict[str, list[str]] = {}
        for fault in found:
            name, _, disk = fault.name.partition(", disk ")
            disks.setdefault(name, []).append(disk)
        names = [f"{name}, disk {' or '.join(kinds)}" if any(kinds) else name for name, kinds in disks.items()]
        if len(names) == 1:
            yield Text.assemble((names[0], "bold"), f": {how}")
        else:
            yield Text(f"{how}:")
            yield from (Text(f"  {name}", "bold") for name in names)


def _chosen(words: Sequence[str]) -> list[Fault]:
    return [fault for fault in CATALOGUE if not words or any(word in fault.name for word in words)]


def _run(options: argparse.Namespace, console: Console, faults: dict[str, Fault], plans: Sequence[Plan]) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    outcomes: list[Outcome] = []
    screen = Screen(console, sum(len(plan.faults) for plan in plans))
    directory = Path(tempfile.mkdtemp(prefix="prefstream-chaos-"))
    started_at = datetime.now(UTC)
    try:
        with Live(screen, console=console, refresh_per_second=4, transient=True), ground(directory) as shared:
            for plan in plans:
                outcomes.append(play(shared, plan, faults, screen, keep=options.keep))
                screen.judged(outcomes[-1])
                _tell(console, options, outcomes[-1])
                if outcomes[-1].is_interrupted:
                    break
    except KeyboardInterrupt:
        is_interrupted = True
    else:
        is_interrupted = outcomes[-1].is_interrupted
    _conclude(console, options.seed, outcomes, started_at)
    if is_interrupted:
        return 128 + signal.SIGINT
    if options.write and _is_whole(options):
        _write(options.seed, outcomes, started_at)
    has_problems = any(outcome.problems for outcome in outcomes)
    if has_problems or options.keep:
        console.print(f"logs and disks: {directory}", soft_wrap=True)
    else:
        shutil.rmtree(directory)
    return 1 if has_problems else 0


def _tell(console: Console, options: argparse.Namespace, outcome: Outcome) -> None:
    for problem in outcome.problems:
        console.print(f"  {problem}", style="red", highlight=False, markup=False, soft_wrap=True)
    if outcome.problems:
        only = "".join(f' "{words}"' for words in options.only)
        again = (
            f"--faults {options.faults} --seed {options.seed}{' --only' + only if only else ''} --episode {outcome.plan.number}"
        )
        console.print(f"  again: python -m tests.chaos {again} --keep", highlight=False, markup=False, soft_wrap=True)


def _conclude(console: Console, seed: int, outcomes: Sequence[Outcome], started_at: datetime) -> None:
    """Print the table, with what else is to be known of the run."""
    minutes = (datetime.now(UTC) - started_at).total_seconds() / 60
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    console.print(table(outcomes, f"seed {seed}, {minutes:.1f} minutes on {machine}"))
    codes = ", ".join(f"{code}: {count}" for code, count in sorted(ends(outcomes).items()))
    console.print(f"workers ended, by exit code (negative: the signal; {CRASHED}: at a crash point): {codes or 'none'}")


def _write(seed: int, outcomes: Sequence[Outcome], started_at: datetime) -> None:
    """Keep the table and what it was made of."""
    kept = Console(width=150, file=io.StringIO(), record=True)
    _conclude(kept, seed, outcomes, started_at)
    (RESULTS / "chaos.txt").write_text(kept.export_text())
    found = {
        "seed": seed,
        "started_at": started_at,
        "total": total(outcomes),
        "faults": rows(outcomes),
        "ends": ends(outcomes),
        "problems": [problem for outcome in outcomes for problem in outcome.problems],
    }
    (RESULTS / "chaos.json").write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")


if __name__ == "__main__":
    sys.exit(main())
