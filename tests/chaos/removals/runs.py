"""Test runs without one of the fixes, each in a process of its own that has everything imported when it begins.

The process is a fork of a server that has imported the worker, Faust and pytest: two seconds less for each of many runs.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
import pytest

from tests.chaos.removals.fixes import named
from tests.chaos.removals.patches import VARIABLE, applied

ROOT = Path(__file__).parents[3]
_OPTIONS = ("-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT))

_processes = get_context("forkserver")
_processes.set_forkserver_preload(["tests.chaos.removals.runs", "agents.command"])


class Outcome(msgspec.Struct, frozen=True):
    """What became of one test (or of one case of it), and why: where it failed, and the first line."""

    test: str
    result: str
    seconds: float
    why: str = ""


class Run(msgspec.Struct, frozen=True):
    """The outcomes of a run, and what pytest printed."""

    outcomes: list[Outcome]
    printed: str


def run_tests(tests: Sequence[str], removal: str, tell: Callable[[Outcome], None]) -> Run:
    """Run the tests without the fix that ``removal`` names, or as they are if it is empty. ``tell`` hears of each outcome."""
    receiving, sending = _processes.Pipe(duplex=False)
    with tempfile.NamedTemporaryFile("r") as printed:
        environment = dict(os.environ) | {VARIABLE: removal}
        process = _processes.Process(target=_run, args=(tests, environment, printed.name, sending))
        process.start()
        sending.close()
        try:
            outcomes = _received(receiving, tell)
            process.join()
        finally:
            process.kill()
        return Run(outcomes, printed.read())


def _received(receiving: Connection, tell: Callable[[Outcome], None]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    try:
        while True:
            outcomes.append(msgspec.msgpack.decode(receiving.recv_bytes(), type=Outcome))
            tell(outcomes[-1])
    except EOFError:
        return outcomes


def _run(tests: Sequence[str], environment: Mapping[str, str], printed: str, sending: Connection) -> None:
    """In the process of the run."""
    os.chdir(ROOT)
    os.environ.update(environment)
    output = os.open(printed, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(output, stream)
    removal = environment[VARIABLE]
    with applied(named(removal).patches if removal else ()):
        pytest.main([*_OPTIONS, *tests], plugins=[_Reporter(sending)])


class _Reporter:
    """Reports the call of each test, and whatever fails around it."""

    def __init__(self, sending: Connection) -> None:
        self._sending = sending

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            crash = getattr(report.longrepr, "reprcrash", None)
            why = f"{Path(crash.path).name}:{crash.lineno}: {crash.message.splitlines()[0]}" if crash else ""
            outcome = Outcome(report.nodeid, report.outcome, report.duration, why)
            self._sending.send_bytes(msgspec.msgpack.encode(outcome))
