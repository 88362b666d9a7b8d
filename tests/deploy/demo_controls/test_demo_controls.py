"""The demo of controls on a real broker: it ends by itself, names a promise that is broken, and leaves nothing behind."""

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

from deploy.demo_controls.script import SCRIPT

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(150)]

ROOT = Path(__file__).parents[3]


class Demo:
    """One run. Its environment, which its processes inherit, carries a mark that no other process has."""

    def __init__(self, bootstrap_servers: str, temporary: Path, module: str) -> None:
        self.mark, self.temporary, self._bootstrap_servers = uuid.uuid4().hex, temporary, bootstrap_servers
        told = {"PREFSTREAM_BOOTSTRAP_SERVERS": bootstrap_servers, "TMPDIR": str(temporary), "DEMO_TEST_MARK": self.mark}
        self.process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT,
            env=os.environ | told | {"PYTHONUNBUFFERED": "1"},
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

    def ended(self) -> int:
        return self.process.wait(30)

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
            return [name for name in admin.list_topics() if name.startswith("controls-")]

    def _processes(self) -> list[str]:
        return [path.parent.name for path in Path("/proc").glob("[0-9]*/environ") if self.mark in _read(path)]


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


Start = Callable[[str], Demo]


@pytest.fixture
def start(bootstrap_servers: str, tmp_path: Path) -> Iterator[Start]:
    started: list[Demo] = []

    def start_demo(module: str) -> Demo:
        started.append(Demo(bootstrap_servers, tmp_path, module))
        return started[-1]

    yield start_demo
    for demo in started:
        demo.process.kill()
        demo.process.wait()
        assert demo.process.stdout
        demo.process.stdout.close()


def test_every_promise_is_kept(start: Start) -> None:
    demo = start("deploy.demo_controls")
    said = demo.said()
    assert demo.ended() == 0, said
    assert all(step.caption in said for step in SCRIPT)
    assert "roll-back: applied; version 6 says so." in said
    assert "{+With subtitles, never dubbed.+}" in said
    assert "nothing live is left of her" in said
    assert "30 events accepted = 10 applied + 0 pending + 20 erased" in " ".join(said.split())
    assert re.search(r"^\d+ promises checked in \d+ steps and \d+ seconds: all are kept\.$", said, re.MULTILINE)
    assert demo.is_gone()


def test_a_worker_that_breaks_a_promise_is_found_out(start: Start) -> None:
    demo = start("tests.deploy.demo_controls.forgetful")
    said = demo.said()
    assert demo.ended() == 1, said
    assert "✗ every pin is said: version 3 does not say 'With subtitles, never dubbed.'" in said
    assert "all are kept" not in said
    assert demo.is_gone()


def test_ctrl_c_ends_it_and_leaves_nothing(start: Start) -> None:
    demo = start("deploy.demo_controls")
    said = demo.said(until="She puts the text in her own words")
    demo.process.send_signal(signal.SIGINT)
    said += demo.said()
    assert (demo.ended(), "Interrupted." in said, "Traceback" in said) == (130, True, False), said
    assert demo.is_gone()
