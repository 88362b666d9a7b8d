"""A real vLLM for the tests: started by our own command, watched through its own metrics, killed with all that it started."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from deploy.kafka.node import free_port
from tests.kafka.worker_process import REPOSITORY, TIED, get, until

PYTHON = REPOSITORY / ".venv-engine" / "bin" / "python"
PROFILE = "smollm2-135m-cpu"
START_SECONDS = 300.0
END_SECONDS = 60.0


class Vllm:
    """One vLLM process at ``url``, always the same; ``start_seconds`` says how long each of its starts took."""

    def __init__(self, log: Path, profile: str = PROFILE) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = log
        self.start_seconds: list[float] = []
        self._profile = profile
        self._mark = uuid.uuid4().hex  # in the environment of all its processes, and of no other
        self._own_sessions: set[int] = set()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process of our command."""
        assert self._process is not None, "it was never started"
        return self._process

    @property
    def is_running(self) -> bool:
        """Whether our command runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, and return when it answers. To be called in the main thread: it dies with the thread that started it."""
        assert threading.current_thread() is threading.main_thread()
        assert PYTHON.exists(), "vLLM is not installed: `make test-model` installs it, and so does `make engine`"
        began = time.monotonic()
        command = [str(PYTHON), "-m", "model_server.serve", self._profile, "--port", str(self.port), "--verbose"]
        tied = [sys.executable, "-I", "-S", TIED, str(os.getpid()), *command]
        said = self.log.with_suffix(".out")
        with self.log.open("ab") as log, said.open("wb") as output:
            self._process = subprocess.Popen(
                tied,
                cwd=REPOSITORY,
                env=os.environ | {"MODEL_TEST_MARK": self._mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
            )
        while said.read_text() != f"{self.url}\n":
            assert self.is_running, f"vLLM ended with {self.process.returncode}:\n{self.last_words()}"
            assert time.monotonic() < began + START_SECONDS, f"vLLM does not serve:\n{self.last_words()}"
            time.sleep(0.1)
        self.start_seconds.append(time.monotonic() - began)
        assert len(self.family()) > 3, "our command, vLLM, its engine and its worker"

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry these labels; fails when it does not answer."""
        status, body = get(self.port, "/metrics")
        assert status == 200, f"/metrics answers {status}:\n{self.last_words()}"
        samples = (sample for family in text_string_to_metric_families(body) for sample in family.samples)
        return sum(sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items())

    @property
    def num_running(self) -> int:
        """How many calls are being computed now."""
        return int(self.metric("vllm:num_requests_running"))

    def post(self, path: str, body: dict[str, Any], timeout_seconds: float = 120.0) -> tuple[int, dict[str, Any]]:
        """The status and the JSON of one POST, without our client."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_seconds)
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def kill(self) -> None:
        """End it and all that it started at once (SIGKILL)."""
        for pid in self.family():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            self.await_end()

    def terminate(self) -> None:
        """Ask it to drain and end (SIGTERM); returns at once."""
        self.process.terminate()

    def await_end(self) -> int:
        """The exit status of our command; whatever it started has to be gone then too."""
        status = self.process.wait(END_SECONDS)
        until("end of all its processes", lambda: not self.family(), explain=self.family)
        return status

    def family(self) -> list[int]:
        """Our command and all that it started, as far as it runs.

        vLLM's own processes write their names over their environment, so the mark alone would miss them: they are in the
        session of a process that has, or had, the mark.
        """
        running = {pid: session for pid, session in _sessions().items() if session != os.getsid(0)}
        marked = [pid for pid in _sessions() if self._mark in _read(Path(f"/proc/{pid}/environ"))]
        self._own_sessions |= {running[pid] for pid in marked if pid in running}
        return sorted({*marked, *(pid for pid, session in running.items() if session in self._own_sessions)})


def _sessions() -> dict[int, int]:
    """The session of every process that has not ended."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        state, _, _, session = (_read(path).rpartition(")")[2].split() or ["Z", "0", "0", "0"])[:4]
        if state != "Z":
            found[int(path.parent.name)] = int(session)
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""  # it has just ended, or is not ours
