"""Without a collector nothing is traced, and nothing of OpenTelemetry is imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agents.metrics import Metrics
from agents.spans import Spans
from agents.tracing import OFF, new_tracing
from tests.agents.environment import read

IMPORTS = """
import sys, agents.command
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""


def test_a_worker_without_a_collector_imports_nothing_of_it() -> None:
    imported = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True).stdout
    assert imported.strip() == "[]"


def test_settings_say_whether_there_is_one(empty_environment: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert new_tracing(read(monkeypatch), Metrics()) is OFF
    settings = read(monkeypatch, TRACES_URL="http://collector:4318", TRACES_TOKEN="sesame", INSTANCE="worker-0")
    assert isinstance(new_tracing(settings, Metrics()), Spans)
