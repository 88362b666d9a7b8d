"""Snapshots: where every source partition ends at the moment in which intake takes in a `forget`.

Place in the flow: inside intake, for that command alone. What lies below was published before the command was taken in, by
whichever topic it comes: it belongs to the past that is forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog
from kafka.errors import KafkaError
from msgspec.structs import replace

from prefstream.errors import PrefstreamError
from prefstream.security import Servers
from prefstream.sources import Standing, read_standings

_ASK_AGAIN_SECONDS = 1.0

log = structlog.get_logger()


class Snapshots:
    """The ends of all partitions of the topics that are read, also of those that other workers read."""

    def __init__(self, bootstrap_servers: Servers, group: str, topics: Iterable[str]) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._group = group
        self._topics = frozenset(topics)

    async def take(self) -> dict[str, int]:
        """The next offset by ``topic-id/partition``, as origins name it; waits while the broker is away."""
        while True:
            try:
                return await asyncio.to_thread(self._take)
            except (PrefstreamError, KafkaError, OSError) as error:
                log.warning("the ends of the sources cannot be looked up: a forget waits", error=type(error).__name__)
                await asyncio.sleep(_ASK_AGAIN_SECONDS)

    def _take(self) -> dict[str, int]:
        found = read_standings(self._bootstrap_servers, self._group, self._topics)
        return {_name(standing): standing.end for standing in found if standing.topic in self._topics}


def _name(standing: Standing) -> str:
    return f"{replace(standing.mark, topic_id=standing.topic_id).origin_topic}/{standing.partition}"
