"""Crash points: silent unless armed, and never armed by the environment of a production worker."""

from __future__ import annotations

import subprocess
import sys

import pytest

from agents import crash_points
from deploy.kafka.node import free_port
from tests.kafka.worker_process import REPOSITORY


def test_an_armed_hook_hears_the_point_and_its_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crash_points, "_hook", crash_points._hook)  # what is armed here ends here
    heard: list[tuple[str, str]] = []
    crash_points.reached("lane.sent", "ns.pending")
    assert not crash_points.is_armed()
    crash_points.arm(lambda point, topic: heard.append((point, topic)))
    assert crash_points.is_armed()
    crash_points.reached("lane.sent", "ns.pending")
    crash_points.reached("commit.done")
    assert heard == [("lane.sent", "ns.pending"), ("commit.done", "")]


def test_a_production_worker_says_that_it_ignores_the_variable() -> None:
    environment = {
        crash_points.VARIABLE: "commit.done",
        "PREFSTREAM_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
        "PREFSTREAM_HTTP_PORT": "0",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "agents"], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60
    )
    assert "PREFSTREAM_CRASH_AT is ignored" in ended.stdout + ended.stderr
    assert ended.returncode == 2
