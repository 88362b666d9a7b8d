"""The capacity of one server: how many calls it takes at once, learned from its answers (replicas → **capacity**).

One more after each round of answers in which it was full, a tenth less when calls wait in its queue for too long, half when it
turns calls away. Too long is more than two seconds, and more than a quarter of the whole answer: a slow server that is given
fewer calls writes smaller batches, and no faster. A round is as many answers as calls may run at once. How long calls wait a
vLLM tells in its metrics; with another server it shows in answers that take far longer than the best did.
"""

from __future__ import annotations

TARGET_QUEUE_SECONDS = 2.0
TARGET_QUEUE_SHARE = 0.25
# SmolLM2 on two cores takes 4.4 times as long for each of 32 calls at once as for one alone, and writes 7 times as much in all:
# that is a batch, not a queue.
MAX_GROWTH = 6.0
_DRIFT = 1.01  # of the best in a round: prompts grow, and the best of an emptier hour must not stand for ever


class Capacity:
    """Between 1 and ``most`` calls at once, ``start`` of them at first (``most`` when it is not given)."""

    def __init__(self, most: int, start: int | None = None) -> None:
        self._most = most
        self._limit = float(most if start is None else min(max(1, start), most))
        self._num_halvings = 0
        self._best_seconds = float("inf")
        self._mean_seconds = 0.0
        self._queue_seconds: float | None = None
        self._begin_round()

    @property
    def limit(self) -> int:
        """How many calls may run at once."""
        return int(self._limit)

    def began(self, num_in_flight: int) -> int:
        """A call begins, and makes so many. Returns the flight it belongs to, which goes back to :meth:`turned_away`."""
        self._was_full |= num_in_flight >= self.limit
        return self._num_halvings

    def turned_away(self, flight: int) -> None:
        """The server had no room for a call. The calls of one flight met the same lack of room, which halves once."""
        if flight == self._num_halvings:
            self._num_halvings += 1
            self._lower(0.5)

    def answered(self, seconds: float) -> None:
        """A call ended after so long, with an answer or because that was too long."""
        self._num_answers += 1
        self._sum_seconds += seconds
        if self._num_answers >= self.limit:
            self._end_round()

    def queued(self, seconds: float | None) -> None:
        """The server says how long calls waited in its queue lately, on average; ``None`` when it says nothing."""
        self._queue_seconds = seconds
        if self._waits_too_long():
            self._lower(0.9)

    def _waits_too_long(self) -> bool:
        so_far = self._sum_seconds / self._num_answers if self._num_answers else 0.0
        target = max(TARGET_QUEUE_SECONDS, TARGET_QUEUE_SHARE * (self._mean_seconds or so_far))
        return self._queue_seconds is not None and self._queue_seconds > target

    def _end_round(self) -> None:
        self._mean_seconds = self._sum_seconds / self._num_answers
        self._best_seconds = min(self._best_seconds * _DRIFT, self._mean_seconds)
        if self._queue_seconds is None and self._has_grown():
            self._lower(0.9)
        elif self._was_full and not self._waits_too_long():
            self._limit = min(float(self._most), self._limit + 1)
        self._begin_round()

    def _has_grown(self) -> bool:
        mean, best = self._mean_seconds, self._best_seconds
        return mean > best * MAX_GROWTH and mean - best > TARGET_QUEUE_SECONDS

    def _lower(self, factor: float) -> None:
        self._limit = max(1.0, self._limit * factor)
        self._begin_round()

    def _begin_round(self) -> None:
        self._num_answers = 0
        self._sum_seconds = 0.0
        self._was_full = False
