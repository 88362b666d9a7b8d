"""The console entry point, as pyproject.toml names it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"

INTERRUPTED_WHILE_IT_LOADS = """
import sys

class Interrupt:
    def find_spec(self, name, *_):
        if name == "kafka":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
from {module} import {function}
{function}()
"""


def test_a_ctrl_c_while_it_is_still_loading_is_no_traceback() -> None:
    module, function = tomllib.loads(PYPROJECT.read_text())["project"]["scripts"]["prefstream"].split(":")
    program = INTERRUPTED_WHILE_IT_LOADS.format(module=module, function=function)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=PYPROJECT.parent)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
