"""``prefstream config show`` says what a worker started here would have; without one, it says that."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from prefstream import cli

run = CliRunner().invoke


def test_the_settings_of_the_worker_that_would_start_here() -> None:
    shown = run(cli.app, ["config", "show"], env={"PREFSTREAM_FLUSH_EVENTS": "7", "PREFSTREAM_MODEL_API_KEY": "sk-very-secret"})
    assert shown.exit_code == 0
    assert "PREFSTREAM_FLUSH_EVENTS=7" in shown.output
    assert "PREFSTREAM_MODEL_API_KEY=********" in shown.output
    assert "sk-very-secret" not in shown.output


def test_a_worker_that_would_refuse_to_start() -> None:
    refused = run(cli.app, ["config", "show"], env={"PREFSTREAM_FLUSH_EVENT": "7"})
    assert refused.exit_code == 2
    assert refused.stdout == ""
    assert "PREFSTREAM_FLUSH_EVENT: no setting has this name; do you mean PREFSTREAM_FLUSH_EVENTS?" in refused.stderr


def test_a_place_without_a_worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    missing = run(cli.app, ["config", "show"])
    assert missing.exit_code == 1
    assert "no worker is installed here" in missing.stderr
