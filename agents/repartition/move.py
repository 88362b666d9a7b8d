"""Move: everything of the users who leave one partition goes to the fresh ones, and is deleted where it was.

Place in the flow: the middle of a repartition, partition by partition. The order makes it safe to be killed at any point, and
to be done again: what a fresh partition gets is the same each time, and its ledger comes behind it; then the rest is deleted.

=====================  ======================================================================================================
events                 what waits, to the fresh partition of the events topic, from offset 0 on
pending                the rows, at these offsets
history, summaries     the newest records; a summary covers no offset of the new partition
ledger, new            *the fresh partition is complete*
ledger, old            what went is not its own any more
history, summaries,    deletes; that of a summary says in a header that the user moved
pending
summaries              the newest records again: whoever does not read the header has learnt of a deletion in between
=====================  ======================================================================================================
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from agents.repartition import tables
from agents.repartition.owner import Owner, Sent, owner_of
from agents.repartition.plan import NotPossible, Plan
from agents.repartition.tables import Live
from prefstream.reading import TopicReading
from prefstream.security import Servers
from prefstream.summaries import MOVED_HEADER
from streams.ledger import Ledger
from streams.moving import (
    Covered,
    Parcel,
    decode_covered,
    home_of,
    ledger_of,
    ledger_row,
    left_behind,
    moved_summary,
    parcels,
    user_of_row,
)

_MANY_RECORDS = 1_000

Moved = Callable[[Any], Sent]


class Departure:
    """One partition that users leave, and the fresh ones to which they go, all of them owned."""

    def __init__(self, plan: Plan, reading: TopicReading, old: Owner, fresh: list[Owner]) -> None:
        self._plan = plan
        self._reading = reading
        self._old = old
        self._fresh = {owner.number: owner for owner in fresh}
        self._pending, self._history, self._summaries = plan.tables

    @property
    def num_sent(self) -> int:
        """How many records were written."""
        return sum(owner.num_sent for owner in (self._old, *self._fresh.values()))

    async def move(self) -> dict[int, Ledger]:
        """Move who leaves, or what an earlier run has left of it. Returns the ledgers of all these partitions."""
        rows = tables.rows(self._reading, self._pending, self._old.number)
        before = ledger_of(rows)
        if before is None:  # nothing ever came
            return {}
        sent = await self._send_all(rows)
        after = before
        if before.num_partitions != self._plan.num_partitions:
            after = left_behind(before, sent.values(), self._plan.num_partitions)
            await self._old.send(self._pending, [Sent(*ledger_row(after))])
        await self._delete(rows)
        await self._publish_again()
        return {self._old.number: after, **sent}

    def _home(self, user: bytes) -> int:
        return home_of(user, self._old.number, self._plan.num_before, self._plan.num_partitions)

    def _leaves(self, user: bytes) -> bool:
        return self._home(user) != self._old.number

    def _row_leaves(self, key: bytes) -> bool:
        user = user_of_row(key)
        return user is not None and self._leaves(user)

    def _home_of_row(self, key: bytes) -> int:
        user = user_of_row(key)
        return self._home(user) if user is not None else self._old.number

    async def _send_all(self, rows: dict[bytes, bytes]) -> dict[int, Ledger]:
        """Complete every fresh partition that is not. Returns their ledgers."""
        found = {number: ledger_of(tables.rows(self._reading, self._pending, number)) for number in self._fresh}
        complete = {number: one for number, one in found.items() if one and one.num_partitions == self._plan.num_partitions}
        missing = [number for number in self._fresh if number not in complete]
        if not missing:
            return complete
        covered: dict[bytes, Covered] = {}

        def note(record: Any) -> None:
            covered[record.key] = decode_covered(record.value) if record.value else Covered()

        versions = tables.live(self._reading, self._history, self._old.number, self._row_leaves)
        summaries = tables.live(self._reading, self._summaries, self._old.number, self._leaves, note)
        users = {user for key in rows if (user := user_of_row(key)) is not None}.union(summaries)
        homes = {user: self._home(user) for user in users}
        of_parcels = parcels(rows, covered, homes, missing, self._plan.num_partitions)
        for parcel in of_parcels:
            await self._send_parcel(parcel)
        await self._copy(self._history, versions, missing, self._home_of_row, lambda one: Sent(one.key, one.value))
        await self._copy(self._summaries, summaries, missing, self._home, lambda one: Sent(one.key, moved_summary(one.value)))
        for parcel in of_parcels:
            await self._fresh[parcel.number].send(self._pending, [Sent(*ledger_row(parcel.ledger))])
        return complete | {parcel.number: parcel.ledger for parcel in of_parcels}

    async def _send_parcel(self, parcel: Parcel) -> None:
        """The waiting events, of which a former run may have sent the first, and the rows that name their offsets."""
        owner, topic = self._fresh[parcel.number], self._plan.topics.events
        end = self._reading.ends(topic, [parcel.number])[parcel.number]
        if end > len(parcel.events):
            raise NotPossible(
                f"{topic}/{parcel.number} has {end:,} records, and is to have {len(parcel.events):,}: somebody else wrote "
                "to it. Nothing was deleted: create the topics of another namespace, and read the sources again"
            )
        await owner.send(topic, [Sent(*event) for event in parcel.events[end:]])
        await owner.send(self._pending, [Sent(*row) for row in parcel.rows])

    async def _copy(self, topic: str, live: Live, numbers: list[int], home: Callable[[bytes], int], moved: Moved) -> None:
        """The newest records of who leaves, to those of these partitions that they belong to."""
        waiting: dict[int, list[Sent]] = defaultdict(list)
        for record in tables.newest(self._reading, topic, self._old.number, live):
            number = home(record.key)
            if number in numbers:
                waiting[number].append(moved(record))
                if len(waiting[number]) >= _MANY_RECORDS:
                    await self._fresh[number].send(topic, waiting.pop(number))
        for number, sent in waiting.items():
            await self._fresh[number].send(topic, sent)

    async def _delete(self, rows: dict[bytes, bytes]) -> None:
        """What has gone, from where it was. Deletes have no other trace: a key that is deleted is not deleted again."""
        number = self._old.number
        versions = tables.live(self._reading, self._history, number, self._row_leaves)
        await self._old.send(self._history, [Sent(key, None) for key in versions])
        summaries = tables.live(self._reading, self._summaries, number, self._leaves)
        whither = ((key, [(MOVED_HEADER, str(self._home(key)).encode())]) for key in summaries)
        await self._old.send(self._summaries, [Sent(key, None, headers) for key, headers in whither])
        await self._old.send(self._pending, [Sent(key, None) for key in rows if self._row_leaves(key)])

    async def _publish_again(self) -> None:
        for number, owner in self._fresh.items():
            live = tables.live(self._reading, self._summaries, number, lambda key: True)
            again: list[Sent] = []
            for record in tables.newest(self._reading, self._summaries, number, live):
                again.append(Sent(record.key, record.value))
                if len(again) >= _MANY_RECORDS:
                    await owner.send(self._summaries, again)
                    again = []
            await owner.send(self._summaries, again)


@asynccontextmanager
async def departure(servers: Servers, plan: Plan, reading: TopicReading, number: int) -> AsyncIterator[Departure]:
    """The departure from one partition, which is owned while this is open, like those to which its users go."""
    async with AsyncExitStack() as owned:
        old = await owned.enter_async_context(owner_of(servers, plan, number))
        fresh = [await owned.enter_async_context(owner_of(servers, plan, one)) for one in plan.fresh(number)]
        yield Departure(plan, reading, old, fresh)
