"""Fixtures of the tests that run workers and engines as processes, shared by all tests of a module."""

from __future__ import annotations

import random
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping

import pytest

from deploy.kafka.broker import external_bootstrap_servers
from tests.kafka.fortress import Fortress, open_fortress
from tests.kafka.worker_process import Engine, Flow

StartFlow = Callable[[Mapping[str, tuple[str, int]]], Flow]


@pytest.fixture
def chance() -> random.Random:
    """Randomness whose seed is printed, so that a failure can be played again."""
    seed = random.randrange(1 << 32)
    sys.stdout.write(f"seed {seed}\n")
    return random.Random(seed)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A counting engine that answers at once."""
    with Engine(tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.fixture(scope="module")
def start_flow(bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartFlow]:
    """Makes the topics of a new namespace; the workers started on it end with the module."""
    flows: list[Flow] = []

    def start(sources: Mapping[str, tuple[str, int]]) -> Flow:
        namespace = f"t{uuid.uuid4().hex[:8]}"
        flows.append(Flow(bootstrap_servers, namespace, tmp_path_factory.mktemp(namespace), sources))
        return flows[-1]

    yield start
    for flow in flows:
        flow.close()


@pytest.fixture(scope="module")
def fortress(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fortress]:
    """A broker with listeners that ask for more than an address; skipped where the broker is somebody else's."""
    if external_bootstrap_servers():
        pytest.skip("PREFSTREAM_BOOTSTRAP_SERVERS names a broker, and this needs one with listeners of its own")
    with open_fortress(tmp_path_factory.mktemp("fortress")) as fortress:
        yield fortress
