"""Where the picture goes: the whole terminal, or a line now and then where nobody looks at a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.live import Live

from deploy.demo.screen import View, num_cards, picture, plain_line
from prefstream.diffs import has_colours

LINE_SECONDS = 5.0


class Display(Protocol):
    """Something that can show the demo; ``num_cards`` is how many summaries it has room for."""

    @property
    def num_cards(self) -> int:
        """How many summaries there is room for."""

    def update(self, view: View) -> None:
        """Show how it is now."""

    def notice(self, words: str) -> None:
        """Tell what just happened."""


class _Screen:
    def __init__(self, console: Console, live: Live) -> None:
        self._console = console
        self._live = live

    @property
    def num_cards(self) -> int:
        return num_cards(self._console.size.height)

    def update(self, view: View) -> None:
        self._live.update(picture(view, self._console.size, has_colours(self._console)), refresh=True)

    def notice(self, words: str) -> None:
        """The picture shows the latest notices itself."""


class _Lines:
    num_cards = 0

    def __init__(self) -> None:
        self._next_at = 0.0
        self._phase = ""

    def update(self, view: View) -> None:
        phase = view.phase.partition(",")[0]  # what follows is how long it still takes
        if time.monotonic() >= self._next_at or phase != self._phase:
            self._next_at = time.monotonic() + LINE_SECONDS
            self._phase = phase
            self.notice(plain_line(view))

    def notice(self, words: str) -> None:
        print(words, flush=True)


@contextmanager
def display_on(console: Console) -> Iterator[Display]:
    """A full-screen picture where there is a terminal; afterwards the terminal is as it was."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield _Lines()
        return
    with Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
        yield _Screen(console, live)
