"""Failed calls: a user whose call failed waits, tries less at a time, and at last gives up the one event that never succeeds.

Place in the flow: beside write back. :mod:`streams.failures` decides; here it is made durable, each step before the next one is
taken: the verdict, the dead letter, the partition's rows. So an event that was condemned is never applied, whenever the worker
dies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import structlog
from msgspec.structs import replace

from agents.clock import now_ms as _now_ms
from agents.crash_points import reached
from agents.defects import LOCAL_FAULTS, place_of, to_be_replayed
from agents.metrics import Metrics
from agents.outbox import Outbox
from agents.owned import Owned
from streams.availability import Availability
from streams.failures import Failure, after_failure, poison_letter
from streams.flush import FlushPolicy
from streams.pending import Due

log = structlog.get_logger()

R = TypeVar("R")


class FailedCalls:
    """What becomes of a user whose call failed. ``topic_names`` gives the name of each topic id that is read."""

    def __init__(
        self,
        policy: FlushPolicy,
        availability: Availability,
        outbox: Outbox,
        topic_names: Mapping[str, str],
        metrics: Metrics,
    ) -> None:
        self._policy = policy
        self._availability = availability
        self._outbox = outbox
        self._topic_names = topic_names
        self._metrics = metrics
        self._defects: set[str] = set()

    def attempt(self, owned: Owned, due: Due, make: Callable[[], R]) -> R | None:
        """What ``make`` makes of what the user has, or ``None``: it met a defect of ours, which is the user's failure now.

        So the event that leads to it is found and given up like any other, and everybody else's summaries go on. What is the
        fault of this machine is raised, and stops the worker.
        """
        try:
            return make()
        except LOCAL_FAULTS:
            raise
        except Exception as error:
            place = place_of(error)
            self._say_once(place)
            self.note(owned, due, Failure("unprocessable", to_be_replayed(place)))
            return None

    def _say_once(self, place: str) -> None:
        """The first of each defect; all of them are counted."""
        if place not in self._defects:
            self._defects.add(place)
            log.error("a user's update met a defect of this version: please report it", where=place)

    def note(self, owned: Owned, due: Due, failure: Failure, retry_at_ms: int | None = None) -> None:
        """Keep what the failure makes of the user. An event that it condemns is due at once, to be buried.

        With ``retry_at_ms`` it met an outage: that proves nothing, and the user waits for its end, and longer each time.
        """
        self._metrics.failures.labels(failure.kind).inc()
        before, model = owned.failures(due.user), self._availability
        is_proof = retry_at_ms is None and (failure.kind != "unanswered" or not model.fails_others(due.user))
        accepted_at_ms = model.accepted_at_ms if is_proof else 0
        if failure.kind != "unanswered":
            model.failed(due.user)
        failed_share = model.failed_share(due.user)
        after = after_failure(before, due.offsets, failure, accepted_at_ms, failed_share, self._policy, _now_ms())
        owned.fail(due.user, replace(after, not_before_ms=max(after.not_before_ms, retry_at_ms or 0)))

    def bury(self, owned: Owned, due: Due) -> None:
        """Give up the condemned event: first its dead letter, and when that is durable its row."""
        reached("poison.condemned")
        ((offset, arrival),) = owned.rows(due)
        failures, life = owned.failures(due.user), owned.life(due.user)
        letter = poison_letter(due.user, arrival, failures, self._topic_names.get(arrival.origin.topic, ""), _now_ms())

        def durable() -> None:
            if owned.life(due.user) != life:  # erased meanwhile, and counted so
                owned.index.released(due.user, _now_ms())
                return
            self._metrics.dead_letters.labels("poison").inc()
            log.warning(
                "an event became a dead letter: no call with it succeeds", partition=owned.number, attempts=letter.attempts
            )
            owned.settled(due.user, offset, _now_ms())

        def lettered() -> None:
            reached("poison.lettered")
            if owned.is_alive and owned.life(due.user) == life:
                owned.bury(due.user, offset, arrival, durable)
            elif owned.is_alive:
                owned.index.released(due.user, _now_ms())

        self._outbox.refuse(letter, lettered)
