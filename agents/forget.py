"""Forget: ends a user's life where the command stands among their events; the fence that it puts there is the commit point.

Place in the flow: inside collect. What lies on disks and among dead letters goes after that, in :mod:`agents.erase`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial

from agents.clock import now_ms
from agents.erase import Erase, Erasing
from agents.metrics import Metrics
from agents.owned import Owned
from agents.writer import NotDurable
from prefstream.commands import Forget as ForgetCommand
from prefstream.receipts import Erasure, Receipt
from streams.controls import Decided
from streams.forgetting import Ended, fence_of
from streams.records import Detailed


class Forget:
    """What becomes of a `forget`. ``settle`` waits until everything collected is durable, and counted in the ledgers."""

    def __init__(self, erase: Erase, settle: Callable[[], Awaitable[None]], metrics: Metrics) -> None:
        self._erase = erase
        self._metrics = metrics
        self._settle = settle

    async def is_settled(self, owned: Owned) -> bool:
        """Wait until what lies before the command is counted, for good; false if the partition is lost meanwhile.

        What was counted is never read again: the fence may say how many events it erased, and they may be gone.
        """
        try:
            await self._settle()
        except NotDurable:
            return False
        return owned.is_alive

    def forget(self, owned: Owned, user: bytes, offset: int, arrival: Detailed, command: ForgetCommand) -> None:
        """Decide the command at this offset of the keyed topic. What lies before it is settled."""
        before = owned.fences.of(user)
        if before is not None and offset <= before.position:  # decided before a crash
            return
        ended = owned.ended(user)
        fence = fence_of(command, arrival, offset, ended, before, owned.fences.check)
        decided = Decided(_receipt(command, offset, ended))
        num_waiting = owned.forget(user, fence, decided, partial(self._erase.begin, Erasing(owned, user, offset)))
        self._metrics.erased.inc(num_waiting)

    def finish(self, owned: Owned) -> None:
        """After a restore: what a crash cut short behind the fence, and what users have left who moved away."""
        begun = [key for key, decided in owned.unreceipted() if decided.receipt.command == "forget"]
        for key in begun:
            owned.ending.finish(key.user, partial(self._erase.begin, Erasing(owned, key.user, key.offset)))
        if owned.fences.unswept_beside(key.user for key in begun):
            self._erase.sweep_rest(owned)
        if owned.ledger.num_partitions:
            self._erase.sweep_departed(owned, owned.ledger.num_partitions)


def _receipt(command: ForgetCommand, offset: int, ended: Ended) -> Receipt:
    return Receipt(
        user=command.user,
        tenant=command.tenant,
        command="forget",
        id=command.id,
        outcome="applied",
        at=datetime.fromtimestamp(now_ms() / 1_000, UTC),
        command_position=offset,
        erasure=Erasure(num_applied=ended.num_applied, num_pending=ended.num_pending, num_given_up=ended.num_given_up),
    )
