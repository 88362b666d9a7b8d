"""Every command of the runbook is run, as it is written, against a worker, a model and a Prometheus that run."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.prometheus.debian import PrometheusUnavailable, cache_folder
from deploy.prometheus.server import Prometheus
from tests.kafka.conftest import StartFlow
from tests.kafka.worker_process import REPOSITORY, Engine, applied, refused, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

RUNBOOK = (Path(REPOSITORY) / "deploy" / "runbook.md").read_text()
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", RUNBOOK, re.DOTALL) for line in block.splitlines()]
RATING = {"type": "rating", "user": "ada", "at": "2026-01-05T20:15:00Z", "item": {"id": "1", "title": "Heat"}, "value": 5}


@pytest.fixture(scope="module")
def environment(start_flow: StartFlow, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Where the commands find everything."""
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    flow = start_flow({"native": ("native", 1)})
    worker = flow.start_worker(engine.url)
    worker.await_ready()
    flow.send("native", json.dumps(RATING).encode(), applied("ada"))
    flow.send("native", b"\xff", refused("undecodable"))
    flow.await_applied()
    try:
        prometheus = Prometheus.start(tmp_path_factory.mktemp("prometheus"), {"prefstream": [f"127.0.0.1:{worker.port}"]})
    except PrometheusUnavailable as why:
        pytest.skip(str(why))
    with prometheus:
        until("scraped worker", lambda: prometheus.query("prefstream_ready == 1"))
        programs = [str(Path(sys.executable).parent), str(cache_folder() / "usr" / "bin"), os.environ["PATH"]]
        yield {
            **os.environ,
            "PATH": os.pathsep.join(programs),
            "WORKER": f"http://127.0.0.1:{worker.port}",
            "PROMETHEUS": prometheus.url,
            "MODEL": engine.url,
            "PREFSTREAM_BOOTSTRAP_SERVERS": flow.bootstrap_servers,
            "PREFSTREAM_NAMESPACE": flow.namespace,
        }


def run(command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], env=environment, capture_output=True, text=True, timeout=90
    )


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_a_command_of_the_runbook_runs(command: str, environment: dict[str, str]) -> None:
    done = run(command, environment)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_first_commands_say_is_what_the_runbook_promises(environment: dict[str, str]) -> None:
    assert "Holds: 1 event accepted = 1 applied + 0 pending" in run("prefstream audit --wait 60", environment).stdout
    assert json.loads(run("curl -s $WORKER/readyz", environment).stdout) == {"ready": True}
    assert "undecodable" in run("prefstream dead-letters list --limit 5", environment).stdout
    assert run("curl -s -o /dev/null -w '%{http_code}\\n' $MODEL/health", environment).stdout == "200\n"


def test_a_command_that_fails_would_be_noticed(environment: dict[str, str]) -> None:
    assert run("promtool query instant $PROMETHEUS 'sum by ('", environment).returncode != 0
    assert run("prefstream no-such-command", environment).returncode != 0
