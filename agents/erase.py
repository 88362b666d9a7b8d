"""Erase: what is left of somebody behind the fence of a `forget`: dead letters, and bytes on the disk; then the receipt.

Place in the flow: beside the agents, because it takes seconds: the dead letters are read from their beginning, and files are
rewritten. Several who were forgotten at once are taken together. A crash anywhere in it repeats it: the decision with its
receipt lies in the table ``pending`` until the receipt is durable.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import structlog
from kafka.errors import KafkaError
from msgspec import Struct
from msgspec.structs import replace

from agents.clock import now_ms
from agents.crash_points import reached
from agents.failstop import stopping_on_error
from agents.metrics import Metrics
from agents.outbox import Outbox
from agents.owned import Owned
from agents.writer import NotDurable
from prefstream.admin import topic_states
from prefstream.erasure import kept_until
from prefstream.errors import PrefstreamError
from prefstream.letter_box import emptied_letters_about
from prefstream.security import Servers
from prefstream.topics import TopicNames, topic_specs
from streams.controls import Decided

_ASK_AGAIN_SECONDS = 1.0

T = TypeVar("T")

log = structlog.get_logger()


class Erasing(Struct, frozen=True, eq=False):
    """Somebody who was forgotten at the offset ``position``, and whose fence, rows and summary are settled."""

    owned: Owned
    user: bytes
    position: int


class _Receipted(Struct, frozen=True, eq=False):
    """The same, with a receipt that is durable, and no row about it any more."""

    erasing: Erasing


class _Rest(Struct, frozen=True, eq=False):
    """A partition in which a crash came between the last row and the disk."""

    owned: Owned


class _Departed(Struct, frozen=True, eq=False):
    """A partition that users have left for one of so many."""

    owned: Owned
    num_partitions: int


Task = Erasing | _Receipted | _Rest | _Departed


class Erase:
    """The service. ``sources`` are the platform's own topics, which it does not reach."""

    def __init__(
        self, bootstrap_servers: Servers, topics: TopicNames, sources: Sequence[str], outbox: Outbox, metrics: Metrics
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topics = topics
        self._sources = tuple(sources)
        self._outbox = outbox
        self._metrics = metrics
        self._tasks: asyncio.Queue[Task] = asyncio.Queue()
        self._begun_at_ms: dict[Erasing, int] = {}

    @property
    def oldest_age_seconds(self) -> float:
        """How long the oldest forget whose receipt is not durable has been under way in this worker; 0 when none is."""
        begun = [at_ms for erasing, at_ms in self._begun_at_ms.items() if erasing.owned.is_alive]
        return max(0.0, (now_ms() - min(begun)) / 1_000) if begun else 0.0

    def begin(self, erasing: Erasing) -> None:
        """The rows and the summary are deleted: take up the rest."""
        reached("forget.summary")
        # Those of partitions that went elsewhere are their next owner's.
        self._begun_at_ms = {one: at_ms for one, at_ms in self._begun_at_ms.items() if one.owned.is_alive}
        self._begun_at_ms[erasing] = now_ms()
        self._tasks.put_nowait(erasing)

    def sweep_rest(self, owned: Owned) -> None:
        """Take off the disk what a crash left of those whose receipts are durable."""
        self._tasks.put_nowait(_Rest(owned))

    def sweep_departed(self, owned: Owned, num_partitions: int) -> None:
        """Take off the disk what is there of users who moved away: whoever has them now does not reach it."""
        self._tasks.put_nowait(_Departed(owned, num_partitions))

    @stopping_on_error("erasing")
    async def run(self) -> None:
        """Take up who was forgotten, until cancelled."""
        while True:
            tasks = [await self._tasks.get()]
            while not self._tasks.empty():
                tasks.append(self._tasks.get_nowait())
            await self._sweep_last(tasks)
            if erasing := [task for task in tasks if isinstance(task, Erasing) and task.owned.is_alive]:
                await self._erase(erasing)

    async def _erase(self, batch: list[Erasing]) -> None:
        """Letters, then the disk, then the receipts. What a partition's next owner will do is left to it."""
        try:
            await self._empty_letters({one.user for one in batch})
        except NotDurable:  # the worker is being taken apart
            return
        reached("forget.letters")
        by_owned: dict[Owned, set[bytes]] = defaultdict(set)
        for one in batch:
            by_owned[one.owned].add(one.user)
        for owned, users in by_owned.items():
            await owned.ending.sweep(users)
        reached("forget.disk")
        until = await self._asked(self._kept_until)
        for one in batch:
            if one.owned.is_alive:
                self._amend(one, until)

    async def _empty_letters(self, users: set[bytes]) -> None:
        """Take the bytes out of every dead letter about these users. The letter stays: it accounts for its record."""
        await self._outbox.flush()  # also of what was given up a moment ago
        letters = await self._asked(partial(emptied_letters_about, self._bootstrap_servers, self._topics, users))
        for letter in letters:
            self._outbox.refuse(letter)
        await self._outbox.flush()

    async def _asked(self, ask: Callable[[], T]) -> T:
        """What the broker says, in a thread, as soon as it says something."""
        while True:
            try:
                return await asyncio.to_thread(ask)
            except (PrefstreamError, KafkaError) as error:
                log.warning("the broker does not say what is left of who was forgotten", error=type(error).__name__)
                await asyncio.sleep(_ASK_AGAIN_SECONDS)

    def _kept_until(self) -> dict[str, datetime | None]:
        specs = topic_specs(self._topics.namespace)
        states = topic_states(self._bootstrap_servers, [spec.name for spec in specs])
        return kept_until({name: state.configs for name, state in states.items()}, _now())

    def _amend(self, one: Erasing, until: dict[str, datetime | None]) -> None:
        """The receipt says by when retention has erased the rest; what it says then never changes."""
        decided = one.owned.ending.decided(one.user, one.position)
        if decided is None or (erasure := decided.receipt.erasure) is None:
            return
        if not erasure.kept_until:
            erasure = replace(erasure, kept_until=until, not_reached=self._sources)
            decided = replace(decided, receipt=replace(decided.receipt, erasure=erasure))
        one.owned.ending.amend(one.user, decided, lambda: self._hand_out(one, decided))

    def _hand_out(self, one: Erasing, decided: Decided) -> None:
        receipt = decided.receipt

        def receipted() -> None:
            reached("forget.receipt")
            self._begun_at_ms.pop(one, None)
            self._metrics.receipts.labels(receipt.outcome).inc()
            if one.owned.is_alive:
                one.owned.receipted(one.user, one.position, lambda: self._tasks.put_nowait(_Receipted(one)))

        self._outbox.hand_out(one.user, receipt, receipted)

    async def _sweep_last(self, tasks: Iterable[Task]) -> None:
        """Take the rows of the receipts off the disk, and note that nothing is left there, if it is ours by then."""
        for task in tasks:
            match task:
                case _Receipted(Erasing(owned, user, position)) if owned.is_alive:
                    await owned.ending.sweep([user])
                    if owned.is_alive:  # it took a while, in which the worker may have been asked to stop
                        owned.ending.swept(user, position)
                case _Departed(owned, num_partitions) if owned.is_alive:
                    await owned.ending.sweep_departed(num_partitions)
                case _Rest(owned) if owned.is_alive:
                    await owned.ending.sweep_rest()
                    if owned.is_alive:
                        owned.ending.rest_swept()


def _now() -> datetime:
    return datetime.fromtimestamp(now_ms() / 1_000, UTC)
