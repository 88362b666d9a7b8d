"""The model server of the demo: it is waited for as long as it says something, and what is wrong with it is said."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from deploy.demo import engines
from deploy.demo.engines import Engine
from deploy.demo.processes import CannotRun, answers
from model_server.profiles import load_profile

# What is started as `python -m model_server.serve PROFILE --port PORT`, so the fifth word is the port.
LOADS = r"""
echo "Serving SmolLM2:"; printf 'python -m vllm \\\n  --port 1\n'; sleep 0.5
echo "  5 s: loading the weights"; sleep 0.5
echo "http://127.0.0.1:$5"; exec sleep 60
"""
FAILS = 'echo "there is not enough memory: lower server.kv_cache_mib"; exit 1'


def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Engine:
    """vLLM, played by a script."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(engines, "ENGINE_PYTHON", python)
    return Engine(load_profile("smollm2-135m-cpu"), tmp_path)


def test_it_is_ready_when_it_prints_its_address_and_says_meanwhile_what_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "LINE_SECONDS", 0.0)
    console = Console(file=StringIO(), width=120)
    engine = started(tmp_path, monkeypatch, LOADS)
    with console.capture() as capture:
        engine.await_ready(console)
    engine.end()
    assert "smollm2-135m-cpu: Serving SmolLM2:" in capture.get()
    assert "smollm2-135m-cpu: 5 s: loading the weights" in capture.get()
    assert "--port" not in capture.get()
    assert "smollm2-135m-cpu answers, after" in capture.get()


def test_one_that_ends_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = started(tmp_path, monkeypatch, FAILS)
    with pytest.raises(CannotRun, match=r"lower server\.kv_cache_mib"):
        engine.await_ready(Console(file=StringIO()))


def test_one_that_is_not_installed_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "ENGINE_PYTHON", tmp_path / "nothing")
    with pytest.raises(CannotRun, match="make engine"):
        Engine(load_profile("smollm2-135m-cpu"), tmp_path)


def test_the_counting_engine_is_ready_when_it_answers(tmp_path: Path) -> None:
    engine = Engine(load_profile("counting"), tmp_path)
    engine.await_ready(Console(file=StringIO()))
    assert answers(f"{engine.url}/health")
    engine.end()
    assert not answers(f"{engine.url}/health")
