"""The pytest plugin of the removals: takes one fix out before the tests are collected, and reports each outcome as it comes.

``python -m pytest -p tests.chaos.removals.plugin TEST``, with :data:`VARIABLE` naming a removal or empty.
"""

from __future__ import annotations

import os
from contextlib import ExitStack

import msgspec
import pytest

from tests.chaos.removals.fixes import named
from tests.chaos.removals.patches import VARIABLE, applied

REPORT = "REMOVALS_REPORT"  # in the environment: the descriptor to write outcomes to, one JSON document a line

_until_the_end = ExitStack()


class Outcome(msgspec.Struct, frozen=True):
    """What became of one test (or of one case of it), and the first line of why."""

    test: str
    result: str
    seconds: float
    why: str = ""


def pytest_configure() -> None:
    """Take the fix out."""
    if name := os.environ.get(VARIABLE):
        _until_the_end.enter_context(applied(named(name).patches))


def pytest_unconfigure() -> None:
    """Put it back."""
    _until_the_end.close()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Report the call of a test, and a fixture that fails."""
    if report.when == "call" or not report.passed:
        crash = getattr(report.longrepr, "reprcrash", None)
        why = crash.message.splitlines()[0] if crash else ""
        outcome = Outcome(report.nodeid, report.outcome, report.duration, why)
        os.write(int(os.environ[REPORT]), msgspec.json.encode(outcome) + b"\n")
