"""``make soak``: a steady workload under random faults for half an hour, and whether memory, handles and lag stay flat.

Exit code 0: nothing was found; 1: something is not flat, or lost; 130: interrupted, after the table and the picture so far.
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
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.text import Text

from tests.chaos.run import ground
from tests.soak.looks import Sample
from tests.soak.picture import draw
from tests.soak.run import Befallen, Run, Wanted, soak
from tests.soak.table import tell
from tests.soak.verdicts import problems

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
WHOLE_MINUTES = 30
INTERRUPTED = 128 + signal.SIGINT
DESCRIPTION = """\
Runs a steady workload under random faults, looks at every worker every five seconds, and says whether memory, open files,
threads, tables, lag and the oldest pending event stay flat, and whether the accounts balance at every look.
A broker, two workers and a model are started for it. One worker is never ended: what leaks shows in it.

A third of the time is warm-up and counts for nothing. Under ten minutes no slope can be told: then only what is lost is found.

Exit code 0: nothing was found; 1: something is not flat, or lost; 130: interrupted, after the table and the picture so far.
"""
EXAMPLES = f"""examples:
  make soak                                         half an hour, a seed of its own
  make soak MINUTES=12 SEED=7                       a look, again with its seed
  python -m tests.soak --minutes 12 --leak-mib 100  see a leak found: the worker that stays leaks 100 MiB an hour
  python -m tests.soak --again                      tell and draw the run that is kept, without one

A run of {WHOLE_MINUTES} minutes or more replaces soak.json, soak.txt and soak.png in benchmarks/results with --write (make soak
does so); any other leaves them in build/soak.
"""


class Screen:
    """What is shown while a run goes on: a bar with the newest values on a terminal, a line for each fault anywhere else."""

    def __init__(self, console: Console, minutes: float) -> None:
        self._console = console
        self._seconds = 60 * minutes
        self._now = "starting"
        self._samples: Sequence[Sample] = ()
        self._num_faults = 0

    def watched(self, samples: Sequence[Sample]) -> None:
        """From now on there are values."""
        self._samples = samples

    def begins(self, what: str) -> None:
        """Show what happens now."""
        self._now = what

    def ended(self, befallen: Befallen) -> None:
        """Count it."""
        self._num_faults += 1
        if not self._console.is_terminal:
            took = befallen.until_seconds - befallen.at_seconds
            trouble = f"  {befallen.problem}" if befallen.problem else ""
            self._console.print(f"{self.line()}  {befallen.fault}  {took:.1f} s{trouble}", soft_wrap=True, highlight=False)

    def line(self) -> str:
        """How far it is, and the newest values: of the worker that stays, and of all."""
        sample = self._samples[-1] if self._samples else None
        at = sample.at_seconds if sample else 0.0
        words = [f"{_clock(max(0.0, self._seconds - at))} left", f"{self._num_faults} faults"]
        if sample and sample.looks:
            stays, ages = sample.looks[0], [one.oldest_seconds for one in sample.looks if one.oldest_seconds is not None]
            words += [f"RSS {stays.rss_mib:.0f} MiB", f"{stays.num_handles} handles", f"tables {stays.disk_mib:.0f} MiB"]
            words += [f"oldest {max(ages):.1f} s"] if ages else []
        if sample and sample.num_unread is not None:
            words.append(f"lag {sample.num_unread:,}")
        wrong = sum(bool(look.unaccounted) for one in tuple(self._samples) for look in one.looks)
        return "  ".join([*words, f"unbalanced {wrong}"])

    def __rich__(self) -> RenderableType:
        done = self._samples[-1].at_seconds if self._samples else 0.0
        bar = ProgressBar(total=self._seconds, completed=min(done, self._seconds), width=60)
        return Group(bar, Text(self.line(), "bold"), Text(self._now))


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit code."""
    options = _parse(arguments)
    console = Console(width=None if sys.stdout.isatty() else 150)
    folder = RESULTS if options.write and _is_whole(options) else Path("build") / "soak"
    if options.again:
        kept = msgspec.json.decode((RESULTS / "soak.json").read_bytes(), type=Run)
        keep(kept, RESULTS)
        tell(console, kept)
        return min(1, len(problems(kept)))
    wanted = Wanted(minutes=options.minutes, seed=options.seed, leak_mib=options.leak_mib, leak_files=options.leak_files)
    console.print(f"seed {wanted.seed}: {wanted.minutes:g} minutes", highlight=False)
    if options.write and folder != RESULTS:
        console.print(f"the results that are kept stay: that takes {WHOLE_MINUTES} minutes or more and no leak", style="dim")
    directory = Path(tempfile.mkdtemp(prefix="prefstream-soak-"))
    run = _run(console, wanted, directory)
    if run is None or not (options.keep or problems(run)):
        shutil.rmtree(directory)
    if run is None:
        return INTERRUPTED
    tell(console, run)
    keep(run, folder)
    console.print(f"{folder / 'soak.png'}, soak.txt and soak.json beside it", highlight=False, soft_wrap=True)
    if directory.exists():
        console.print(f"logs and disks: {directory}", soft_wrap=True)
    return INTERRUPTED if run.is_interrupted else min(1, len(problems(run)))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=WHOLE_MINUTES, help="how long (%(default)s)")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(1_000_000), help="of events and faults (at random)"
    )
    parser.add_argument("--leak-mib", type=float, default=0.0, help="plant a leak of so much memory an hour (none)")
    parser.add_argument("--leak-files", type=float, default=0.0, help="plant a leak of so many open files an hour (none)")
    parser.add_argument("--write", action="store_true", help="replace the results in benchmarks/results")
    parser.add_argument("--again", action="store_true", help="tell and draw the run that is kept there")
    parser.add_argument("--keep", action="store_true", help="leave logs and disks behind, not only those of failures")
    return parser.parse_args(arguments)


def _is_whole(options: argparse.Namespace) -> bool:
    """Whether it is a run that stands for the worker: neither short nor with a planted leak."""
    return options.minutes >= WHOLE_MINUTES and not options.leak_mib and not options.leak_files


def _run(console: Console, wanted: Wanted, directory: Path) -> Run | None:
    """The run; None when it was interrupted before it began."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    screen = Screen(console, wanted.minutes)
    run: Run | None = None
    try:
        with Live(screen, console=console, refresh_per_second=2, transient=True), ground(directory) as shared:
            run = soak(shared, wanted, screen, command=_command(wanted), machine=_machine())
    except KeyboardInterrupt:
        return run and replace(run, is_interrupted=True)
    return run


def _command(wanted: Wanted) -> str:
    leaks = f" --leak-mib {wanted.leak_mib:g}" if wanted.leak_mib else ""
    leaks += f" --leak-files {wanted.leak_files:g}" if wanted.leak_files else ""
    return f"python -m tests.soak --minutes {wanted.minutes:g} --seed {wanted.seed}{leaks}"


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def keep(run: Run, folder: Path) -> None:
    """Write the table, the picture, and the run itself."""
    folder.mkdir(parents=True, exist_ok=True)
    console = Console(width=150, file=io.StringIO(), record=True)
    tell(console, run)
    (folder / "soak.txt").write_text(console.export_text())
    (folder / "soak.json").write_bytes(_in_lines(run))
    draw(run, folder / "soak.png")


def _in_lines(run: Run) -> bytes:
    """JSON with a line for each field, and one for each sample: what changes is seen in a diff, and it stays small."""
    fields = []
    for name, value in msgspec.to_builtins(run, builtin_types=()).items():
        if isinstance(value, list | tuple) and value:
            encoded = b"[\n  " + b",\n  ".join(msgspec.json.encode(one) for one in value) + b"\n ]"
        else:
            encoded = msgspec.json.encode(value)
        fields.append(b" " + msgspec.json.encode(name) + b": " + encoded)
    return b"{\n" + b",\n".join(fields) + b"\n}\n"


if __name__ == "__main__":
    sys.exit(main())
