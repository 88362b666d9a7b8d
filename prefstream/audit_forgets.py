"""Who was forgotten, as far as the pending topic still says, and what that erased: for the audit's sums.

Place in the flow: inside :mod:`prefstream.audit_folds`.
"""

from __future__ import annotations

from prefstream.audit_rows import EventRow, Fence


class Forgets:
    """Who was forgotten on one partition, as far as the pending topic still says: fences name nobody.

    A fence has erased its user's past from the record on in which it stands. Until the receipt is durable a row ``r`` before it
    says who that is: ``begun`` at the instant, and by the first one ``later``.
    """

    def __init__(self) -> None:
        self.begun: dict[bytes, Fence] = {}
        self.later: dict[bytes, Fence] = {}
        self.num_unseen = 0
        self._asked: dict[int, bytes] = {}
        self._erased: dict[bytes, int] = {}
        self._latest: dict[bytes, int] = {}
        self._positions: set[int] = set()

    @property
    def num_erased(self) -> int:
        """How many accepted events were erased at the instant."""
        return sum(self._erased.values())

    def asks(self, row: EventRow, *, is_deleted: bool, is_later: bool) -> None:
        """A row ``r`` of a `forget`, or its delete: by then nothing of that life is left."""
        if not is_deleted:
            self._asked[row.offset] = row.user
        elif not is_later:
            self._asked.pop(row.offset, None)
            if row.user in self.begun and self.begun[row.user].position == row.offset:
                del self.begun[row.user]

    def fenced(self, key: bytes, fence: Fence) -> bytes | None:
        """A fence before the instant. Returns whose it is, where that is known."""
        self._positions.add(fence.position)
        self._erased[key] = self._latest[key] = fence.num_erased
        user = self._asked.get(fence.position)
        if user is not None:
            self.begun[user] = fence
        return user

    def fenced_later(self, key: bytes, fence: Fence, position: int) -> None:
        """A fence behind the instant, at which the ledger stood at ``position``; or one from before, written anew since."""
        if fence.position in self._positions:
            return
        if fence.position < position:  # compaction removed it where it stood first
            self.fenced(key, fence)
            return
        self._positions.add(fence.position)
        user, before = self._asked.get(fence.position), self._latest.get(key, 0)
        self._latest[key] = fence.num_erased
        is_first = fence.stage == 0 and before == fence.num_erased - fence.num_ended
        if user is None or not is_first:  # who it is, or the first record, or a fence in between, was not seen
            self.num_unseen += 1
        else:
            self.later.setdefault(user, fence)

    def covers(self, row: EventRow) -> bool:
        """Whether this event is erased, though its row may still be there."""
        fence = self.begun.get(row.user)
        return fence is not None and row.offset < fence.position
