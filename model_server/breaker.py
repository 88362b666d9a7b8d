"""The breaker of one server: whether calls may go to it, learned from how they ended (replicas → **breaker**).

``closed`` lets calls through. It opens when failures follow each other, or when most of the recent calls failed; at once when
nobody listens, when the server drains, or when somebody has to mend a setting first. ``open`` lets nothing through until a
pause is over, ``half_open`` lets one canary through, and only the canary's answer closes it: calls that began before it
opened may still be answered by a server that drains. A server that has too much to do is asked for nothing for a while, and
stays closed: it works.
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Literal

from streams.evolution.records import Unavailable

BreakerState = Literal["closed", "open", "half_open"]

MAX_CONSECUTIVE = 5
WINDOW_SECONDS = 10.0
MAX_FAILED_SHARE = 0.5
MIN_CALLS = 10  # in the window: of fewer, half is soon reached
MIN_PAUSE_SECONDS = 0.5
# Availability waits for up to 10 s before it asks again: a canary that was longer away would add to that.
MAX_PAUSE_SECONDS = 5.0
_DECISIVE = ("connection", "draining", "misconfigured")


class Breaker:
    """What the calls of one worker say of one server. Instants are seconds of any clock that never goes back."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._num_consecutive = 0
        self._num_pauses = 0
        self._paused_until = 0.0
        self._recent: deque[tuple[float, bool]] = deque()  # when a call ended, and whether it failed
        self._num_recent_failed = 0
        self.state: BreakerState = "closed"

    def may_call(self, now: float) -> bool:
        """Whether a call may go to the server."""
        return self.state == "closed" and now >= self._paused_until

    def seconds_left(self, now: float) -> float:
        """How long the pause still lasts: until a call, or until the canary of one that is open."""
        return max(0.0, self._paused_until - now)

    def answered(self, now: float) -> None:
        """A call was answered, whatever it was."""
        if self.state != "closed":
            return
        self._num_consecutive = self._num_pauses = 0
        self._count(now, failed=False)

    def failed(self, now: float, why: Unavailable) -> None:
        """A call was not answered."""
        if self.state != "closed":
            return
        if why.reason == "overloaded":
            self._pause(now, why.retry_after_seconds)
            return
        self._num_consecutive += 1
        self._count(now, failed=True)
        if why.reason in _DECISIVE or self._num_consecutive >= MAX_CONSECUTIVE or self._most_failed():
            self.state = "open"
            self._pause(now, why.retry_after_seconds)

    def asks(self) -> None:
        """The canary is sent."""
        self.state = "half_open"

    def canary_answered(self) -> None:
        """Calls may go to the server again. Pauses grow on until one of them is answered: a canary asks for very little."""
        self.state = "closed"
        self._num_consecutive = self._num_recent_failed = 0
        self._recent.clear()

    def canary_failed(self, now: float, why: Unavailable) -> None:
        """The server is still away."""
        self.state = "open"
        self._pause(now, why.retry_after_seconds)

    def _pause(self, now: float, retry_after_seconds: float | None) -> None:
        """Twice as long each time, with jitter, so that workers do not come back together; longer if the server says so."""
        if now >= self._paused_until:  # calls that met the same overload are one
            self._num_pauses += 1
            longest = min(MAX_PAUSE_SECONDS, MIN_PAUSE_SECONDS * 2 ** min(self._num_pauses, 30))
            self._paused_until = now + longest * self._chance.uniform(0.5, 1.0)
        self._paused_until = max(self._paused_until, now + (retry_after_seconds or 0.0))

    def _count(self, now: float, *, failed: bool) -> None:
        self._recent.append((now, failed))
        self._num_recent_failed += failed
        while self._recent[0][0] <= now - WINDOW_SECONDS:
            self._num_recent_failed -= self._recent.popleft()[1]

    def _most_failed(self) -> bool:
        num_recent = len(self._recent)
        return num_recent >= MIN_CALLS and self._num_recent_failed >= MAX_FAILED_SHARE * num_recent
