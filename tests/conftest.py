"""What every test may ask for. A real broker is started once, only when a selected test asks for it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from hypothesis import settings

from deploy.kafka.broker import Broker, external_bootstrap_servers

# A busy machine is no reason to fail.
settings.register_profile("prefstream", deadline=None, print_blob=True)
settings.load_profile("prefstream")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark whatever asks for the broker, so that `-m "not kafka"` leaves out exactly what needs one."""
    for item in items:
        if {"broker", "bootstrap_servers"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.kafka)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The broker that the tests share, for tests that stop or restart it; skipped where the broker is somebody else's."""
    if external_bootstrap_servers():
        pytest.skip("PREFSTREAM_BOOTSTRAP_SERVERS names a broker that is not ours to stop")
    with Broker.start(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(scope="session")
def bootstrap_servers(request: pytest.FixtureRequest) -> str:
    """The address of a real broker: the one that PREFSTREAM_BOOTSTRAP_SERVERS names, else the shared one."""
    external = external_bootstrap_servers()
    if external:
        return external
    broker: Broker = request.getfixturevalue("broker")
    return broker.bootstrap_servers


@pytest.fixture
def namespace() -> str:
    """A name that no other test uses, to begin the names of topics and groups with."""
    return f"t{uuid.uuid4().hex[:8]}"
