"""The incident on a real broker with a real Prometheus, shortened; and without Prometheus it says what to do."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from rich.console import Console

from deploy.grafana.generate import BOARDS
from deploy.observe.story import observe
from deploy.prometheus.debian import PrometheusUnavailable, program
from tests.deploy.run import Run

Start = Callable[[], Run]


@pytest.fixture
def start(bootstrap_servers: str, tmp_path: Path) -> Iterator[Start]:
    try:
        program("prometheus")
    except PrometheusUnavailable as why:
        pytest.skip(str(why))
    with ExitStack() as runs:

        def start_run() -> Run:
            command = ["tests.deploy.observe.short", "--out", str(tmp_path / "out")]
            run = Run(command, bootstrap_servers, tmp_path / "temporary", PYTHONUNBUFFERED="1", COLUMNS="160")
            runs.callback(run.end)
            return run

        yield start_run


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
    assert run.left() == []


@pytest.mark.kafka
@pytest.mark.timeout(120)
def test_ctrl_c_ends_it_and_leaves_nothing(start: Start) -> None:
    run = start()
    said = run.said(until="00:00  calm")
    run.process.send_signal(signal.SIGINT)
    said += run.said()
    assert (run.process.wait(30), "Interrupted." in said, "Traceback" in said) == (130, True, False), said
    assert run.left() == []


def test_without_prometheus_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFSTREAM_CACHE", str(tmp_path))
    monkeypatch.setattr("deploy.prometheus.debian.shutil.which", lambda name: None)
    assert not observe(Console(), tmp_path / "out")
    assert "install Prometheus, so that prometheus and promtool are on the PATH" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
