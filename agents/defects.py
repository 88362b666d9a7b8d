"""Defects: what may be said of an exception that is a bug of ours, met with one record or with what one user has.

Place in the flow: intake makes a dead letter of it, :mod:`agents.failed_calls` a failure of the user. Otherwise it would stop
every worker that meets the same, one after the other. What does stop a worker is told in the log, by the same rule.
"""

from __future__ import annotations

import traceback
from pathlib import Path

import msgspec

from prefstream.errors import InvalidRecord

LOCAL_FAULTS = (OSError, MemoryError, ImportError)
"""What is raised because of this machine, and by no user's data: a disk, memory, an installation."""


def place_of(error: Exception) -> str:
    """The exception's type and where it was raised. Not its words, which may quote a person."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    return f"{type(error).__name__} in {frame.f_code.co_name}, line {line} of {Path(frame.f_code.co_filename).name}"


# Their words are the value that was wrong: a key that is not there, a text that is no number, a field of a record.
_QUOTING = (KeyError, ValueError, msgspec.MsgspecError, InvalidRecord)


def words_of(error: BaseException | None) -> str:
    """What the exception says, unless that may quote a person."""
    return "" if error is None or isinstance(error, _QUOTING) else str(error)


def told_of(error: BaseException) -> str:
    """The exception's type, and its words by the same rule."""
    return ": ".join(filter(None, (type(error).__qualname__, words_of(error))))


def traceback_of(error: BaseException) -> str:
    """As Python prints it, after what it came of; without local variables, and without words that may quote a person."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    frames = "".join(traceback.format_tb(error.__traceback__))
    told = f"Traceback (most recent call last):\n{frames}{told_of(error)}"
    return f"{traceback_of(before)}\n\nand then:\n\n{told}" if before else told


def to_be_replayed(place: str) -> str:
    """What a dead letter says of a defect at this place."""
    return f"a defect of this version: {place}; replay it with a later one"
