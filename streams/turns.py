"""Turns: which tenant is called for next, where several have users who are due (dispatch → **turns** → index).

Who has had the fewest tokens is next, so no tenant waits for another's flood. A tenant that had nothing to do comes in where
the others stand: it has no claim on what it did not use, and nobody catches up at the expense of the rest.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

ADVANCE_TOKENS = 1_000
"""What a call is taken for while it runs; it is settled when its tokens are known."""

_MAX_KEPT = 1_000  # tenants that stand where everybody starts need not be kept


class Turns:
    """How many tokens each tenant has had, counted from where those with nothing to do come in."""

    def __init__(self) -> None:
        self._had: dict[str, float] = {}
        self._start = 0.0
        self._round: list[tuple[float, int, str]] = []

    def begin_round(self, due_at_ms: Mapping[str, int]) -> None:
        """These tenants have somebody due, each since then."""
        self._round = [(self._of(tenant), at_ms, tenant) for tenant, at_ms in due_at_ms.items()]
        heapq.heapify(self._round)
        if len(self._had) > _MAX_KEPT:
            self._had = {tenant: had for tenant, had in self._had.items() if had > self._start}

    def next(self) -> str | None:
        """Whose turn it is of the round: who has had least, of several who was due first. ``None`` when nobody is left."""
        while self._round:
            had, at_ms, tenant = self._round[0]
            if (had_by_now := self._of(tenant)) > had:
                heapq.heapreplace(self._round, (had_by_now, at_ms, tenant))
            else:
                self._start = max(self._start, had)
                return tenant
        return None

    def drop(self) -> None:
        """Whose turn it is has nobody due any more, or has to wait: out of the round."""
        heapq.heappop(self._round)

    def charge(self, tenant: str, tokens: float) -> None:
        """The tenant has had so many tokens more; fewer than nothing where it was charged too many before."""
        self._had[tenant] = self._of(tenant) + tokens

    def _of(self, tenant: str) -> float:
        return max(self._start, self._had.get(tenant, 0.0))
