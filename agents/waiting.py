"""Waiting: source partitions whose next record needs a schema that is being fetched, and what came behind it.

Place in the flow: in intake. The other sources go on meanwhile; of a topic with a partition that waits nothing more is
fetched, so that what waits here is what was on its way already.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Set

from faust.types import TP, Message

from agents.failstop import stopping_on_error
from agents.metrics import Metrics
from agents.progress import Progress
from streams.adapters import SchemaNeeded, Undecodable

Obtain = Callable[[SchemaNeeded], Awaitable[Undecodable | None]]
"""Waits until the schema is known, or returns the reason why it never will be."""

Step = Callable[[Message, Undecodable | None], Awaitable[SchemaNeeded | None]]
"""Takes in a message, and with a refusal as what its adapter makes of it; returns what must be known before, if anything."""


class _Held:
    """The messages of one source partition, in the order in which they came. ``life``: that of :meth:`Progress.life`."""

    def __init__(self, life: object) -> None:
        self.life = life
        self.messages: deque[Message] = deque()
        self.task: asyncio.Task[None] | None = None


class Waiting:
    """All source partitions of a worker that wait."""

    def __init__(self, obtain: Obtain, step: Step, progress: Progress, metrics: Metrics) -> None:
        self._obtain = obtain
        self._step = step
        self._progress = progress
        self._metric = metrics.waiting_for_schemas
        self._held: dict[TP, _Held] = {}

    def topics(self) -> Set[str]:
        """The topics of which nothing more is to be fetched now. What a rebalance took away is let go first."""
        for source, held in [*self._held.items()]:
            if held.life is not self._progress.life(source):
                self._let_go(source, held)
        return {source.topic for source in self._held}

    def hold(self, message: Message) -> bool:
        """Keep a message behind those of its partition that wait; whether any do."""
        held = self._held.get(message.tp)
        if held is None:
            return False
        if held.life is not self._progress.life(message.tp):  # a rebalance came between: all of it comes again, or to another
            self._let_go(message.tp, held)
            return False
        held.messages.append(message)
        return True

    def begin(self, message: Message, needed: SchemaNeeded) -> None:
        """Have the partition of this message, which is its next, wait for a schema."""
        held = self._held[message.tp] = _Held(self._progress.life(message.tp))
        held.messages.append(message)
        self._metric.labels(message.topic).inc()
        held.task = asyncio.create_task(self._resume(message.tp, held, needed))

    async def close(self) -> None:
        """Wait no more: what is not taken in is not committed either, and comes again."""
        tasks = [held.task for held in self._held.values() if held.task]
        for source, held in [*self._held.items()]:
            self._let_go(source, held)
        await asyncio.gather(*tasks, return_exceptions=True)

    @stopping_on_error("intake")
    async def _resume(self, source: TP, held: _Held, needed: SchemaNeeded | None) -> None:
        refusal: Undecodable | None = None
        while held.messages:
            if needed is not None:
                refusal = await self._obtain(needed)
            if held.life is not self._progress.life(source):
                break
            needed = await self._step(held.messages[0], refusal)
            refusal = None
            if needed is None:
                held.messages.popleft()
        self._let_go(source, held)

    def _let_go(self, source: TP, held: _Held) -> None:
        if self._held.get(source) is not held:
            return
        del self._held[source]
        self._metric.labels(source.topic).dec()
        if held.task is not None and held.task is not asyncio.current_task():
            held.task.cancel()
