"""What is seen of files and of processes that come and go."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.soak.looks import look_at, size_of

SCRAPE = """\
prefstream_restored_events_total 5
prefstream_collected_events_total{outcome="accepted"} 10
prefstream_applied_events_total 7
prefstream_dead_letters_total{reason="poison"} 1
prefstream_erased_events_total 0
prefstream_released_events_total 2
prefstream_pending_events 4
prefstream_pending_oldest_age_seconds 1.5
"""


def worker(pid: int, disk: Path) -> Any:
    return SimpleNamespace(name="worker-0", pid=pid, port=1, disk=disk)


def test_a_process_is_seen_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.soak.looks.get", lambda port, path: (200, SCRAPE))
    (tmp_path / "rows").write_bytes(b"x" * (1 << 20))
    found = look_at(worker(os.getpid(), tmp_path))
    assert found is not None
    assert (found.num_pending, found.oldest_seconds, found.unaccounted, found.disk_mib) == (4, 1.5, 1, 1.0)
    assert found.rss_mib > 10
    assert found.num_threads >= 1
    assert found.num_handles == pytest.approx(len(os.listdir("/proc/self/fd")), abs=2)


def test_of_a_worker_that_does_not_answer_only_the_process_is_known(tmp_path: Path) -> None:
    found = look_at(worker(os.getpid(), tmp_path))
    assert found is not None
    assert (found.num_pending, found.oldest_seconds, found.unaccounted) == (None, None, None)


def test_of_a_process_that_is_gone_there_is_no_look(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert look_at(worker(process.pid, tmp_path)) is None, "dead, and not yet buried"
    assert look_at(worker(process.pid, tmp_path)) is None


def test_a_size_is_of_what_is_there_now(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "rows").write_bytes(b"x" * 8_192)
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    with (tmp_path / "index").open("wb") as sparse:
        sparse.truncate(10 << 20)
    assert size_of(tmp_path) == 8_192
    assert size_of(tmp_path / "nowhere") == 0
