"""A worker with a defect: ``python -m tests.kafka.defective_worker WHEN TITLE``, otherwise ``python -m agents``.

``writing``: its dialect cannot write a prompt with an event of this title. ``reading``: it cannot read the answer to one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from agents.command import main
from streams.evolution.plain import Plain
from streams.evolution.records import Update

METHODS = {"writing": "write_prompt", "reading": "read_answer"}


def defective(method: Callable[..., Any], title: str) -> Callable[..., Any]:
    """The method, but for updates with this title."""

    def call(*arguments: Any) -> Any:
        update = arguments[-1]
        assert isinstance(update, Update)
        if any(one.chosen and one.chosen.title == title for one in update.evidence):
            raise ZeroDivisionError(f"a defect, and a secret: {title}")
        return method(*arguments)

    return call


if __name__ == "__main__":
    when, title = sys.argv[1:]
    del sys.argv[1:]
    with patch.object(Plain, METHODS[when], defective(getattr(Plain, METHODS[when]), title)):
        sys.exit(main())
