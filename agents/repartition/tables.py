"""Tables: what lies on one partition of a topic of a table, read from its beginning to its end.

Place in the flow: what a repartition reads. Only the pending table's rows are held in memory, and of the others where each
newest record lies: a history has up to 20 texts of each user.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prefstream.reading import TopicReading
from prefstream.topics import OWNER_KEY
from streams.errors import CorruptKey

Live = dict[bytes, int]  # by key, the offset of its newest record


def records(reading: TopicReading, topic: str, number: int) -> Iterator[Any]:
    """Everything in the partition, without what owners say of themselves."""
    starts, ends = reading.beginnings(topic, [number]), reading.ends(topic, [number])
    return (record for record in reading.records(topic, starts, ends) if record.key not in (None, OWNER_KEY))


def rows(reading: TopicReading, topic: str, number: int) -> dict[bytes, bytes]:
    """The newest value of every key that is not deleted."""
    found: dict[bytes, bytes] = {}
    for record in records(reading, topic, number):
        if record.value is None:
            found.pop(record.key, None)
        else:
            found[record.key] = record.value
    return found


def live(
    reading: TopicReading,
    topic: str,
    number: int,
    is_wanted: Callable[[bytes], bool],
    note: Callable[[Any], object] = lambda record: None,
) -> Live:
    """Where the newest record of every wanted key lies that is not deleted. ``note`` sees each of their records.

    Raises CorruptKey as ``is_wanted`` does, but not for what is deleted: of who left in a move before this one, the records
    and their deletes lie here until compaction.
    """
    found: Live = {}
    astray: dict[bytes, CorruptKey] = {}
    for record in records(reading, topic, number):
        try:
            wanted = is_wanted(record.key)
        except CorruptKey as error:
            astray[record.key] = error
            if record.value is None:
                del astray[record.key]
            continue
        if not wanted:
            continue
        if record.value is None:
            found.pop(record.key, None)
        else:
            found[record.key] = record.offset
        note(record)
    if astray:
        raise next(iter(astray.values()))
    return found


def newest(reading: TopicReading, topic: str, number: int, known: Live) -> Iterator[Any]:
    """These records again."""
    return (record for record in records(reading, topic, number) if known.get(record.key) == record.offset)
