"""The capacity of one server: how many calls it takes at once, learned from its answers (replicas → **capacity**).

More after each round of answers in which it was full, less when calls wait in its queue for too long, half when it turns calls
away. Too long is more than two seconds, and more than a quarter of the whole answer: a slow server that is given fewer calls
writes smaller batches, and no faster. A round is as many answers as calls may run at once. How long calls wait a vLLM tells in
its metrics; with another server it shows in answers that take far longer than the best did.

What counts is a queue that stays. Calls that are sent at once to a server that had nothing to do wait for each other, however
many it can take, and calls that began before it was lowered met the capacity of then: neither say anything of the one of now.
"""

from __future__ import annotations

TARGET_QUEUE_SECONDS = 2.0
TARGET_QUEUE_SHARE = 0.25
# Of the answer: calls that wait no longer than that all run at once. One that waits for the next step waits for less.
NO_QUEUE_SHARE = 0.05
# SmolLM2 on two cores takes 4.4 times as long for each of 32 calls at once as for one alone, and writes 7 times as much in all:
# that is a batch, not a queue.
MAX_GROWTH = 6.0
_DRIFT = 1.01  # of the best in a round: prompts grow, and the best of an emptier hour must not stand for ever


class _Answers:
    """Some answers, the seconds they took in all, and how many of those were spent in the server's queue."""

    def __init__(self) -> None:
        self.number = 0
        self.seconds = 0.0
        self.queue_seconds = 0.0

    @property
    def mean_seconds(self) -> float:
        return self.seconds / max(1, self.number)

    @property
    def hardly_queued(self) -> bool:
        return self.queue_seconds <= NO_QUEUE_SHARE * self.seconds

    @property
    def bearable_share(self) -> float:
        """What an answer of so much work may take, its queue included, over what it took; below 1 calls wait for too long."""
        mean, work = self.mean_seconds, max(0.0, self.seconds - self.queue_seconds) / max(1, self.number)
        return max(work + TARGET_QUEUE_SECONDS, work / (1 - TARGET_QUEUE_SHARE)) / mean if mean else 1.0


class Capacity:
    """Between 1 and ``most`` calls at once, ``start`` of them at first (``most`` when it is not given)."""

    def __init__(self, most: int, start: int | None = None) -> None:
        self._most = most
        self._limit = float(most if start is None else min(max(1, start), most))
        self._too_many = self._limit  # before it was lowered; up to there it may rise in larger steps
        self._num_calls = 0
        self._last_before_lowering = 0  # the number of a call, as is the next
        self._last_of_burst = 0
        self._is_burst = False
        self._best_seconds = float("inf")
        self._tells = False
        self._bearable = float("inf")  # calls at once, as the queue told last
        self._hardly_queues = False
        self._judged = _Answers()
        self._begin_look()
        self._begin_round()

    @property
    def limit(self) -> int:
        """How many calls may run at once."""
        return int(self._limit)

    def began(self, num_in_flight: int) -> int:
        """A call begins, and makes so many. Returns its number, which goes back to :meth:`turned_away` or :meth:`answered`."""
        self._num_calls += 1
        self._is_burst |= num_in_flight <= 1
        self._was_full |= num_in_flight >= self.limit
        return self._num_calls

    def turned_away(self, call: int) -> None:
        """The server had no room for this call. All that began before it was lowered met the same lack of room."""
        if call > self._last_before_lowering:
            self._lower(0.5)

    def answered(self, call: int, seconds: float) -> None:
        """This call ended after so long, with an answer or because that was too long."""
        if self._is_burst:
            self._is_burst, self._last_of_burst = False, self._num_calls
        self._seen.number += 1
        self._seen.seconds += seconds
        self._all_count &= call > max(self._last_before_lowering, self._last_of_burst)
        if call > self._last_before_lowering:
            self._round.number += 1
            self._round.seconds += seconds
        if self._round.number >= self.limit:
            self._end_round()

    def queued(self, seconds: float | None) -> None:
        """How long those that ended since it was last told had waited in the server's queue, on average.

        ``None`` when the server says nothing of it, or none ended.
        """
        self._tells |= seconds is not None
        if seconds is not None and self._seen.number and self._all_count:
            self._judge(seconds)
        self._begin_look()

    def _judge(self, queue_seconds: float) -> None:
        """By a round at least: answers that end together began together, and waited for as long as each other."""
        judged = self._judged
        judged.number += self._seen.number
        judged.seconds += self._seen.seconds
        judged.queue_seconds += self._seen.number * queue_seconds
        if judged.number < self.limit:
            return
        self._judged, self._hardly_queues = _Answers(), judged.hardly_queued
        # The server works on as many calls as before: those that are left out are those that wait.
        factor = max(0.5, judged.bearable_share)
        self._bearable = float("inf") if judged.hardly_queued else self._limit * factor
        if factor < 1:
            self._lower(factor)

    def _end_round(self) -> None:
        mean = self._round.mean_seconds
        self._best_seconds = min(self._best_seconds * _DRIFT, mean)
        if not self._tells and mean > self._best_seconds * MAX_GROWTH and mean - self._best_seconds > TARGET_QUEUE_SECONDS:
            self._lower(0.9)
        elif self._was_full:
            self._raise()
        self._begin_round()

    def _raise(self) -> None:
        """By one, or half the way back to where it was too much before, as long as the server tells of room."""
        way_back = self._too_many - self._limit if self._tells and self._hardly_queues else 0.0
        raised = min(float(self._most), self._limit + max(1.0, way_back / 2))
        if not self._tells or raised <= self._bearable:
            self._limit = raised

    def _lower(self, factor: float) -> None:
        self._too_many = self._limit
        self._limit = max(1.0, self._limit * factor)
        self._last_before_lowering = self._num_calls
        self._hardly_queues = False
        self._judged = _Answers()
        self._begin_round()

    def _begin_round(self) -> None:
        self._round = _Answers()
        self._was_full = False

    def _begin_look(self) -> None:
        self._seen = _Answers()
        self._all_count = True
