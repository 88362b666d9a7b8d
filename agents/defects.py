"""Defects: what may be said of an exception that is a bug of ours, met with one record or with what one user has.

Place in the flow: intake makes a dead letter of it, :mod:`agents.failed_calls` a failure of the user. Otherwise it would stop
every worker that meets the same, one after the other.
"""

from __future__ import annotations

import traceback
from pathlib import Path

LOCAL_FAULTS = (OSError, MemoryError, ImportError)
"""What is raised because of this machine, and by no user's data: a disk, memory, an installation."""


def place_of(error: Exception) -> str:
    """The exception's type and where it was raised. Not its words, which may quote a person."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    return f"{type(error).__name__} in {frame.f_code.co_name}, line {line} of {Path(frame.f_code.co_filename).name}"


def to_be_replayed(place: str) -> str:
    """What a dead letter says of a defect at this place."""
    return f"a defect of this version: {place}; replay it with a later one"
