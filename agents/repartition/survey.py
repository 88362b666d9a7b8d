"""Survey: who would move, how much that is, and what workers have to finish before.

Place in the flow: before anything of a repartition is written, and all that ``--dry-run`` does.
"""

from __future__ import annotations

from msgspec import Struct

from agents.repartition import tables
from agents.repartition.plan import Plan
from prefstream.reading import TopicReading
from streams.keys import murmur2_partition
from streams.ledger import Ledger
from streams.moving import home_of, ledger_of, unfinished, user_of_row


class Survey(Struct, frozen=True, kw_only=True):
    """What was found on the partitions that users leave, with the ledgers of those where anything ever came.

    ``num_read`` are records as they lie on the topics, ``num_moved`` those of users who move.
    """

    ledgers: dict[int, Ledger]
    num_users: int
    num_moved_users: int
    num_read: int
    num_moved: int
    num_uncollected: int
    num_commands: int
    num_erasures: int

    @property
    def why_not(self) -> str | None:
        """What is left to do for workers, in a sentence; None where nothing is."""
        left = [
            (self.num_uncollected, "events that were taken in and are not collected"),
            (self.num_commands, "commands without a receipt"),
            (self.num_erasures, "erasures on a worker's disk"),
        ]
        found = ", ".join(f"{count:,} {what}" for count, what in left if count)
        return (
            f"workers have not finished: {found}. Start them with PREFSTREAM_INTAKE=closed until --dry-run says nothing of "
            "this, stop them, and run this again"
            if found
            else None
        )


class _Tally:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.users: set[bytes] = set()
        self.num_read = 0
        self.num_moved = 0

    def note(self, user: bytes | None, number: int) -> None:
        """A record of somebody in this partition. Raises CorruptKey where they do not belong there, before anything begins."""
        self.num_read += 1
        if user is not None:
            self.users.add(user)
            self.num_moved += home_of(user, number, self._plan.num_before, self._plan.num_partitions) != number

    def moves(self, user: bytes) -> bool:
        return murmur2_partition(user, self._plan.num_partitions) >= self._plan.num_before


def survey(reading: TopicReading, plan: Plan) -> Survey:
    """Read the tables of every partition that users leave. Raises BrokerUnreachable, CorruptKey."""
    pending, history, summaries = plan.tables
    tally, ledgers = _Tally(plan), {}
    num_uncollected = num_commands = num_erasures = 0
    for number in range(plan.num_before):
        rows = tables.rows(reading, pending, number)
        ledger = ledger_of(rows)
        if ledger is not None:
            ledgers[number] = ledger
        left = unfinished(rows)
        num_commands, num_erasures = num_commands + left.num_commands, num_erasures + left.num_erasures
        num_uncollected += reading.ends(plan.topics.events, [number])[number] - (ledger.position if ledger else 0)
        for key in rows:
            tally.note(user_of_row(key), number)
        for key in tables.live(reading, history, number, lambda key: True):
            tally.note(user_of_row(key), number)
        for key in tables.live(reading, summaries, number, lambda key: True):
            tally.note(key, number)
    return Survey(
        ledgers=ledgers,
        num_users=len(tally.users),
        num_moved_users=sum(map(tally.moves, tally.users)),
        num_read=tally.num_read,
        num_moved=tally.num_moved,
        num_uncollected=num_uncollected,
        num_commands=num_commands,
        num_erasures=num_erasures,
    )
