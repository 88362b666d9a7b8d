"""The demo of controls with a worker that loses pins: ``python -m tests.deploy.demo_controls.forgetful``.

With the argument ``worker`` it is that worker.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from unittest.mock import patch

from deploy.demo import processes
from deploy.demo_controls.__main__ import main


class _Child(processes.Child):
    def __init__(self, name: str, module: list[str], log: Path, environment: Mapping[str, str], *python: str) -> None:
        mine = ["tests.deploy.demo_controls.forgetful", "worker"]
        super().__init__(name, mine if module == ["agents"] else module, log, environment, *python)


def _worker() -> int:
    from agents.command import main as work

    with patch("streams.changes.with_kept", lambda text, kept, person: text):
        return work()


if __name__ == "__main__":
    if sys.argv[1:] == ["worker"]:
        del sys.argv[1:]
        sys.exit(_worker())
    with patch.object(processes, "Child", _Child):
        sys.exit(main())
