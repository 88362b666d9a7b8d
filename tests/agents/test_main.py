"""``python -m agents`` that is interrupted before the worker runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WHILE_IT_LOADS = """
import sys

class Interrupt:
    def find_spec(self, name, *_):
        if name == "faust":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
"""
WHILE_IT_ASKS_THE_BROKER = """
import agents.command

def interrupted():
    raise KeyboardInterrupt

agents.command._new_worker = interrupted
"""


@pytest.mark.parametrize("interrupt", [WHILE_IT_LOADS, WHILE_IT_ASKS_THE_BROKER], ids=["while it loads", "while it asks"])
def test_a_ctrl_c_before_the_worker_runs_is_no_traceback(interrupt: str) -> None:
    program = f"{interrupt}\nimport runpy, sys\nsys.argv = ['agents']\nrunpy.run_module('agents', run_name='__main__')"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
