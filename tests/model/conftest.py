"""Fixtures of the tests on a real vLLM: one server for all of them, started by our own command when the first test asks for it.

``make test-model`` runs them; every other run leaves them out, and says how many it left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kafka.conftest import start_flow
from tests.model.vllm_process import PROFILE, Vllm

__all__ = ["start_flow"]

FOLDER = Path(__file__).parent
TIMEOUT_SECONDS = 420  # the first test waits until weights are prepared and vLLM has loaded them
_TOLD = pytest.StashKey[list[str]]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark them all, and leave them out unless ``-m`` asks for the mark: not everybody has vLLM installed."""
    ours = [item for item in items if FOLDER in item.path.parents]
    for item in ours:
        item.add_marker(pytest.mark.model)
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS))
    if ours and "model" not in config.option.markexpr:
        config.hook.pytest_deselected(items=ours)
        items[:] = [item for item in items if item not in set(ours)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what the tests want to be known, above pytest's own last line."""
    for line in config.stash.get(_TOLD, []):
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Keeps a line for the end of the run."""
    return request.config.stash.setdefault(_TOLD, []).append


@pytest.fixture(scope="session")
def vllm(tell: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vllm]:
    """The server's process, for tests that kill or drain it; not started yet."""
    vllm = Vllm(tmp_path_factory.mktemp("vllm") / "vllm.log")
    yield vllm
    vllm.kill()
    tell(f"{PROFILE} answered {', '.join(f'{seconds:.0f} s' for seconds in vllm.start_seconds)} after each of its starts")


@pytest.fixture
def server(vllm: Vllm) -> Vllm:
    """The server, up: started again if the test before ended it."""
    if not vllm.is_running:
        vllm.start()
    return vllm
