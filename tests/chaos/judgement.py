"""Judgement: where every event went and what was found wrong, as values that can be compared, printed and shown."""

from __future__ import annotations

from collections import Counter
from typing import Literal, get_args

from msgspec import Struct
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

Fate = Literal["applied", "duplicate", "filtered", "command", "erased", "dead", "pending", "lost"]
FATES: tuple[Fate, ...] = get_args(Fate)
Crime = Literal[
    "lost",  # in no summary, not waiting, not dead
    "doubled",  # in two summaries, or twice in one
    "dead_and_applied",  # a dead letter, and in a summary too
    "out_of_order",  # behind a later event of its user and source partition
    "version_skipped",  # versions do not rise by one
    "version_rewritten",  # one version, two texts
    "not_kept",  # published, and not on the history topic as it was
    "went_backwards",  # position, number of events or version fell on the public topic
    "receipt_rewritten",  # one command, two receipts that differ
    "pin_lost",  # a version without what its user had pinned
    "miscounted",  # a summary, a ledger or a row of failures counts other than what it covers
    "impossible",  # a record that no correct worker writes
    "wrong_fate",  # not what the journal says should become of it
    "not_on_source",  # sent and acknowledged, and not on its source topic
    "from_nowhere",  # on an internal topic, and from no record that a source shows
    "history_incomplete",  # compaction or retention removed what would decide: nothing is proven
]
MAX_EXAMPLES = 5


class Finding(Struct, frozen=True):
    """One kind of crime: how often, and the first few in words, with their topics and offsets."""

    crime: Crime
    count: int
    examples: tuple[str, ...]


class Findings:
    """What was found so far."""

    def __init__(self) -> None:
        self._counts: Counter[Crime] = Counter()
        self._examples: dict[Crime, list[str]] = {}

    def add(self, crime: Crime, words: str, count: int = 1) -> None:
        """So many more of a kind."""
        self._counts[crime] += count
        examples = self._examples.setdefault(crime, [])
        if len(examples) < MAX_EXAMPLES:
            examples.append(words)

    def all(self) -> tuple[Finding, ...]:
        """One for each kind, in the order of :data:`Crime`."""
        return tuple(
            Finding(crime, self._counts[crime], tuple(self._examples[crime]))
            for crime in get_args(Crime)
            if crime in self._counts
        )


class Whereabouts(Struct, frozen=True):
    """Where one event of a source record went. ``evidence`` names the topic, partition and offset that says so.

    Of a record that is dead as a whole, or that left no trace, only the ``index`` 0 is known.
    """

    topic: str
    partition: int
    offset: int
    index: int
    fate: Fate
    evidence: str


class Judgement(Struct, frozen=True, kw_only=True):
    """What the topics say. ``counts`` has every fate; together they are the events of the sources.

    ``num_redelivered`` copies of events lie on the events topic beside them. ``num_leftover_rows`` pending rows are covered by
    a summary already: a worker that restarts deletes them. ``longest_stall_seconds`` is the longest time without a new summary
    while something waited for one.
    """

    namespace: str
    counts: dict[Fate, int]
    num_redelivered: int
    num_leftover_rows: int
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

    @property
    def crimes(self) -> dict[Crime, int]:
        """How often each crime was found."""
        return {finding.crime: finding.count for finding in self.findings}

    def __rich__(self) -> Group:
        table = Table(title=f"Judgement of {self.namespace}", title_justify="left", show_header=False)
        table.add_column(justify="right")
        table.add_column()
        for fate, count in self.counts.items():
            table.add_row(f"{count:,}", fate)
        table.add_section()
        table.add_row(f"{sum(self.counts.values()):,}", "events of the sources")
        table.add_row(f"{self.num_redelivered:,}", "copies of them beside, dropped")
        table.add_row(f"{self.num_leftover_rows:,}", "pending rows covered already")
        table.add_row(f"{self.num_versions:,}", f"versions of {self.num_users:,} users' summaries")
        table.add_row(f"{self.longest_stall_seconds:.1f}", "seconds without a summary while something waited, at most")
        return Group(table, *(_shown(finding) for finding in self.findings), Text(self._sentence()))

    def _sentence(self) -> str:
        if not self.is_clean:
            return f"NOT CLEAN: {', '.join(f'{count:,} {crime}' for crime, count in self.crimes.items())}"
        return "Clean." if self.is_settled else f"Clean so far: {self.counts['pending']:,} events wait."

    def report(self) -> str:
        """The judgement as plain text, for a log or an assertion."""
        console = Console(width=160, no_color=True, force_terminal=False)
        with console.capture() as captured:
            console.print(self)
        return captured.get()


def _shown(finding: Finding) -> Text:
    lines = [f"{finding.crime} ({finding.count:,})", *(f"  {example}" for example in finding.examples)]
    more = finding.count - len(finding.examples)
    return Text("\n".join(lines + [f"  and {more:,} more"] * (more > 0)))
