"""Replicas of one model behind the interface of one: each call goes where it waits least (dispatch → **replicas** → client).

Per replica there is a breaker (is it there?) and a capacity (how many calls does it take?). A call waits here for a free place,
in the order of arrival, and goes to the replica that is least full. One that a replica lost, or had no room for, is made on
another, once, and one that it did not let in goes to the next. A timeout or a server error is not made again: the prompt may be
its reason, and it would burn the GPU's time twice. Where no replica takes calls, the caller hears so at once, and pauses
everybody.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from random import Random
from types import TracebackType
from typing import Self

import structlog
from msgspec import Struct

from model_server.breaker import Breaker, BreakerState
from model_server.capacity import Capacity
from model_server.client import NO_HEADERS, ModelClient, QueueTimes
from streams.evolution.records import CallResult, Completion, Prompt, Unavailable

log = structlog.get_logger()

LOOK_SECONDS = 5.0  # how often a server is asked how long its queue is
# Nobody worked on the prompt, and the replica gets no more of them: choosing again is not a second call.
_AT_THE_DOOR = ("connection", "misconfigured", "draining")
_ELSEWHERE = (*_AT_THE_DOOR, "overloaded", "disconnected")


class Standing(Struct, frozen=True):
    """How one replica stands; ``number`` counts from 1, in the order of the addresses."""

    number: int
    state: BreakerState
    num_in_flight: int
    capacity: int
    num_failed_canaries: int


class _Replica:
    """One client, and what its calls taught."""

    def __init__(self, number: int, client: ModelClient, chance: Random, start: int | None) -> None:
        self.number = number
        self.client = client
        self.breaker = Breaker(chance)
        self.capacity = Capacity(client.capacity, start)
        self.num_in_flight = 0
        self.num_calls = 0
        self.num_failed_canaries = 0
        self.last_failure = ""
        self.opened = asyncio.Event()
        self.was_busy = asyncio.Event()

    @property
    def fullness(self) -> tuple[float, int]:
        """What is left of it least; of equals, who has had fewer calls."""
        return self.num_in_flight / self.capacity.limit, self.num_calls

    @property
    def has_room(self) -> bool:
        return self.num_in_flight < self.capacity.limit


class _Place(Struct, frozen=True, eq=False):
    """A place at a replica that a call has taken, and the number of the call there."""

    replica: _Replica
    call: int


class _Waiter(Struct, frozen=True, eq=False):
    """A call that waits for a place at a replica it has not tried; none, if no such replica takes calls any more."""

    tried: frozenset[_Replica]
    place: asyncio.Future[_Place | None]


class Replicas:
    """``evolve`` of several clients of one model. ``async with`` opens and closes them all.

    ``start`` is how many calls each replica gets at first; at most it gets its client's ``capacity``.
    """

    def __init__(
        self,
        clients: Sequence[ModelClient],
        *,
        chance: Random,
        start: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._replicas = [_Replica(number, client, chance, start) for number, client in enumerate(clients, 1)]
        self._clock = clock
        self._waiting: deque[_Waiter] = deque()  # for the first time
        self._returning: deque[_Waiter] = deque()
        self._tasks: list[asyncio.Task[None]] = []
        self._is_closed = False
        self._defect: BaseException | None = None

    @property
    def num_in_flight(self) -> int:
        """Calls sent and not answered yet, everywhere."""
        return sum(replica.num_in_flight for replica in self._replicas)

    @property
    def capacity(self) -> int:
        """How many calls the replicas that are there take at once, as far as they have shown."""
        return sum(replica.capacity.limit for replica in self._replicas if replica.breaker.state == "closed")

    def standings(self) -> list[Standing]:
        """How each replica stands."""
        return [
            Standing(one.number, one.breaker.state, one.num_in_flight, one.capacity.limit, one.num_failed_canaries)
            for one in self._replicas
        ]

    async def __aenter__(self) -> Self:
        for replica in self._replicas:
            await replica.client.__aenter__()
            self._start(self._tend(replica), f"replica {replica.number}")
            self._start(self._rouse(replica), f"rests of replica {replica.number}")
        return self

    def _start(self, tending: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(tending, name=name)
        task.add_done_callback(self._note_defect)
        self._tasks.append(task)

    def _note_defect(self, tending: asyncio.Task[None]) -> None:
        # Everything expected is a value. Without its tender a replica that is away would be away for ever.
        self._defect = None if tending.cancelled() else tending.exception()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for replica in self._replicas:
            await replica.client.__aexit__(None, None, None)
        self._hand_out()

    async def evolve(self, prompt: Prompt, *, request_id: str, headers: Mapping[str, str] = NO_HEADERS) -> CallResult:
        """The model's answer to ``prompt``, or why there is none; the answer is not judged here.

        ``request_id`` names the call in the servers' logs, with a number from the second attempt on; ``headers`` go with each.
        """
        if self._defect is not None:
            raise self._defect
        place = await self._place(frozenset())
        if place is None:
            return self._nobody()
        result = latest = await self._call(place, prompt, request_id, headers)
        tried, num_calls = frozenset({place.replica}), 0
        while isinstance(latest, Unavailable) and latest.reason in _ELSEWHERE:
            num_calls += latest.reason not in _AT_THE_DOOR
            place = await self._place(tried) if num_calls < 2 else None
            if place is None:
                break
            tried |= {place.replica}
            latest = await self._call(place, prompt, f"{request_id}-{len(tried)}", headers)
            result = _telling(result, latest)
        return result

    async def _call(self, place: _Place, prompt: Prompt, request_id: str, headers: Mapping[str, str]) -> CallResult:
        replica, began = place.replica, self._clock()
        try:
            result = await replica.client.evolve(prompt, request_id=request_id, headers=headers)
            seconds = self._clock() - began
            self._learn(place, result, seconds)
        finally:
            self._give_back(place)
        log.debug("call ended", request_id=request_id, replica=replica.number, result=_named(result), seconds=round(seconds, 3))
        return result

    def _learn(self, place: _Place, result: CallResult, seconds: float) -> None:
        replica, now = place.replica, self._clock()
        if not isinstance(result, Unavailable):
            replica.breaker.answered(now)
            if isinstance(result, Completion):
                replica.capacity.answered(place.call, seconds)
            return
        if result.reason == "overloaded":
            replica.capacity.turned_away(place.call)
            replica.was_busy.set()
        elif result.reason == "timeout":
            replica.capacity.answered(place.call, seconds)
        was_open = replica.breaker.state != "closed"
        replica.breaker.failed(now, result)
        replica.last_failure = f"{result.reason}: {result.message}"
        if replica.breaker.state == "open" and not was_open:
            replica.opened.set()
            log.warning("a replica gets no calls until it answers", replica=replica.number, reason=replica.last_failure)

    async def _place(self, tried: frozenset[_Replica]) -> _Place | None:
        """A place at a replica that was not tried, or ``None`` when none of them takes calls.

        Whoever comes again goes before those who come for the first time: their user has waited for longer. Nobody goes before
        those who wait for a replica whose rest is just over.
        """
        self._hand_out()
        replica = self._freest(tried)
        if replica is not None or not self._any_takes_calls(tried):
            return _taken(replica) if replica else None
        waiter = _Waiter(tried, asyncio.get_running_loop().create_future())
        (self._returning if tried else self._waiting).append(waiter)
        try:
            return await waiter.place
        except asyncio.CancelledError:
            if waiter.place.done() and not waiter.place.cancelled() and (place := waiter.place.result()):
                self._give_back(place)
            raise

    def _give_back(self, place: _Place) -> None:
        place.replica.num_in_flight -= 1
        self._hand_out()

    def _hand_out(self) -> None:
        """Give the free places to those who wait, and tell them if none of the replicas takes calls any more."""
        self._returning = deque(waiter for waiter in self._returning if not self._settle(waiter))
        # Who comes for the first time may go anywhere: where there is nothing for one of them, there is nothing for the next.
        while self._waiting and self._settle(self._waiting[0]):
            self._waiting.popleft()

    def _settle(self, waiter: _Waiter) -> bool:
        if waiter.place.done():  # cancelled
            return True
        replica = self._freest(waiter.tried)
        if replica is None and self._any_takes_calls(waiter.tried):
            return False
        waiter.place.set_result(_taken(replica) if replica else None)
        return True

    def _takers(self, tried: frozenset[_Replica]) -> Iterable[_Replica]:
        now = self._clock()
        if self._is_closed:
            return ()
        return (one for one in self._replicas if one not in tried and one.breaker.may_call(now))

    def _freest(self, tried: frozenset[_Replica]) -> _Replica | None:
        return min((one for one in self._takers(tried) if one.has_room), key=lambda one: one.fullness, default=None)

    def _any_takes_calls(self, tried: frozenset[_Replica]) -> bool:
        return any(True for _ in self._takers(tried))

    def _nobody(self) -> Unavailable:
        """Why no replica takes calls: for one that only rests, until its rest is over."""
        if self._is_closed:
            return Unavailable("no_replica", "the client was closed while the call waited for a place")
        now = self._clock()
        rests = [one.breaker.seconds_left(now) for one in self._replicas if one.breaker.state == "closed"]
        if rests:
            return Unavailable("overloaded", "every replica asked for a pause", min(rests))
        failures = "; ".join(f"replica {one.number}: {one.last_failure}" for one in self._replicas)
        return Unavailable("no_replica", f"none takes calls: {failures}")

    async def _tend(self, replica: _Replica) -> None:
        """Ask one that is away whether it is back, and one that is there how long calls wait in it, until cancelled."""
        before = None
        while True:
            if replica.breaker.state == "closed":
                before = await self._look(replica, before)
            else:
                await asyncio.sleep(replica.breaker.seconds_left(self._clock()))
                await self._ask_canary(replica)

    async def _look(self, replica: _Replica, before: QueueTimes | None) -> QueueTimes | None:
        replica.opened.clear()
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await replica.opened.wait()
        except TimeoutError:
            times = await replica.client.queue_times()
            replica.capacity.queued(_lately(before, times))
            self._hand_out()
            return times
        return None

    async def _rouse(self, replica: _Replica) -> None:
        """Call those who wait when a rest that the replica asked for is over, until cancelled. Its tender may be in a look."""
        while True:
            await replica.was_busy.wait()
            replica.was_busy.clear()
            # A sleep may end early, by less than the clock can tell.
            while seconds := replica.breaker.seconds_left(self._clock()):
                await asyncio.sleep(seconds)
            self._hand_out()

    async def _ask_canary(self, replica: _Replica) -> None:
        replica.breaker.asks()
        result = await replica.client.ask_canary(request_id=f"canary-{uuid.uuid4().hex}")
        if isinstance(result, Unavailable):
            replica.breaker.canary_failed(self._clock(), result)
            replica.num_failed_canaries += 1
            replica.last_failure = f"{result.reason}: {result.message}"
            return
        replica.breaker.canary_answered()
        log.info("a replica is back", replica=replica.number)
        self._hand_out()


def _taken(replica: _Replica) -> _Place:
    replica.num_in_flight += 1
    replica.num_calls += 1
    return _Place(replica, replica.capacity.began(replica.num_in_flight))


def _telling(first: CallResult, second: CallResult) -> CallResult:
    """Of two results of one call the one that says more: an answer, then that a server failed that had the prompt."""
    if isinstance(first, Unavailable) and isinstance(second, Unavailable) and first.is_cut_short and not second.is_cut_short:
        return first
    return second


def _lately(before: QueueTimes | None, after: QueueTimes | None) -> float | None:
    """How long calls waited on average between two looks; ``None`` if none did, or the server started again."""
    if before is None or after is None or after.num_calls <= before.num_calls:
        return None
    return max(0.0, after.sum_seconds - before.sum_seconds) / (after.num_calls - before.num_calls)


def _named(result: CallResult) -> str:
    return result.reason if isinstance(result, Unavailable) else type(result).__name__.lower()
