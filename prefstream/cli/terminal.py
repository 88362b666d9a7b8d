"""What is said beside a command's output, on standard error: complaints, and progress where somebody can see it."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from prefstream.rendering import printable


def complain(sentence: str) -> None:
    """Say what is wrong."""
    Console(stderr=True, soft_wrap=True).print(Text(printable(sentence), "red"))


def progress_bar(amount: ProgressColumn | None = None) -> Progress:
    """A progress bar that disappears when it is done; ``amount`` shows how much of it is, counted by default."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), amount or MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
