"""Queue: what waits of one tenant in one partition: who is due when, how many wait, how much memory that takes.

Place in the flow: inside the index of who waits. Each tenant's users have an order of their own, so that who chooses whose turn
it is need not look through another tenant's flood.
"""

from __future__ import annotations


class Queue:
    """One tenant's; ``due`` is a heap of (due_at_ms, user), in which entries that are out of date are left until they come up.

    ``num_deferred`` users wait for tokens of their own budget. The bytes are memory, as gates estimate it, in their two kinds.
    """

    __slots__ = ("due", "num_deferred", "num_events", "num_users", "ordinary_bytes", "surplus_bytes", "tenant")

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self.due: list[tuple[int, bytes]] = []
        self.num_users = 0
        self.num_events = 0
        self.num_deferred = 0
        self.ordinary_bytes = 0
        self.surplus_bytes = 0
