"""One run of a demo, as its own process against the tests' broker, and what it left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

from kafka import KafkaAdminClient

ROOT = Path(__file__).parents[2]
TOPICS = ("demo-", "filmclub-", "controls-")


class Run:
    """A run of a demo. Its environment, which its processes inherit, carries a mark that no other process has."""

    def __init__(self, command: list[str], bootstrap_servers: str, temporary: Path, **settings: str) -> None:
        self._mark, self._temporary, self._bootstrap_servers = uuid.uuid4().hex, temporary, bootstrap_servers
        # A run that an earlier test killed could not clear its topics.
        self._topics_before = self._topics()
        temporary.mkdir()
        told = {"PREFSTREAM_BOOTSTRAP_SERVERS": bootstrap_servers, "TMPDIR": str(temporary), "DEMO_TEST_MARK": self._mark}
        self.process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=os.environ | told | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def said(self, until: str = "") -> str:
        """What it says, up to the line with these words, or until it ends. Fails where it ends without them."""
        assert self.process.stdout
        said = ""
        for line in self.process.stdout:
            said += line
            if until and until in line:
                return said
        assert not until, said
        return said

    def processes(self) -> list[int]:
        """All processes with the mark."""
        return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if self._mark in _read(path)]

    def left(self) -> list[str | int]:
        """The topics, processes and files that it left. A broker lists a topic some moments beyond its deletion."""
        deadline = time.monotonic() + 10
        while (topics := self._topics() - self._topics_before) and time.monotonic() < deadline:
            time.sleep(0.05)
        return [*topics, *self.processes(), *(path.name for path in self._temporary.iterdir())]

    def end(self) -> None:
        """Kill it, if it is not at its end yet."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()

    def _topics(self) -> set[str]:
        with KafkaAdminClient(bootstrap_servers=self._bootstrap_servers) as admin:
            return {name for name in admin.list_topics() if name.startswith(TOPICS)}


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
