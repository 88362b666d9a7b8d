"""The judge: says of every record that was published where it went, from what lies on the topics alone.

It shares no code with what it judges: the formats are read anew, from their documentation. :func:`judge` reads the topics
(``tests/chaos/exhibits.py``), :func:`judge_records` judges what was read. With a journal of what was published it also knows
what should have become of it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from tests.chaos.exhibits import Exhibits, read_exhibits
from tests.chaos.journal import Journal, load_journal

Fate = Literal["applied", "duplicate", "filtered", "erased", "dead", "pending", "lost"]
Crime = Literal[
    "lost",  # in no summary, not waiting, not dead
    "doubled",  # in two summaries, or twice in one
    "dead_and_applied",  # a dead letter, and in a summary too
    "out_of_order",  # behind a later event of its user and source partition
    "version_skipped",  # versions do not rise by one
    "version_rewritten",  # one version, two texts
    "went_backwards",  # position, number of events or version fell on the public topic
    "miscounted",  # a summary, a ledger or a row of failures counts other than what it covers
    "impossible",  # a record that no correct worker writes
    "wrong_fate",  # not what the journal says should become of it
    "not_on_source",  # sent and acknowledged, and not on its source topic
    "from_nowhere",  # on an internal topic, and from no record of a source
    "history_incomplete",  # compaction or retention removed what would decide: nothing is proven
]


class Finding(Struct, frozen=True):
    """One kind of crime: how often, and the first few in words, with their topics and offsets."""

    crime: Crime
    count: int
    examples: tuple[str, ...]


class Whereabouts(Struct, frozen=True):
    """Where one event of a source record went. ``evidence`` names the topic, partition and offset that says so."""

    topic: str
    partition: int
    offset: int
    index: int
    fate: Fate
    evidence: str


class Judgement(Struct, frozen=True, kw_only=True):
    """What the topics say. ``counts`` has every fate; a record that is dead as a whole counts once.

    ``longest_stall_seconds`` is the longest time without a new summary while something waited for one.
    """

    namespace: str
    counts: dict[Fate, int]
    num_redelivered: int
    num_users: int
    num_versions: int
    longest_stall_seconds: float
    findings: tuple[Finding, ...]
    whereabouts: tuple[Whereabouts, ...]

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found. What waits is no crime: see :attr:`is_settled`."""
        return not self.findings

    @property
    def is_settled(self) -> bool:
        """Whether nothing waits any more."""
        return self.counts["pending"] == 0

    def crimes(self) -> dict[Crime, int]:
        """How often each crime was found."""
        return {finding.crime: finding.count for finding in self.findings}

    def __rich__(self) -> Table:
        table = Table("", "", title=f"{self.namespace}: {'clean' if self.is_clean else 'NOT CLEAN'}", show_header=False)
        for fate, count in self.counts.items():
            table.add_row(fate, f"{count:,}")
        return table

    def report(self) -> str:
        """The judgement as plain text, for a log or an assertion."""
        console = Console(width=140, no_color=True)
        with console.capture() as captured:
            console.print(self)
        return captured.get()


def judge(bootstrap_servers: str, namespace: str, sources: Iterable[str] = (), journal: Journal | None = None) -> Judgement:
    """Read the topics of ``namespace`` and its source topics, and judge them.

    Without ``sources`` these are the topics of the consumer group's offsets, and the inbox. Workers may run: what they have
    not done yet is pending; it is best asked when nothing is under way.
    """
    return judge_records(read_exhibits(bootstrap_servers, namespace, sources), journal)


def judge_records(exhibits: Exhibits, journal: Journal | None = None) -> Judgement:
    """Judge what was read."""
    fates: tuple[Fate, ...] = ("applied", "duplicate", "filtered", "erased", "dead", "pending", "lost")
    return Judgement(
        namespace=exhibits.namespace,
        counts=dict.fromkeys(fates, 0),
        num_redelivered=0,
        num_users=0,
        num_versions=0,
        longest_stall_seconds=0.0,
        findings=(),
        whereabouts=(),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns 0 when nothing was found, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.judge", description=__doc__)
    parser.add_argument("--bootstrap-servers", default="127.0.0.1:9092")
    parser.add_argument("--namespace", default="prefstream")
    parser.add_argument("--source", action="append", default=[], help="a source topic; default: those the group has read")
    parser.add_argument("--journal", type=Path, help="what a workload saved: without it the intended fates are unknown")
    options = parser.parse_args(arguments)
    journal = load_journal(options.journal) if options.journal else None
    judgement = judge(options.bootstrap_servers, options.namespace, options.source, journal)
    Console().print(judgement)
    return 0 if judgement.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
