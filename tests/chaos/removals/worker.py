"""A worker without one fix: ``REMOVED_FIX=NAME python -m tests.chaos.removals.worker agents`` is ``python -m agents``."""

from __future__ import annotations

import os
import runpy
import sys

from tests.chaos.removals.fixes import named
from tests.chaos.removals.patches import VARIABLE, applied

if __name__ == "__main__":
    with applied(named(os.environ[VARIABLE]).patches):
        runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
