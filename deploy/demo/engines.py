"""The model server of the demo: the counting engine, or vLLM with the weights that a profile names, at ``url``."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from deploy.demo.processes import ROOT, CannotRun, Child, answers
from deploy.kafka.node import free_port
from model_server.profiles import Profile

COUNTING_DELAY_SECONDS = 0.25  # as late as a small model would answer
PREPARE_SECONDS = 300  # to fetch and convert the weights, the first time
END_SECONDS = 10.0
LINE_SECONDS = 10.0
ENGINE_PYTHON = ROOT / ".venv-engine" / "bin" / "python"


_DEVICE = "from model_server.serve import installed_device; print(installed_device())"
_INSTALL = {
    "cpu": "`make engine` installs vLLM for a CPU there",
    "gpu": "`make engine` installs it only for a CPU, so choose MODEL=smollm2-135m-cpu, or, on a machine with a GPU, put vLLM "
    "there yourself (python3 -m venv .venv-engine; .venv-engine/bin/pip install vllm)",
}


def require_engine(profile: Profile) -> None:
    """Raises CannotRun, with what to do, when .venv-engine has not the vLLM for the profile's device."""
    if profile.server is None:
        return
    device = profile.server.device
    found = f"one for a {installed.upper()}" if (installed := _installed_device()) else "none"
    if installed != device:
        raise CannotRun(
            f"{profile.name} needs a vLLM for a {device.upper()} in .venv-engine, and there is {found}: {_INSTALL[device]}."
        )


def can_be_made(profile: Profile) -> bool:
    """Whether ``make engine`` gives the engine that the profile needs, and there is none in its place."""
    is_for_cpu = profile.server is not None and profile.server.device == "cpu"
    return is_for_cpu and _installed_device() in ("", "cpu")


def _installed_device() -> str:
    """For what the vLLM in .venv-engine was built, cpu or gpu; empty when there is none."""
    if not ENGINE_PYTHON.exists():
        return ""
    asked = subprocess.run([ENGINE_PYTHON, "-c", _DEVICE], cwd=ROOT, capture_output=True, text=True, check=False)
    return asked.stdout.strip()


class Engine:
    """One model server, from its start to its end."""

    def __init__(self, profile: Profile, directory: Path) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._profile = profile
        python, module = _command(profile, port)
        self._child = Child("engine", module, directory / "engine.log", {}, python)

    def await_ready(self, console: Console) -> None:
        """Return once it answers; vLLM takes a while, and says meanwhile what it does. Raises CannotRun."""
        server = self._profile.server
        if server is None:
            self._child.await_start(lambda: answers(f"{self.url}/health"))
            return
        began = time.monotonic()
        with console.status(self._progress()) as status:
            tell = status.update if console.is_terminal else _now_and_then(console)
            limit_seconds = float(server.start_seconds + PREPARE_SECONDS)
            self._child.await_start(self._says_it_serves, limit_seconds, lambda: tell(self._progress()))
        console.print(f"{self._profile.name} answers, after {time.monotonic() - began:.0f} s.", highlight=False)

    def _says_it_serves(self) -> bool:
        """Whether it has printed its address, which it does once a first call was answered."""
        return self.url in self._child.last_words().splitlines()

    def _progress(self) -> str:
        """What it says of its start; the command that it shows first is many lines long, and says nothing of it."""
        lines = (line.strip() for line in self._child.last_words().splitlines())
        said = [line for line in lines if line and not line.startswith("--") and not line.endswith("\\")]
        return f"{self._profile.name}: {said[-1] if said else 'starting'}"

    def end(self) -> None:
        """End it: it keeps nothing."""
        self._child.stop(END_SECONDS)


def _command(profile: Profile, port: int) -> tuple[str, list[str]]:
    """The interpreter and the module with its arguments."""
    if profile.engine == "counting":
        return sys.executable, ["model_server.counting", "--port", str(port), "--delay-seconds", str(COUNTING_DELAY_SECONDS)]
    return str(ENGINE_PYTHON), ["model_server.serve", profile.name, "--port", str(port)]


def _now_and_then(console: Console) -> Callable[[str], None]:
    """Prints at most every ten seconds what it is told."""
    next_at = time.monotonic() + LINE_SECONDS

    def tell(words: str) -> None:
        nonlocal next_at
        if time.monotonic() >= next_at:
            next_at = time.monotonic() + LINE_SECONDS
            console.print(words, markup=False, highlight=False)

    return tell
