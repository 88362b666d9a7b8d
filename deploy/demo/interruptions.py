"""Ctrl-C and SIGTERM during the demo: each means less, and none means a traceback."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruptions:
    """The first ends the replay, the second the wait for summaries after it, the third everything."""

    def __init__(self) -> None:
        self.num = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count them; the third raises KeyboardInterrupt."""
        before = [signal.signal(number, self._count) for number in _SIGNALS]
        try:
            yield
        finally:
            for number, handler in zip(_SIGNALS, before, strict=True):
                signal.signal(number, handler)

    def _count(self, number: int, frame: FrameType | None) -> None:
        self.num += 1
        if self.num > 2:
            raise KeyboardInterrupt
