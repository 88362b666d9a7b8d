"""Crash points: the named places of the shell at which a fault test ends the process, or makes something fail.

Place in the flow: beside it. ``python -m agents`` never arms them, and says so when :data:`VARIABLE` asks for it; only the
worker of the fault tests does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

VARIABLE = "PREFSTREAM_CRASH_AT"

Point = Literal[
    "lane.sending",  # a batch is about to be sent (topic)
    "lane.sent",  # the broker has it, the store has not (topic)
    "lane.stored",  # the store has it, what follows from it has not happened (topic): between a summary and its deletes
    "call.sending",  # a user is in flight, the model has not been asked
    "call.answered",  # the model has answered, nothing is written back
    "poison.condemned",  # an event is durably condemned, its dead letter is not sent
    "poison.lettered",  # its dead letter is durable, the partition's rows do not know
    "forget.fenced",  # the fence is durable and the rows are deleted, the summary is not
    "forget.summary",  # the summary is deleted, the dead letters are not
    "forget.letters",  # the dead letters are empty, the files on the disk are not
    "forget.disk",  # the disk is swept, the receipt is not sent
    "forget.receipt",  # the receipt is durable, its row and its last bytes on the disk are still there
    "commit.flushed",  # all is durable, the offsets are not committed
    "commit.done",  # the offsets are committed, nobody here knows yet
    "recovery.fenced",  # the barrier records are written, nothing is recovered
    "recovery.storing",  # a batch of changelog records is about to be stored (topic)
    "recovery.restored",  # the indexes are rebuilt, the streams have not resumed
    "revoke.stopped",  # partitions are about to be lost, nothing is committed for them
    "revoke.committed",  # committed, not yet let go
    "drain.begun",  # asked to stop, calls are in flight
    "drain.answered",  # the calls have ended, their answers may not be durable
    "drain.committed",  # all is durable and committed, the group has not been left
]

Hook = Callable[[Point, str], None]


def _nothing(point: Point, topic: str) -> None:
    """What a worker does at a crash point."""


_hook: Hook = _nothing


def arm(hook: Hook) -> None:
    """From now on call ``hook`` with the point, and the topic where there is one."""
    global _hook
    _hook = hook


def is_armed() -> bool:
    """Whether somebody listens."""
    return _hook is not _nothing


def reached(point: Point, topic: str = "") -> None:
    """Say that the process is at this point."""
    _hook(point, topic)
