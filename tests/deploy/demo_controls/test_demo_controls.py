"""The demo of controls on a real broker: it ends by itself, names a promise that is broken, and leaves nothing behind."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.demo_controls.script import SCRIPT
from tests.deploy.run import Run

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(150)]

Start = Callable[[str], Run]


@pytest.fixture
def start(bootstrap_servers: str, tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as runs:

        def start_demo(module: str) -> Run:
            run = Run([module], bootstrap_servers, tmp_path / "temporary", PYTHONUNBUFFERED="1")
            runs.callback(run.end)
            return run

        yield start_demo


def test_every_promise_is_kept(start: Start) -> None:
    demo = start("deploy.demo_controls")
    said = demo.said()
    assert demo.process.wait(30) == 0, said
    assert all(step.caption in said for step in SCRIPT)
    assert "roll-back: applied; version 6 says so." in said
    assert "{+With subtitles, never dubbed.+}" in said
    assert "nothing live is left of her" in said
    assert "30 events accepted = 10 applied + 0 pending + 20 erased" in " ".join(said.split())
    assert re.search(r"^\d+ promises checked in \d+ steps and \d+ seconds: all are kept\.$", said, re.MULTILINE)
    assert demo.left() == []


def test_a_worker_that_breaks_a_promise_is_found_out(start: Start) -> None:
    demo = start("tests.deploy.demo_controls.forgetful")
    said = demo.said()
    assert demo.process.wait(30) == 1, said
    assert "✗ every pin is said: version 3 does not say 'With subtitles, never dubbed.'" in said
    assert "all are kept" not in said
    assert demo.left() == []


def test_ctrl_c_ends_it_and_leaves_nothing(start: Start) -> None:
    demo = start("deploy.demo_controls")
    said = demo.said(until="She puts the text in her own words")
    demo.process.send_signal(signal.SIGINT)
    said += demo.said()
    assert (demo.process.wait(30), "Interrupted." in said, "Traceback" in said) == (130, True, False), said
    assert demo.left() == []
