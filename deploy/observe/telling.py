"""The telling: the script beforehand, what happens meanwhile, and at the end the timeline and what is wrong with it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich import box
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from deploy.observe.script import Script, Step
from deploy.observe.timeline import Moment, clock

_LINE_SECONDS = 30.0
_COLOURS = {"pending": "yellow", "firing": "bold red", "cleared": "green"}


class Look(NamedTuple):
    """What one look at Prometheus found; None is what is not known."""

    seconds: float
    of_seconds: float
    waiting_for: str
    pending_events: float | None
    oldest_age_seconds: float | None
    alerts: Mapping[str, str]


class Telling:
    """Tells the story on a console; where nobody looks at a terminal, a line now and then says how far it is."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None
        self._next_line_at = 0.0

    def begin(self, script: Script) -> None:
        """What will be done, and what must follow."""
        table = Table(title="What will happen, and what must follow", title_justify="left", box=box.SIMPLE_HEAD)
        for name in ("at", "what is done", "foreseen"):
            table.add_column(name)
        for step in script.steps:
            table.add_row(clock(step.at_seconds), step.caption, Text(step.foreseen, "dim"))
        self._console.print(table)
        say = f"About {script.seconds / 60:.0f} minutes, and some moments for what has not cleared then. Ctrl-C ends it.\n"
        self._console.print(say, highlight=False)

    def step(self, seconds: float, step: Step) -> None:
        """A step is done."""
        self._line(Text.assemble((f"{clock(seconds)}  ", "bold"), (step.caption, "bold")))

    def alert(self, seconds: float, alert: str, change: str) -> None:
        """An alert changes."""
        self._line(Text.assemble(f"{clock(seconds)}  ", (f"{alert}: {change}", _COLOURS.get(change, ""))))

    def look(self, look: Look) -> None:
        """How far it is."""
        words = _worded(look)
        if self._console.is_terminal:
            if self._status is None:
                self._status = self._console.status("")
                self._status.start()
            self._status.update(words)
        elif time.monotonic() >= self._next_line_at:
            self._next_line_at = time.monotonic() + _LINE_SECONDS
            self._console.print(words, highlight=False)

    def rest(self) -> None:
        """Nothing is waited for any more."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def timeline(self, moments: Sequence[Moment]) -> None:
        """Everything that was done and everything that alerts did, in order."""
        table = Table(title="The timeline, as Prometheus recorded it", title_justify="left", box=box.SIMPLE_HEAD)
        for name in ("at", "what was done, and what alerts did", "after"):
            table.add_column(name)
        for moment in moments:
            if not moment.change:
                table.add_row(Text(clock(moment.at_seconds), "bold"), Text(moment.words, "bold"), "")
                continue
            said = Text.assemble("    ", (f"{moment.change:<8}", _COLOURS[moment.change]), moment.words)
            table.add_row(clock(moment.at_seconds), said, Text(moment.after, "dim"))
        self._console.print(table)

    def pictures(self, paths: Sequence[Path]) -> None:
        """Where they are."""
        self._console.print("The dashboards, drawn from what Prometheus answered to their queries:", highlight=False)
        for path in paths:
            self._console.print(f"  {path}", highlight=False, soft_wrap=True)

    def end(self, kept: Sequence[str], faults: Sequence[str]) -> None:
        """What holds, and what is wrong."""
        for sentence in kept:
            self._console.print(Text.assemble(("✓ ", "green"), sentence))
        for sentence in faults:
            self._console.print(Text.assemble(("✗ ", "bold red"), (sentence, "bold red")))

    def _line(self, words: Text) -> None:
        self._console.print(words)


def _worded(look: Look) -> Text:
    waits = "" if look.pending_events is None else f" · {look.pending_events:,.0f} events wait"
    oldest = "" if look.oldest_age_seconds is None else f", the oldest for {look.oldest_age_seconds:.0f} s"
    alerts = ", ".join(f"{alert} {state}" for alert, state in sorted(look.alerts.items()))
    return Text(
        f"{clock(look.seconds)} of {clock(look.of_seconds)} · {look.waiting_for}{waits}{oldest} · {alerts or 'no alert'}", "dim"
    )
