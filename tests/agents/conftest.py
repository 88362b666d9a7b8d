"""No test of the worker's parts may end the test run by accident."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _the_test_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that stops itself where the test did not expect it fails the test, instead of ending this process."""

    def fail(code: int) -> None:
        pytest.fail(f"the worker stopped itself with {code}: see what it logged")

    monkeypatch.setattr("agents.failstop.os._exit", fail)
