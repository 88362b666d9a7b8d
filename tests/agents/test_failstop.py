"""A worker that ends at once, and does so also when nothing can be written any more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agents.failstop import EXIT_CODE
from tests.kafka.worker_process import REPOSITORY

STOP = "from agents.failstop import stop_now; stop_now('the store cannot be written', OSError('no space'))"
FULL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1)); "


@pytest.mark.parametrize(("before", "is_told"), [("", True), (FULL, False)], ids=["a log", "a log on a full disk"])
def test_it_ends_whether_or_not_it_can_say_why(tmp_path: Path, before: str, is_told: bool) -> None:
    log = tmp_path / "log"
    log.write_text("earlier\n")
    with log.open("ab") as output:
        ended = subprocess.run([sys.executable, "-c", before + STOP], cwd=REPOSITORY, stdout=output, stderr=output, timeout=60)
    assert ended.returncode == EXIT_CODE
    assert ("the store cannot be written" in log.read_text()) == is_told
