"""Availability: whether the model is there, as far as the calls can tell; while it is away everybody waits, and one call asks.

Place in the flow: dispatch asks it before it starts a call, and tells it how each one ended. An outage blames nobody. A
connection that is refused, or a server that says it has too much to do, is one at once; a call that ended in a timeout or a
server error may be that prompt's fault, so it takes several users in a row. Write back tells it what became of the answers:
the more often a model fails everybody, the less it proves that it fails one.
"""

from __future__ import annotations

from collections import deque

from streams.evolution.records import Unavailable
from streams.flush import FlushPolicy, backoff_ms

MAX_UNANSWERED_USERS = 3
_MAX_PAUSE_MS = 10_000
_NUM_RECENT = 100  # calls, and attempts
_MAX_OTHERS = 0.1  # of the recent calls


class Availability:
    """What the calls of one worker say of its model. Instants are milliseconds since 1970."""

    def __init__(self, policy: FlushPolicy) -> None:
        self._policy = policy
        self._unanswered: set[bytes] = set()
        self._recent: deque[bytes | None] = deque(maxlen=_NUM_RECENT)  # who went unanswered; None for an answer
        self._judged: deque[tuple[bytes, bool]] = deque(maxlen=_NUM_RECENT)  # whose attempts, and whether they were accepted
        self._num_pauses = 0
        self._is_probing = False
        self.paused_until_ms = 0
        self.accepted_at_ms = 0

    @property
    def is_away(self) -> bool:
        """Whether there is an outage."""
        return bool(self._num_pauses)

    def may_call(self, now_ms: int) -> bool:
        """Whether a call may start now."""
        return now_ms >= self.paused_until_ms

    def calls(self, now_ms: int) -> bool:
        """A call starts. In an outage it is a probe, and the next one starts after a pause: this one may hang.

        Returns whether it is a probe.
        """
        if self.is_away:
            self._is_probing = True
            self.paused_until_ms = now_ms + self._pause_ms()
        return self.is_away

    def _pause_ms(self) -> int:
        return min(_MAX_PAUSE_MS, backoff_ms(self._num_pauses, self._policy))

    def answered(self) -> bool:
        """Somebody answered, whatever it was. Returns whether that ends an outage."""
        was_away = self.is_away
        self._num_pauses = self.paused_until_ms = 0
        self._is_probing = False
        self._unanswered.clear()
        self._recent.append(None)
        return was_away

    def accepted(self, user: bytes, now_ms: int) -> None:
        """An answer was good enough to be this user's next version."""
        self.accepted_at_ms = now_ms
        self._judged.append((user, True))

    def failed(self, user: bytes) -> None:
        """An attempt of this user failed, though the model is there: it was refused, or rejected, or met a defect."""
        self._judged.append((user, False))

    def failed_share(self, user: bytes) -> float:
        """Which share of the attempts of other users fails, 0 to 1, as far as the recent ones tell; 1 if none was accepted.

        As if half an attempt more had failed and half a one been accepted: a few good ones do not mean that all are.
        """
        others = [is_accepted for one, is_accepted in self._judged if one != user]
        num_failed = others.count(False)
        return (num_failed + 0.5) / (len(others) + 1) if num_failed < len(others) else 1.0

    def unanswered(self, user: bytes, why: Unavailable, now_ms: int) -> bool:
        """Nobody answered this user. Returns whether that begins or prolongs an outage, and is nobody's fault."""
        self._recent.append(user)
        if why.is_cut_short:
            self._unanswered.add(user)
            if not self.is_away and len(self._unanswered) < MAX_UNANSWERED_USERS:
                return False
        # Calls that met the same outage are one outage.
        if not self.is_away or self._is_probing:
            self._num_pauses += 1
            self._is_probing = False
            self.paused_until_ms = now_ms + self._pause_ms()
        if why.retry_after_seconds:
            self.paused_until_ms = max(self.paused_until_ms, now_ms + int(why.retry_after_seconds * 1_000))
        return True

    def fails_others(self, user: bytes) -> bool:
        """Whether of the recent calls so many of other users went unanswered that this user's prompt need not be the reason."""
        others = sum(one is not None and one != user for one in self._recent)
        return others > _MAX_OTHERS * len(self._recent)
