"""``make eval``, ``make eval-quick``: measure what summaries are worth, print it, and write one page of it.

Exit code 0: what must hold, holds; 1: something does not, and is named; 2: it could not run; 130: interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from evaluation.findings import Findings

EXAMPLES = """\
examples:
  python -m evaluation --quick                                    what CI checks: counting, two tasks, both seeds
  python -m evaluation                                            all of it, in about an hour
  python -m evaluation --engine counting --engine smollm2-135m-cpu@http://127.0.0.1:8000 --people 100
                                                                  two summarisers side by side, 100 people asked
  python -m evaluation --parts everybody --engine prefstream-135m-cpu@http://127.0.0.1:8000
                                                                  what many updates lose against one, for everybody
  python -m evaluation --tasks order_matched --readers lexical --out evaluation/results/counting
  python -m evaluation --file mind=MINDsmall_dev                  a published file: alignxplore, alignx, psoups, mind, amazon,
                                                                  movielens-csv

A run that was stopped goes on where it was when the same command is given again: answers of models and of readers are kept
in the folder of --cache.
"""
# Its matrices are small: threads that wait for each other take ten times as long. Read when numpy is imported, below.
os.environ.setdefault("OMP_NUM_THREADS", "1")

DEFAULT_OUT = Path("build/evaluation")
PIPE_WIDTH = 170


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m evaluation", description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="two tasks and one reader, in a few minutes")
    add(
        "--engine",
        action="append",
        default=[],
        metavar="NAME",
        help="who writes: counting (default) or PROFILE@URL; repeatable",
    )
    add(
        "--people", type=_number, default=0, metavar="N", help="how many are asked (default: all); items are known by everybody"
    )
    _add_choices(add)
    add("--file", action="append", default=[], metavar="FORMAT=PATH", help="a published file instead; repeatable")
    add("--seeds", default="0,1", metavar="A,B", help="of the folds of people (default: %(default)s)")
    add("--out", type=Path, default=DEFAULT_OUT, metavar="FOLDER", help="where the page goes (default: %(default)s)")
    add("--cache", type=Path, default=DEFAULT_OUT / "cache", metavar="FOLDER", help="of kept answers (default: %(default)s)")
    return parser.parse_args(arguments)


def _add_choices(add: Callable[..., object]) -> None:
    """What is measured, each a list with commas."""
    add("--tasks", default="", metavar="A,B", help="of order, order_matched, next_pop, next_popqual (default: all)")
    add(
        "--parts",
        default="",
        metavar="A,B",
        help="of exam, everybody, slices, long, curves, attacks (default: all; with --quick: exam, slices, attacks)",
    )
    add(
        "--settings",
        default="",
        metavar="A,B",
        help="of full, last, streaming-K, text-only-K (default: all, with K of 2, 5, 10)",
    )
    add("--readers", default="", metavar="A,B", help="beside the catalogue reader (default: all that are installed)")
    add(
        "--model",
        action="append",
        default=[],
        metavar="MODEL@URL",
        help="a served language model as one more reader; repeatable",
    )


def _number(word: str) -> int:
    number = int(word)
    if number < 0:
        raise ValueError
    return number


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the evaluation. Returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse(arguments)
    console = Console(stderr=True)
    try:
        # Here, because it takes seconds, in which Ctrl-C must be no traceback either.
        from evaluation.whole import FORESEEN, measure

        try:
            findings = measure(options, arguments, console)
        except FORESEEN as error:
            console.print(f"[red]{escape(str(error))}[/red]", highlight=False)
            return 2
        return _report(findings, options.out)
    except KeyboardInterrupt:
        console.print(f"Interrupted. What was answered is kept in {options.cache}: the same command goes on from there.")
        return 130


def _report(findings: Findings, folder: Path) -> int:
    from evaluation.report import print_report, write_report

    print_report(findings, Console(width=None if sys.stdout.isatty() else PIPE_WIDTH))
    page = write_report(findings, folder)
    print(f"{page} ({findings.seconds:.0f} s)")
    for check in findings.failed:
        print(f"FAILS: {check.name}: {check.measured}, must be {check.bound}")
    return 1 if findings.failed else 0


if __name__ == "__main__":
    sys.exit(main())
