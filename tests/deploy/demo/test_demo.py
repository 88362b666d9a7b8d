"""The demo itself, on a real broker: it ends by itself with exact accounts, also when killed at, and leaves nothing behind."""

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

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(150)]

ROOT = Path(__file__).parents[3]
Start = Callable[..., "Demo"]


class Demo:
    """One run of the demo. Its environment, which its processes inherit, carries a mark that no other process has."""

    def __init__(self, bootstrap_servers: str, temporary: Path, **settings: str) -> None:
        self.mark = uuid.uuid4().hex
        self.temporary = temporary
        told = {"PREFSTREAM_BOOTSTRAP_SERVERS": bootstrap_servers, "TMPDIR": str(temporary), "DEMO_TEST_MARK": self.mark}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "deploy.demo"],
            cwd=ROOT,
            env=os.environ | told | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def lines_until(self, words: str) -> str:
        """What it says, up to the line with these words."""
        assert self.process.stdout
        said = ""
        for line in self.process.stdout:
            said += line
            if words in line:
                return said
        raise AssertionError(said)

    def rest(self) -> str:
        """What it says until it ends."""
        assert self.process.stdout
        return self.process.stdout.read()

    def processes(self) -> list[int]:
        """All processes with the mark."""
        return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if self.mark in _read(path)]


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


@pytest.fixture
def start(bootstrap_servers: str, tmp_path: Path) -> Iterator[Start]:
    started: list[Demo] = []

    def start_demo(**settings: str) -> Demo:
        started.append(Demo(bootstrap_servers, tmp_path, **settings))
        return started[-1]

    yield start_demo
    for demo in started:
        demo.process.kill()
        demo.process.wait()
        assert demo.process.stdout
        demo.process.stdout.close()


def nothing_is_left(demo: Demo, bootstrap_servers: str) -> bool:
    with KafkaAdminClient(bootstrap_servers=bootstrap_servers) as admin:
        topics = [name for name in admin.list_topics() if name.startswith(("demo-", "filmclub-"))]
    return (topics, demo.processes(), list(demo.temporary.iterdir())) == ([], [], [])


def test_the_accounts_are_exact_after_three_kills(start: Start, bootstrap_servers: str) -> None:
    demo = start(DEMO_SECONDS="4", CHAOS="1", DEMO_SEED="1")
    said = demo.rest()
    assert demo.process.wait(30) == 0, said
    assert len(re.findall(r"^ +\d+ s  kill -9", said, re.MULTILINE)) == 3
    assert re.search(r"applied +2,000 ", said)
    assert re.search(r"\+ duplicate +4 ", said)
    assert re.search(r"\+ dead +2 ", said)
    assert re.search(r"\+ pending +0 ", said)
    assert "The accounts are exact, also for each user." in " ".join(said.split())
    assert nothing_is_left(demo, bootstrap_servers)


def test_ctrl_c_ends_the_replay_and_the_accounts_are_exact(start: Start, bootstrap_servers: str) -> None:
    demo = start(DEMO_SECONDS="20")
    said = demo.lines_until("   5 s  replaying")
    demo.process.send_signal(signal.SIGINT)
    said += demo.rest()
    assert demo.process.wait(30) == 0, said
    assert "The accounts are exact, also for each user." in " ".join(said.split())
    assert "Traceback" not in said
    assert not re.search(r"applied +10,000 ", said)
    assert nothing_is_left(demo, bootstrap_servers)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to its parent")
def test_a_demo_that_is_killed_takes_its_processes_along(start: Start) -> None:
    demo = start(DEMO_SECONDS="60")
    demo.lines_until("replaying real ratings")
    assert len(demo.processes()) >= 3
    demo.process.kill()
    demo.process.wait(10)
    deadline = time.monotonic() + 10
    while demo.processes():
        assert time.monotonic() < deadline
        time.sleep(0.05)
