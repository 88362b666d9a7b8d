"""Lag: how many records of each topic this worker has not read yet.

Place in the flow: beside it. The broker is asked every few seconds, because it tells the end of a partition only to those who
fetch from it, and nothing is fetched behind a closed gate.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping

import structlog
from aiokafka.errors import KafkaError
from faust.types import TP

from agents.failstop import stopping_on_error
from agents.progress import Progress

_ASK_SECONDS = 5.0

log = structlog.get_logger()

Ends = Callable[[Iterable[TP]], Awaitable[Mapping[TP, int]]]


class Lag:
    """The ends of the partitions that are read, as the broker said last."""

    def __init__(self, progress: Progress, ends: Ends) -> None:
        self._progress = progress
        self._ask = ends
        self._ends: Mapping[TP, int] = {}

    @stopping_on_error("looking up the lag")
    async def run(self) -> None:
        """Ask again and again, until cancelled."""
        while True:
            await asyncio.sleep(_ASK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Ask once. Where the broker does not say, the lag is unknown."""
        sources = [TP(*source) for source in self._progress.sources()]
        try:
            self._ends = await self._ask(sources) if sources else {}
        except KafkaError as error:
            self._ends = {}
            log.debug("the broker did not say how much there is to read", error=type(error).__name__)

    def num_unread(self) -> dict[str, int]:
        """The records of each topic between where this worker reads and the end, where that is known."""
        unread: Counter[str] = Counter()
        for source in self._progress.sources():
            if (end := self._ends.get(TP(*source))) is not None:
                unread[source[0]] += max(0, end - (self._progress.position(source) or 0))
        return dict(unread)
