"""Journal: what a workload published, by the place where each record landed, and what has to become of it.

Written by ``tests/chaos/workload.py``, read by ``tests/chaos/judge.py``; it shares no code with what it is about.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct


class Place(NamedTuple):
    """Where a record lies."""

    topic: str
    partition: int
    offset: int


class Former(Struct, frozen=True):
    """A source topic that was deleted, all of it read and committed by then. ``records`` are those that everybody could see.

    Each record is a partition, an offset and Kafka's timestamp in ms since 1970.
    """

    topic: str
    topic_id: str
    records: tuple[tuple[int, int, int], ...]

    @property
    def name(self) -> str:
        """How places name it, once there is another topic of its name; no topic can be called so."""
        return f"{self.topic}@{self.topic_id}"


Fate = Literal["applied", "filtered", "command"]


class IntendedEvent(Struct, frozen=True):
    """One event or command of a record. ``event_id`` is the publisher's, or empty; of a user's events with one id, one counts.

    An event is to be applied, or ``filtered`` because its user has opted out before it, by the same way.
    """

    user: str
    event_id: str = ""
    fate: Fate = "applied"


class Sent(Struct, frozen=True):
    """One acknowledged record: either ``events``, or the ``reason`` of the dead letter it has to become."""

    place: Place
    events: tuple[IntendedEvent, ...] = ()
    reason: str = ""


class Journal(Struct, frozen=True):
    """Everything that was sent to the ``sources`` (adapters by topic), those among them that are ``former`` ones by now.

    ``num_unacknowledged`` records may or may not be on the topics: 0 after a clean stop. ``num_aborted`` records, of aborted
    transactions, lie on the topics, and nobody may see them.
    """

    sources: dict[str, str]
    records: tuple[Sent, ...]
    num_unacknowledged: int = 0
    num_aborted: int = 0
    former: tuple[Former, ...] = ()

    @property
    def num_events(self) -> int:
        """How many events have to end in summaries: those without an id, and one for each id of a user."""
        events = [event for record in self.records for event in record.events if event.fate == "applied"]
        return len({event for event in events if event.event_id}) + sum(not event.event_id for event in events)

    def count(self, fate: Fate) -> int:
        """How many events and commands have to end so."""
        return sum(event.fate == fate for record in self.records for event in record.events)

    @property
    def num_dead(self) -> int:
        """How many records have to end as dead letters."""
        return sum(bool(record.reason) for record in self.records)

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_bytes(msgspec.json.encode(self))


def load_journal(path: Path) -> Journal:
    """What :meth:`Journal.save` wrote. Raises msgspec.MsgspecError for anything else."""
    return msgspec.json.decode(path.read_bytes(), type=Journal)
