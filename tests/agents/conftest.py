"""No test of the worker's parts may end the test run by accident; and a process in which no setting is made yet."""

from __future__ import annotations

import os

import pytest

from agents.settings import PREFIX


@pytest.fixture(autouse=True)
def _the_test_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that stops itself where the test did not expect it fails the test, instead of ending this process."""

    def fail(code: int) -> None:
        pytest.fail(f"the worker stopped itself with {code}: see what it logged")

    monkeypatch.setattr("agents.failstop.os._exit", fail)


@pytest.fixture
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of ours is there, whatever this machine has."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
