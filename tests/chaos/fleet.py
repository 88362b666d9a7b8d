"""The fleet: the workers of an episode, each started again whenever it is gone, as a supervisor would.

Nothing here runs by itself: whoever waits calls :meth:`Supervised.tend`.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from agents import crash_points
from deploy.kafka.node import free_port
from tests.kafka.worker_process import start_tied, status_of

_AGAIN_SECONDS = 0.5  # between two starts: a worker that cannot start must not keep the machine busy
_STOP_SECONDS = 60.0


class NoStop(Exception):
    """A worker that was asked to stop did not."""


class Supervised:
    """One worker: a place on a machine, with a disk, a log, and a script of what goes wrong there."""

    def __init__(self, name: str, directory: Path, settings: Mapping[str, object], script: str = "") -> None:
        """``settings`` as in agents/settings.py; ``script`` (tests/chaos/worker.py) holds for all its lives."""
        self.name = name
        self.log = directory / f"{name}.log"
        self.port = free_port()
        self.ends: list[int] = []
        self.loses_disk = False
        self._directory = directory
        self._script = directory / f"{name}.script"
        self._num_disks = 0
        scripts = ",".join(filter(None, (script, f"follow={self._script}")))
        own = {crash_points.VARIABLE: scripts, "PREFSTREAM_HTTP_PORT": str(self.port)}
        self._environment = _environment(settings) | own
        self._is_wanted = True
        self._start()

    @property
    def disk(self) -> Path:
        """Where it keeps its tables now."""
        return self._directory / f"{self.name}-disk-{self._num_disks}"

    @property
    def pid(self) -> int:
        """Of its newest process."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self._process.poll() is None

    @property
    def is_ready(self) -> bool:
        """Whether it says that it owns what it was given, and works."""
        return status_of(self.port, "/readyz") == HTTPStatus.OK

    @property
    def has_fired(self) -> bool:
        """Whether what it was armed with has happened, or it was never armed."""
        return not self._script.exists()

    def tend(self) -> None:
        """Start it again if it is gone."""
        code = self._process.poll()
        if code is None or not self._is_wanted:
            return
        if self._started_at + _AGAIN_SECONDS > time.monotonic():
            return
        self._ended(code)
        self._start()

    def arm(self, script: str) -> None:
        """From now on it follows this script (tests/chaos/worker.py) as well, over its restarts, until it has fired."""
        written = self._script.with_suffix(".new")
        written.write_text(script)
        written.replace(self._script)

    def disarm(self) -> None:
        """Nothing goes wrong any more."""
        self._script.unlink(missing_ok=True)

    def kill(self) -> None:
        """End it at once, as a crash would (SIGKILL); it is started again."""
        self._process.kill()
        self._process.wait()

    def ask_to_stop(self) -> None:
        """Send SIGTERM, and go on; when it has stopped it is started again."""
        self._process.terminate()

    def pause(self) -> None:
        """Stop the process where it is (SIGSTOP)."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        self._process.send_signal(signal.SIGCONT)

    def fill_disk(self) -> None:
        """From now on the process can write no byte to any file, its log among them."""
        _, hard = resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (1, hard))

    def change_disk(self, source: Path | None = None) -> None:
        """Of a worker that does not run: its next start finds an empty directory, or a copy of ``source``."""
        self._num_disks += 1
        if source is not None:
            copy_disk(source, self.disk)

    def hold(self) -> None:
        """Do not start it again."""
        self._is_wanted = False

    def release(self) -> None:
        """Start it again whenever it is gone, from now on."""
        self._is_wanted = True

    def stop(self) -> int:
        """Ask it to stop for good. Returns its exit code; raises :class:`NoStop`, and kills it, when it takes too long."""
        self.hold()
        self.ask_to_stop()
        try:
            code = self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise NoStop(f"{self.name} did not stop within {_STOP_SECONDS:g} s") from None
        return self._ended(code)

    def end(self) -> None:
        """End it at once, for good."""
        self.hold()
        self.kill()

    def _ended(self, code: int) -> int:
        self.ends.append(code)
        if self.loses_disk:
            self.loses_disk = False
            self.change_disk()
        return code

    def _start(self) -> None:
        self._started_at = time.monotonic()
        settings = {**self._environment, "PREFSTREAM_DATA_DIRECTORY": str(self.disk)}
        self._process = start_tied("tests.chaos.worker", log=self.log, environment=settings)


def copy_disk(source: Path, target: Path) -> None:
    """Copy the tables of a worker that does not run; its lock stays with the original."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("worker.lock", "LOCK"))


def _environment(settings: Mapping[str, object]) -> dict[str, str]:
    """Our own environment, without the settings of a worker that somebody may have exported, and with these."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFSTREAM_")}
    return inherited | {f"PREFSTREAM_{name.upper()}": str(value) for name, value in settings.items()}
