"""The telling: how each step, its versions and its promises look on a terminal, or in a pipe."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule
from rich.text import Text

from deploy.demo_controls.promises import Broken
from prefstream.absence import Absence
from prefstream.commands import Command, Edit, Never, Pin, RollBack
from prefstream.diffs import has_colours
from prefstream.events import Event, Rating, Search
from prefstream.history import KeptVersion
from prefstream.receipts import Receipt
from prefstream.rendering.absence import absence_report
from prefstream.rendering.history import history_lines
from prefstream.rendering.receipts import receipt_line
from prefstream.rendering.summaries import version_lines
from prefstream.summaries import Summary

_WIDTH = 96


class Telling:
    """Tells the story on a console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._has_colours = has_colours(console)
        self.num_promises = 0

    def step(self, number: int, caption: str) -> None:
        """A step begins."""
        self._console.print(
            Rule(Text.assemble((f" {number} ", "bold reverse"), (f" {caption}", "bold")), align="left", style="dim")
        )

    def events(self, events: Iterable[Event], late: Iterable[Event] = ()) -> None:
        """What the person did, and what of it came late."""
        for event in late:
            self._console.print(Text.assemble(("  · ", "dim"), _worded(event), ("  before she was forgotten", "italic dim")))
        for event in events:
            self._console.print(Text.assemble(("  · ", "dim"), _worded(event)))
        self._console.print()

    def command(self, command: Command) -> None:
        """What the person typed."""
        self._console.print(Text.assemble(("  $ ", "dim"), (typed(command), "bold")))

    def receipt(self, receipt: Receipt) -> None:
        """What came back."""
        said = Text(receipt_line(receipt), "yellow" if receipt.outcome == "refused" else "cyan")
        self._console.print(Padding(said, (0, 2)), "", width=_WIDTH)

    def versions(self, before: Summary | None, versions: Sequence[Summary]) -> None:
        """Each new version, with what changed in it."""
        now = datetime.now(UTC)
        for version in versions:
            self._console.print(version_lines(before, version, now, self._has_colours), width=_WIDTH)
            before = version

    def kept(self, promises: Sequence[str]) -> None:
        """The promises that were checked and hold."""
        self.num_promises += len(promises)
        said = Text.assemble(("✓ ", "green"), (" · ".join(promises), "dim"))
        self._console.print(Padding(said, (0, 2)), "", width=_WIDTH)

    def history(self, kept: Sequence[KeptVersion]) -> None:
        """All versions and why each was made."""
        self._console.print(*history_lines(kept, datetime.now(UTC)), "", sep="\n")

    def absence(self, found: Absence) -> None:
        """What is left of somebody, and by when it goes."""
        self._console.print(absence_report(found), "", sep="\n")

    def says(self, sentence: str) -> None:
        """A sentence of somebody else, the audit for instance."""
        self._console.print(Text(f"  {sentence}"), "", sep="\n", width=_WIDTH)

    def broken(self, broken: Broken) -> None:
        """A promise is not kept."""
        self._console.print(Text.assemble(("  ✗ ", "bold red"), (f"{broken.promise}: ", "bold red"), f"{broken.wrong}\n"))

    def end(self, num_steps: int, seconds: float) -> None:
        """All is well."""
        words = f"{self.num_promises} promises checked in {num_steps} steps and {seconds:.0f} seconds: all are kept."
        self._console.print(Text(words, "bold green"))


def typed(command: Command) -> str:
    """The command line that asks for this."""
    user = shlex.quote(command.user)
    match command:
        case Edit(text=text):
            return f"prefstream edit {user} {shlex.quote(text)}"
        case Pin(statement=statement):
            return f"prefstream pin {user} {shlex.quote(statement)}"
        case Never(subject=subject):
            return f"prefstream never {user} {shlex.quote(subject)}"
        case RollBack(version=version):
            return f"prefstream roll-back {user} {version}"
        case _:
            return f"prefstream {str(command.__struct_config__.tag).replace('_', '-')} {user}"


def _worded(event: Event) -> Text:
    match event:
        case Rating(item=item, value=stars):
            genres = ", ".join(item.attributes.get("genre", ()))
            stars_shown = "★" * round(stars) + "☆" * (5 - round(stars))
            return Text.assemble((stars_shown, "yellow"), f"  {item.title}", (f"  ({genres})", "dim"))
        case Search(query=query):
            return Text.assemble(("searched ", "dim"), f"“{query}”")
        case _:
            return Text(str(event.__struct_config__.tag))
