"""Sources at run time: whether the topics that are read are still those that were there at the start.

Place in the flow: beside the consumer. Kafka's fetch knows topics by name, so it goes on in a topic that was deleted and
created again as if nothing had happened. The ids are looked at every few seconds, and once more between the arrival of
records and their processing: what is processed is known to come from the topic that its origin names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from agents.failstop import stop_now
from prefstream.admin import TopicIdentity, existing_topics
from prefstream.connection import connect
from prefstream.errors import PrefstreamError
from prefstream.security import Servers
from prefstream.spread import Spread, why_unfit

_LOOK_EVERY_SECONDS = 2.0
_LOOK_AGAIN_SECONDS = 1.0
_REQUEST_TIMEOUT_MS = 10_000

log = structlog.get_logger()


class TopicWatch:
    """Compares topic ids with those of the start, and ends the worker when a topic is another or gone."""

    def __init__(
        self, bootstrap_servers: Servers, namespace: str, topic_ids: Mapping[str, str], spread: Mapping[str, int]
    ) -> None:
        """``spread``: over how many partitions of a keyed topic users are spread."""
        self._bootstrap_servers = bootstrap_servers
        self._namespace = namespace
        self._topic_ids = topic_ids
        self._spread = spread
        # One thread: a look takes a few milliseconds while the broker answers, and seconds while it does not.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="topic-watch")
        self._admin: Any = None
        self._is_closed = False
        self.is_answered = True  # whether the broker answered the last look

    async def run(self) -> None:
        """Look every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_SECONDS)
            await self.confirm()

    async def confirm(self) -> None:
        """Return when a look that began after this call found every topic as it was; wait while the broker is away."""
        is_told = False
        while not await self._is_confirmed():
            if not is_told:
                log.warning("the topics cannot be looked at: what was read waits", topics=sorted(self._topic_ids))
            is_told = True
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def _is_confirmed(self) -> bool:
        found = await self._look()
        self.is_answered = found is not None
        if found is None:
            return False
        for topic in set(self._topic_ids) & set(found):
            self._compare(topic, found[topic])
        gone = set(self._topic_ids) - set(found)
        if not gone:
            return True
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        again = await self._look()
        for topic in sorted(gone):
            if again is not None and topic not in again:
                stop_now(f"topic {topic} is gone: create it again, or take it from PREFSTREAM_SOURCES")
        return False

    def _compare(self, topic: str, found: TopicIdentity) -> None:
        if found.topic_id != self._topic_ids[topic]:
            stop_now(
                f"topic {topic} was deleted and created again: its id was {self._topic_ids[topic]} and is {found.topic_id}; "
                "at its next start the worker decides from what is committed, or asks for a decision"
            )
        if (mine := self._spread.get(topic)) is not None:
            sentence = why_unfit(self._namespace, Spread(mine), {topic: found.num_partitions})
            if sentence:
                stop_now(sentence)

    async def _look(self) -> dict[str, TopicIdentity] | None:
        """The topics that exist; None while nobody answers."""
        if self._is_closed:  # the worker is being taken apart, and whoever looks is about to be cancelled
            raise asyncio.CancelledError
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._look_now)

    def _look_now(self) -> dict[str, TopicIdentity] | None:
        try:
            if self._admin is None:
                self._admin = connect(KafkaAdminClient, self._bootstrap_servers, request_timeout_ms=_REQUEST_TIMEOUT_MS)
            return existing_topics(self._admin, self._topic_ids)
        except (KafkaError, PrefstreamError, OSError):
            self._disconnect()
            return None

    def _disconnect(self) -> None:
        admin, self._admin = self._admin, None
        if admin is not None:
            admin.close()

    async def close(self) -> None:
        """Disconnect. Whoever looks after that is cancelled."""
        self._is_closed = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown(wait=False)
