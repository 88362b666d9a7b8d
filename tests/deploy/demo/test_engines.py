"""The model server of the demo: it is waited for as long as it says something, and what is wrong with it is said."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from deploy.demo import engines
from deploy.demo.engines import Engine, require_engine
from deploy.demo.processes import CannotRun, answers
from deploy.demo.story import check
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


def have_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    """A vLLM for this device in place of the engine's, or none."""
    python = tmp_path / "python"
    if device:
        python.write_text(f"#!/bin/sh\necho {device}\n")
        python.chmod(0o755)
    monkeypatch.setattr(engines, "ENGINE_PYTHON", python)


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


@pytest.mark.parametrize(
    ("profile", "installed", "says"),
    [
        ("smollm2-135m-cpu", "", "there is none: `make engine` installs"),
        ("smollm2-135m-cpu", "gpu", "there is one for a GPU: `make engine`"),
        ("qwen3-8b-h100", "cpu", "there is one for a CPU: .*choose MODEL=smollm2-135m-cpu"),
        ("smollm2-135m-gpu", "", "there is none: .*pip install vllm"),
    ],
)
def test_one_that_is_not_installed_says_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str, installed: str, says: str
) -> None:
    have_installed(tmp_path, monkeypatch, installed)
    with pytest.raises(CannotRun, match=says):
        require_engine(load_profile(profile))


@pytest.mark.parametrize(("profile", "installed"), [("counting", ""), ("smollm2-135m-cpu", "cpu"), ("smollm2-135m-gpu", "gpu")])
def test_one_that_is_installed_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str, installed: str) -> None:
    have_installed(tmp_path, monkeypatch, installed)
    require_engine(load_profile(profile))


@pytest.mark.parametrize(
    ("model", "prints", "can_play"),
    [("", "", True), ("smollm2-135m-cpu", "engine\n", True), ("qwen3-8b-h100", "", False), ("smollm-135m", "", False)],
)
def test_what_is_to_be_installed_is_known_before_it_is(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    model: str,
    prints: str,
    can_play: bool,
) -> None:
    have_installed(tmp_path, monkeypatch, "")
    monkeypatch.setenv("MODEL", model)
    assert check() == can_play
    told = capsys.readouterr()
    assert (told.out, len(told.err.splitlines())) == (prints, 0 if can_play else 1)


def test_the_counting_engine_is_ready_when_it_answers(tmp_path: Path) -> None:
    engine = Engine(load_profile("counting"), tmp_path)
    engine.await_ready(Console(file=StringIO()))
    assert answers(f"{engine.url}/health")
    engine.end()
    assert not answers(f"{engine.url}/health")
