"""Watchdog: notices that a duty of this worker has work and gets on with none of it, says so, and at last ends the worker.

Place in the flow: beside it, asking what the others know. A worker whose loop turns is alive, and one that is recovered could
work; that it does is a third thing, and a queue that stands still behind a healthy face is what people find last. What is
nobody's fault here is no stall: with the broker away nothing can be done, and while the model is away calls are made and fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from typing import Literal

import structlog
from msgspec import Struct

from agents.failstop import stop_now, stopping_on_error
from agents.metrics import Metrics

DutyName = Literal["recover", "fetch", "read", "commit", "evolve"]

LOOK_SECONDS = 2.0
_MOST_AT_ONCE = 2 * LOOK_SECONDS  # of a process that was paused, or whose loop was busy, no more is held against it

log = structlog.get_logger()


class Duty(Struct, frozen=True):
    """Something the worker has to get on with.

    ``mark`` tells how far it is, by any value that changes when it gets on, and ``None`` while there is nothing to do.
    ``patience_seconds``: how long a single step may take by right, beyond what everything is granted.
    """

    name: DutyName
    mark: Callable[[], Hashable | None]
    patience_seconds: float = 0.0


class _Watched:
    """One duty, its last mark, and for how long it has been that."""

    def __init__(self, duty: Duty) -> None:
        self.duty = duty
        self.mark: Hashable | None = None
        self.seconds = 0.0
        self.is_stalled = False

    def look(self, elapsed_seconds: float) -> None:
        mark, before = self.duty.mark(), self.mark
        self.mark = mark
        self.seconds = 0.0 if mark is None or mark != before else self.seconds + elapsed_seconds


class Watchdog:
    """All duties of one worker. ``clock`` counts seconds and never goes back."""

    def __init__(
        self,
        duties: Sequence[Duty],
        is_broker_there: Callable[[], bool],
        metrics: Metrics,
        *,
        stalled_after_seconds: float,
        give_up_after_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        """``give_up_after_seconds``: how long a worker that has stalled stays, before it ends itself."""
        self._watched = [_Watched(duty) for duty in duties]
        self._is_broker_there = is_broker_there
        self._metrics = metrics
        self._stalled_after_seconds = stalled_after_seconds
        self._give_up_after_seconds = give_up_after_seconds
        self._clock = clock
        self._looked_at = clock()

    @property
    def stalled(self) -> list[str]:
        """A sentence for each duty that has stalled."""
        return [
            f"stalled: {one.duty.name} has work and got on with none of it for {one.seconds:.0f} seconds"
            for one in self._watched
            if one.is_stalled
        ]

    @stopping_on_error("the watchdog")
    async def run(self) -> None:
        """Look every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Look once at every duty. Ends the worker when one has stalled for too long."""
        now = self._clock()
        elapsed, self._looked_at = min(now - self._looked_at, _MOST_AT_ONCE), now
        is_broker_there = self._is_broker_there()
        for one in self._watched:
            one.look(elapsed if is_broker_there else 0.0)
            self._judge(one)

    def _judge(self, one: _Watched) -> None:
        self._metrics.stalled.labels(one.duty.name).set(one.seconds)
        was_stalled, too_long = one.is_stalled, self._stalled_after_seconds + one.duty.patience_seconds
        one.is_stalled = one.seconds >= too_long
        if one.is_stalled and not was_stalled:
            log.error(
                "a duty has stalled: this worker is not ready any more",
                duty=one.duty.name,
                seconds=round(one.seconds),
                ends_itself_after=too_long + self._give_up_after_seconds,
            )
        if was_stalled and not one.is_stalled:
            log.info("a duty gets on again", duty=one.duty.name)
        if one.seconds >= too_long + self._give_up_after_seconds:
            stop_now(f"{one.duty.name} had work and got on with none of it for {one.seconds:.0f} seconds")
