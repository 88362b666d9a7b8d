"""The errors of the pure core; what merely *can* fail (a bad record, a bad answer) is a value, never one of these.

::

    StreamsError               retriable: would the same call, made again, succeed?
    ├─ InvalidMapping          no    a mapping file does not say what the adapter needs: fix the named key
    ├─ InvalidSchema           no    a schema's file is none, or would let a record end the process: replace it
    └─ CorruptKey              no    a stored key this program did not write: a local fault, the worker exits
"""

from __future__ import annotations

from typing import ClassVar


class StreamsError(Exception):
    """The root of the tree."""

    retriable: ClassVar[bool] = False


class InvalidMapping(StreamsError):
    """A mapping file is refused: ``key`` is the dotted key at fault, ``problem`` what is wrong, ``fix`` what to write."""

    def __init__(self, key: str, problem: str, fix: str) -> None:
        super().__init__(f"{key}: {problem}; {fix}" if key else f"{problem}; {fix}")
        self.key = key
        self.problem = problem
        self.fix = fix


class CorruptKey(StreamsError):
    """A key of the table ``pending`` that is of no known kind or shape."""


class InvalidSchema(StreamsError):
    """A schema of a registry that cannot be read, or that would let a record end the process; the message says why."""
