"""A real Prometheus on this machine, with our rules: for the tests of dashboards and runbook, and for whoever wants to look.

Place in the flow: it scrapes workers, as one in production does, only more often.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import deploy.kafka.tied
from deploy.kafka.node import free_port
from deploy.prometheus.debian import PrometheusUnavailable, program

RULES = tuple(Path(__file__).parent / name for name in ("recording.yml", "alerts.yml"))
_START_SECONDS = 30.0
_ANSWER_SECONDS = 10.0


class Prometheus:
    """One running server that ends with this process, however it ends. Start it with ``Prometheus.start``."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self.url = url
        self._process = process
        self._log = log

    @classmethod
    def start(
        cls,
        directory: Path,
        targets: Mapping[str, Sequence[str]],
        every_seconds: int = 1,
        names: Mapping[str, str] = {},
    ) -> Self:
        """Scrape these addresses (``host:port``) under these jobs; ``names`` are what instances are called instead.

        Raises PrometheusUnavailable.
        """
        directory.mkdir(parents=True, exist_ok=True)
        config = directory / "prometheus.json"  # which is YAML too
        config.write_text(json.dumps(_config(targets, every_seconds, names)))
        port, log = free_port(), directory / "prometheus.log"
        command = [
            str(program("prometheus")),
            f"--config.file={config}",
            f"--storage.tsdb.path={directory / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        tied = [sys.executable, "-I", "-S", deploy.kafka.tied.__file__, str(os.getpid())]
        with log.open("ab") as output:
            # A session of its own: Ctrl-C at the terminal is for whoever started it, who then stops it.
            process = subprocess.Popen([*tied, *command], stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        server = cls(process, f"http://127.0.0.1:{port}", log)
        server._await_ready()
        return server

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise PrometheusUnavailable(f"Prometheus did not start; {self._log} says why")
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        try:
            with urlopen(f"{self.url}/-/ready", timeout=_ANSWER_SECONDS):
                return True
        except (URLError, OSError):
            return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an instant query, as the API has them. Raises ``OSError`` for one that is refused."""
        found: list[dict[str, Any]] = self._ask("query", query=expression)["result"]
        return found

    def query_range(self, expression: str, start: float, end: float, step_seconds: float) -> list[dict[str, Any]]:
        """The series of a query over time, as the API has them; instants are seconds since 1970.

        Raises ``OSError`` for one that is refused.
        """
        bounds = {"start": str(start), "end": str(end), "step": str(step_seconds)}
        found: list[dict[str, Any]] = self._ask("query_range", query=expression, **bounds)["result"]
        return found

    def alerts(self) -> dict[str, str]:
        """The state of each alert that is not inactive: pending or firing."""
        return {alert["labels"]["alertname"]: alert["state"] for alert in self._ask("alerts")["alerts"]}

    def rule_faults(self) -> list[str]:
        """A sentence for each rule whose last evaluation failed."""
        rules = [rule for group in self._ask("rules")["groups"] for rule in group["rules"]]
        return [f"{rule['name']} cannot be evaluated: {rule['lastError']}" for rule in rules if rule["health"] == "err"]

    def _ask(self, path: str, **asked: str) -> dict[str, Any]:
        with urlopen(f"{self.url}/api/v1/{path}?{urlencode(asked)}", timeout=_ANSWER_SECONDS) as answer:
            told: dict[str, Any] = json.load(answer)["data"]
        return told

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def _config(targets: Mapping[str, Sequence[str]], every_seconds: int, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": f"{every_seconds}s", "evaluation_interval": f"{every_seconds}s"},
        "rule_files": [str(path) for path in RULES],
        "scrape_configs": [
            {"job_name": job, "static_configs": [_target(address, names) for address in addresses]}
            for job, addresses in targets.items()
        ],
    }


def _target(address: str, names: Mapping[str, str]) -> dict[str, Any]:
    return {"targets": [address], "labels": {"instance": names.get(address, address)}}
