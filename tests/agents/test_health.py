"""What a probe and a scrape see of a worker."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientConnectionError, ClientSession
from prometheus_client.parser import text_string_to_metric_families

from agents import health
from agents.health import HealthServer
from agents.metrics import Metrics
from agents.settings import Settings


class Probed:
    """A server whose readiness the test sets."""

    def __init__(self, session: ClientSession) -> None:
        self.metrics, self._session = Metrics(), session
        self.stalled: list[str] = []
        self.not_ready: list[str] = []
        self.server = HealthServer("127.0.0.1", 0, self.metrics.registry, lambda: self.stalled, lambda: self.not_ready)

    async def get(self, path: str) -> tuple[int, str, str]:
        async with self._session.get(self.server.url + path) as response:
            return response.status, response.headers["Content-Type"], await response.text()


@pytest.fixture
async def probed() -> AsyncIterator[Probed]:
    async with ClientSession() as session:
        probed = Probed(session)
        await probed.server.start()
        yield probed
        await probed.server.stop()


async def test_a_free_port_is_taken_and_named(probed: Probed) -> None:
    assert not probed.server.url.endswith(":0")
    assert (await probed.get("/healthz"))[0] == 200


JSON = "application/json; charset=utf-8"


async def test_a_worker_is_ready_or_says_why_not_and_lives_either_way(probed: Probed) -> None:
    assert await probed.get("/readyz") == (200, JSON, '{"ready": true}')
    probed.not_ready = ["the group rebalances"]
    assert await probed.get("/readyz") == (503, JSON, '{"ready": false, "why": ["the group rebalances"]}')
    assert await probed.get("/progressz") == (200, JSON, '{"progressing": true}')
    assert await probed.get("/healthz") == (200, JSON, '{"live": true}')


async def test_a_worker_that_gets_on_with_nothing_says_with_what(probed: Probed) -> None:
    probed.stalled = ["stalled: commit"]
    assert await probed.get("/progressz") == (503, JSON, '{"progressing": false, "why": ["stalled: commit"]}')
    assert await probed.get("/healthz") == (200, JSON, '{"live": true}')


async def test_a_scrape_is_what_prometheus_reads(probed: Probed) -> None:
    probed.metrics.flushes.labels("size").inc(3)
    status, content_type, text = await probed.get("/metrics")
    assert (status, content_type.split(";")[0]) == (200, "text/plain")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert (samples["prefstream_flushes_total", "size"], samples["prefstream_summaries_total",]) == (3, 0)


async def test_nothing_else_is_served(probed: Probed) -> None:
    assert (await probed.get("/"))[0] == 404


async def test_a_taken_port_is_refused(probed: Probed) -> None:
    port = int(probed.server.url.rsplit(":", 1)[1])
    second = HealthServer("127.0.0.1", port, probed.metrics.registry, list, list)
    with pytest.raises(OSError, match="address already in use"):
        await second.start()
    await second.stop()


async def test_a_stopped_server_is_gone(probed: Probed) -> None:
    await probed.server.stop()
    with pytest.raises(ClientConnectionError):
        await probed.get("/healthz")


async def test_a_server_that_never_started_can_be_stopped() -> None:
    await HealthServer("127.0.0.1", 0, Metrics().registry, list, list).stop()


def test_the_setting_of_the_address_names_all_that_is_served() -> None:
    served = re.findall(r'web.get\("(/\w+)"', inspect.getsource(health))
    assert len(served) == 4
    assert [path for path in served if path not in str(Settings.model_fields["http_host"].description)] == []
