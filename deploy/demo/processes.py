"""The processes of the demo, killed with it however it ends: a child that is tied to it, and one worker."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from deploy.kafka import tied
from deploy.kafka.node import free_port

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
STOP_SECONDS = 30.0
_KEPT = ("PREFSTREAM_CACHE", "PREFSTREAM_WEIGHTS")  # where things are; no worker's own settings
_SOON_SECONDS = 20.0
_MAX_EARLY_ENDS = 3


class CannotRun(Exception):
    """A process of the demo does not run; the message ends with its last words."""


def answers(url: str) -> bool:
    """Whether ``url`` answers 200 within a second."""
    try:
        with urlopen(url, timeout=1.0) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except (OSError, HTTPException):
        return False


def _inherited() -> dict[str, str]:
    """Our own environment, without the settings of a worker that somebody may have exported."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PREFSTREAM_") or name in _KEPT}


class Child:
    """One process that is tied to this one. Start it from the main thread: it dies with the thread that started it."""

    def __init__(
        self, name: str, module: list[str], log: Path, environment: Mapping[str, str], python: str = sys.executable
    ) -> None:
        self.name = name
        self.log = log
        command = [sys.executable, "-I", "-S", str(Path(tied.__file__)), str(os.getpid()), python, "-m", *module]
        with log.open("ab") as output:
            # A session of its own: Ctrl-C at the terminal is for the demo, which then stops its processes in order.
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=_inherited() | dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def exit_code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll()

    def await_start(
        self, has_started: Callable[[], bool], seconds: float = START_SECONDS, meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        """Return once it ``has_started``. Raises CannotRun when it ends before, or after so many seconds."""
        deadline = time.monotonic() + seconds
        while not has_started():
            if self.exit_code is not None or time.monotonic() > deadline:
                self.stop()
                raise CannotRun(f"The {self.name} does not start; the end of its log:\n{self.last_words()}")
            meanwhile()
            time.sleep(0.1)

    def kill(self) -> None:
        """End it at once, as a crash would (SIGKILL)."""
        self._process.kill()
        self._process.wait()

    def ask_to_stop(self) -> None:
        """Ask it to end (SIGTERM), and do not wait."""
        self._process.terminate()

    def stop(self, seconds: float = STOP_SECONDS) -> bool:
        """Ask it to end (SIGTERM) and wait. Returns whether it did; it is killed when it takes longer than ``seconds``."""
        self.ask_to_stop()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


class Worker:
    """The worker, started again whenever it is gone, as a supervisor would."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._environment = environment
        self._early_ends = 0
        self.num_starts = 0
        self.num_failures = 0
        self._start()

    def await_ready(self) -> None:
        """Return once it has its partitions and their tables. Raises CannotRun when it does not start."""
        self._child.await_start(lambda: answers(f"{self.url}/readyz"))

    @property
    def state(self) -> Path:
        """The worker's data directory: its tables."""
        return self._directory / "state"

    def _start(self) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        own = {"PREFSTREAM_DATA_DIRECTORY": str(self.state), "PREFSTREAM_HTTP_PORT": str(port)}
        self.num_starts += 1
        self._started = time.monotonic()
        self._child = Child("worker", ["agents"], self._directory / "worker.log", {**self._environment, **own})

    def supervise(self) -> str | None:
        """Start the worker again if it ended by itself. Returns what happened, for people.

        Raises CannotRun when it ended three times in a row soon after its start.
        """
        code = self._child.exit_code
        if code is None:
            return None
        self.num_failures += 1
        ended_early = time.monotonic() - self._started < _SOON_SECONDS
        self._early_ends = self._early_ends + 1 if ended_early else 0
        if self._early_ends >= _MAX_EARLY_ENDS:
            raise CannotRun(f"The worker does not run:\n{self._child.last_words()}")
        self._child.stop()
        self._start()
        return f"the worker ended by itself (exit code {code}) and was started again"

    def kill(self, loses_disk: bool) -> str:
        """Kill it (SIGKILL), throw its tables away or not, and start it again. Returns what happened, for people."""
        self._child.kill()
        if loses_disk:
            shutil.rmtree(self.state)
        self._start()
        return "kill -9, its tables thrown away" if loses_disk else "kill -9, its tables kept"

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._child.exit_code is None

    def ask_to_stop(self) -> None:
        """Let it finish the calls in flight and end. From now on it is not started again."""
        self._child.ask_to_stop()

    def stop(self, seconds: float = STOP_SECONDS) -> bool:
        """Drain and stop it. Returns whether it ended by itself within so many seconds."""
        return self._child.stop(seconds)

    def end(self) -> None:
        """End it at once, if it still runs."""
        self._child.kill()
