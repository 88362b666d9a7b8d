"""Every package that can be run says what it is when it is asked, and does nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAMS = sorted(
    ".".join(path.parent.relative_to(ROOT).parts)
    for folder in ("agents", "benchmarks", "deploy", "evaluation", "model_server", "prefstream", "tests", "training")
    for path in (ROOT / folder).rglob("__main__.py")
)


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_is_all_that_it_does(program: str) -> None:
    asked = subprocess.run(
        [sys.executable, "-m", program, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert asked.stdout.split()[0].lower() == "usage:", "and not what it prints when it runs"
