"""Duties: what a worker has to get on with, and how far each of them is, as the watchdog asks it.

Place in the flow: between the parts of the worker and :mod:`agents.watchdog`. A duty is judged by what its own part did last,
and not by what the broker says is left: behind a transaction that was aborted, offsets are left that nobody will ever read.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Set
from typing import cast

from faust.app import App

from agents.clock import now_ms
from agents.dispatch import Dispatch
from agents.faust_fixes import OrderedRecovery, WatermarkConsumer
from agents.faust_settings import REBALANCE_SECONDS
from agents.partitions import Partitions
from agents.progress import Progress
from agents.watchdog import Duty


def duties(
    app: App,
    progress: Progress,
    partitions: Partitions,
    dispatch: Dispatch,
    is_ready: Callable[[], bool],
    call_seconds: float,
    waiting_topics: Callable[[], Set[str]],
) -> list[Duty]:
    """The duties of this worker; one model call may take ``call_seconds``, and is made twice at most.

    ``waiting_topics``: those that wait for a schema registry, with which no restart would help.
    """

    def recovered() -> Hashable | None:
        if is_ready() or app.should_stop:
            return None
        recovery = cast(OrderedRecovery, app.tables.recovery)
        return app.rebalancing_count, app.consumer_generation_id, recovery.num_stored, recovery.num_left, len(list(partitions))

    def working(mark: Callable[[], Hashable | None]) -> Callable[[], Hashable | None]:
        return lambda: mark() if is_ready() and not app.should_stop else None

    def fetched() -> Hashable:
        return cast(WatermarkConsumer, app.consumer).num_fetches

    def read() -> Hashable | None:
        return progress.num_processed if progress.has_unprocessed(waiting_topics()) else None

    def committed() -> Hashable | None:
        return progress.num_committed if progress.committable() else None

    def evolved() -> Hashable | None:
        return dispatch.num_steps if dispatch.has_work(now_ms()) else None

    return [
        Duty("recover", recovered, REBALANCE_SECONDS),
        Duty("fetch", working(fetched)),
        Duty("read", working(read)),
        Duty("commit", working(committed)),
        Duty("evolve", working(evolved), 2 * call_seconds),
    ]
