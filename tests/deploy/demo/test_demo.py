"""The demo itself, on a real broker: it ends by itself with exact accounts, also when killed at, and leaves nothing behind."""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.deploy.run import Run

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(150)]

Start = Callable[..., Run]


@pytest.fixture
def start(bootstrap_servers: str, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as runs:

        def start_demo(**settings: str) -> Run:
            run = Run(["deploy.demo"], bootstrap_servers, tmp_path / "temporary", **settings)
            runs.callback(run.end)
            return run

        yield start_demo


def test_the_accounts_are_exact_after_three_kills(start: Start) -> None:
    demo = start(DEMO_SECONDS="4", CHAOS="1", DEMO_SEED="1")
    said = demo.said()
    assert demo.process.wait(30) == 0, said
    assert len(re.findall(r"^ +\d+ s  kill -9", said, re.MULTILINE)) == 3
    assert re.search(r"applied +2,000 ", said)
    assert re.search(r"\+ duplicate +4 ", said)
    assert re.search(r"\+ dead +2 ", said)
    assert re.search(r"\+ pending +0 ", said)
    assert "The accounts are exact, also for each user." in " ".join(said.split())
    assert demo.left() == []


def test_ctrl_c_ends_the_replay_and_the_accounts_are_exact(start: Start) -> None:
    demo = start(DEMO_SECONDS="20")
    said = demo.said(until="   5 s  replaying")
    demo.process.send_signal(signal.SIGINT)
    said += demo.said()
    assert demo.process.wait(30) == 0, said
    assert "The accounts are exact, also for each user." in " ".join(said.split())
    assert "Traceback" not in said
    assert not re.search(r"applied +10,000 ", said)
    assert demo.left() == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to its parent")
def test_a_demo_that_is_killed_takes_its_processes_along(start: Start) -> None:
    demo = start(DEMO_SECONDS="60")
    demo.said(until="replaying real ratings")
    assert len(demo.processes()) >= 3
    demo.process.kill()
    demo.process.wait(10)
    deadline = time.monotonic() + 10
    while demo.processes():
        assert time.monotonic() < deadline
        time.sleep(0.05)
