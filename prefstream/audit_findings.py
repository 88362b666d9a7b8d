"""What an audit found: something an operator has to know, and where it is; of many of one kind the first few.

Place in the flow: beside it, below :mod:`prefstream.audit_folds` and :mod:`prefstream.audit_origins`, which find them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

FindingKind = Literal[
    "note",  # nothing is wrong, and something could not be looked at
    "unsettled",  # compaction removed what was being read: read again
    "undecided",  # what would decide it is gone
    "broken",  # something is lost, doubled, or other than it has to be
]

MAX_EXAMPLES = 3


class Finding(Struct, frozen=True):
    """Something an operator has to know, and where it is."""

    kind: FindingKind
    where: str
    what: str


class Faults:
    """What is wrong with the records of a partition: counted, with the first few in words."""

    def __init__(self) -> None:
        self.count = 0
        self.examples: list[str] = []

    def add(self, words: str) -> None:
        """One more."""
        self.count += 1
        if self.count <= MAX_EXAMPLES:
            self.examples.append(words)

    def findings(self, where: str) -> Iterator[Finding]:
        """The examples, and how many more there are."""
        for words in self.examples:
            yield Finding("broken", where, words)
        if self.count > MAX_EXAMPLES:
            yield Finding("broken", where, f"and {self.count - MAX_EXAMPLES:,} more of this kind")
