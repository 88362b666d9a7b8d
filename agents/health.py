"""Health: ``/metrics``, ``/healthz``, ``/progressz`` and ``/readyz`` of a worker, served from the worker's own loop.

Live means the loop turns: whoever gets no answer may end the process. Progressing means that no duty has stalled
(:mod:`agents.watchdog`); the worker ends itself when one has for too long. Ready means progressing, the tables recovered, and
no rebalance under way. The model is no part of any: while it is away a worker collects, and no restart would bring it back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest


class HealthServer:
    """A small HTTP server; ``port`` 0 takes a free one, which ``url`` then names.

    ``stalled`` and ``not_ready`` tell in sentences what stands in the way; nothing does when there are none.
    """

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        stalled: Callable[[], Sequence[str]],
        not_ready: Callable[[], Sequence[str]],
    ) -> None:
        self._host = host
        self._port = port
        self._registry = registry
        self._stalled = stalled
        self._not_ready = not_ready
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Where it serves, once started."""
        return f"http://{self._host}:{self._port}"

    async def start(self) -> None:
        """Begin to serve. Raises ``OSError`` when the port is taken."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/healthz", self._healthz),
                web.get("/progressz", self._progressz),
                web.get("/readyz", self._readyz),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop serving."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _progressz(self, request: web.Request) -> web.Response:
        return _answer("progressing", self._stalled())

    async def _readyz(self, request: web.Request) -> web.Response:
        return _answer("ready", self._not_ready())


def _answer(name: str, why_not: Sequence[str]) -> web.Response:
    if why_not:
        return web.json_response({name: False, "why": list(why_not)}, status=503)
    return web.json_response({name: True})
