"""The incident on a real broker with a real Prometheus, shortened; and without Prometheus it says what to do."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kafka import KafkaAdminClient
from rich.console import Console

from deploy.grafana.generate import BOARDS
from deploy.observe.story import observe
from deploy.prometheus.debian import PrometheusUnavailable, program

ROOT = Path(__file__).parents[3]


class Run:
    """One run of the short incident. Its environment, which its processes inherit, carries a mark that no other process has."""

    def __init__(self, bootstrap_servers: str, temporary: Path, out: Path) -> None:
        self.mark, self.temporary, self._bootstrap_servers = uuid.uuid4().hex, temporary, bootstrap_servers
        temporary.mkdir()
        told = {"PREFSTREAM_BOOTSTRAP_SERVERS": bootstrap_servers, "TMPDIR": str(temporary), "OBSERVE_TEST_MARK": self.mark}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.deploy.observe.short", "--out", str(out)],
            cwd=ROOT,
            env=os.environ | told | {"PYTHONUNBUFFERED": "1", "COLUMNS": "160"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def said(self, until: str = "") -> str:
        """What it says, up to the line with these words, or until it ends."""
        assert self.process.stdout
        said = ""
        for line in self.process.stdout:
            said += line
            if until and until in line:
                break
        return said

    def is_gone(self) -> bool:
        """Whether it left nothing: no topic, process or file. A broker lists a topic some moments beyond its deletion."""
        deadline = time.monotonic() + 10
        while topics := self._topics():
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        return (topics, self._processes(), list(self.temporary.iterdir())) == ([], [], [])

    def _topics(self) -> list[str]:
        with KafkaAdminClient(bootstrap_servers=self._bootstrap_servers) as admin:
            return [name for name in admin.list_topics() if name.startswith(("demo-", "filmclub-"))]

    def _processes(self) -> list[str]:
        return [path.parent.name for path in Path("/proc").glob("[0-9]*/environ") if self.mark in _read(path)]


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


Start = Callable[[], Run]


@pytest.fixture
def start(bootstrap_servers: str, tmp_path: Path) -> Iterator[Start]:
    try:
        program("prometheus")
    except PrometheusUnavailable as why:
        pytest.skip(str(why))
    started: list[Run] = []

    def start_run() -> Run:
        started.append(Run(bootstrap_servers, tmp_path / "temporary", tmp_path / "out"))
        return started[-1]

    yield start_run
    for run in started:
        run.process.kill()
        run.process.wait()
        assert run.process.stdout
        run.process.stdout.close()


@pytest.mark.kafka
@pytest.mark.timeout(180)
def test_the_timeline_is_what_was_done_and_the_accounts_are_exact(start: Start, tmp_path: Path) -> None:
    run = start()
    said = run.said()
    assert run.process.wait(30) == 0, said
    timeline = said.partition("The timeline, as Prometheus recorded it")[2]
    assert re.search(r"00:10 +the model goes away\s*\n", timeline)
    assert re.search(r"pending +PrefstreamModelDown, page +\d+ s after “the model goes away”", timeline)
    assert re.search(r"cleared +PrefstreamWorkerDown \(worker-1\), ticket", timeline)
    assert "firing" not in timeline
    assert re.search(r"dead letters: .*1 poison", timeline)
    assert "The accounts are exact, also for each user." in said
    assert "✓ prefstream audit: Holds: " in said
    assert "✗" not in said
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(f"{board.name}.png" for board in BOARDS)
    assert run.is_gone()


@pytest.mark.kafka
@pytest.mark.timeout(120)
def test_ctrl_c_ends_it_and_leaves_nothing(start: Start) -> None:
    run = start()
    said = run.said(until="00:00  calm")
    run.process.send_signal(signal.SIGINT)
    said += run.said()
    assert (run.process.wait(30), "Interrupted." in said, "Traceback" in said) == (130, True, False), said
    assert run.is_gone()


def test_without_prometheus_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFSTREAM_CACHE", str(tmp_path))
    monkeypatch.setattr("deploy.prometheus.debian.shutil.which", lambda name: None)
    assert not observe(Console(), tmp_path / "out")
    assert "install Prometheus, so that prometheus and promtool are on the PATH" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
