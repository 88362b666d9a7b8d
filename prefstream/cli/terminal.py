"""What is said beside a command's output, on standard error: complaints, and progress where somebody can see it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from prefstream.reading import Watch
from prefstream.rendering import printable


def complain(sentence: str) -> None:
    """Say what is wrong."""
    Console(stderr=True, soft_wrap=True).print(Text(printable(sentence), "red"))


def confirm(question: str) -> None:
    """Go on only if it is meant. Nobody who could say so is a wrong way to ask."""
    try:
        is_meant = typer.confirm(question)
    except typer.Abort:
        if sys.stdin.isatty():
            raise
        typer.echo(err=True)
        raise typer.BadParameter("there is no terminal to ask on: add it if it is meant", param_hint="--yes") from None
    if not is_meant:
        raise typer.Abort


def progress_bar(amount: ProgressColumn | None = None) -> Progress:
    """A progress bar that disappears when it is done; ``amount`` shows how much of it is, counted by default."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), amount or MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def reading_bars() -> Iterator[Watch]:
    """A progress bar for each topic that is read, while this is open."""
    bars: dict[str, TaskID] = {}
    with progress_bar() as progress:

        def watch(topic: str, num_read: int, total: int) -> None:
            if topic not in bars:
                bars[topic] = progress.add_task(topic)
            progress.update(bars[topic], completed=num_read, total=total)

        yield watch
