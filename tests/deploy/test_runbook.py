"""What the runbook names in passing exists too: commands, settings, metrics, make targets; tests/kafka runs its code blocks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agents.settings import PREFIX, Settings
from prefstream.cli import app
from tests.deploy.prometheus.measured import unmeasured

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "deploy" / "runbook.md").read_text()
PROSE = re.sub(r"```sh\n.*?```", "", RUNBOOK, flags=re.DOTALL)
QUOTED = re.findall(r"`([^`\n]+)`", PROSE)
SUBCOMMANDS = sorted({tuple(words.split()[1:]) for words in QUOTED if words.startswith("prefstream ")})


@pytest.mark.parametrize("command", SUBCOMMANDS, ids=" ".join)
def test_a_command_that_is_named_exists(command: tuple[str, ...]) -> None:
    asked = CliRunner().invoke(app, [*(word for word in command if word.islower()), "--help"])
    assert asked.exit_code == 0, asked.output


def test_a_command_that_does_not_exist_is_noticed() -> None:
    assert len(SUBCOMMANDS) > 2
    assert CliRunner().invoke(app, ["mend", "--help"]).exit_code != 0


def test_a_setting_that_is_named_exists() -> None:
    named = {words.split("=")[0] for words in QUOTED if words.startswith(PREFIX)}
    assert len(named) > 5
    assert named - {PREFIX + name.upper() for name in Settings.model_fields} == set()


def test_a_metric_that_is_asked_for_is_measured() -> None:
    queries = re.findall(r"query instant \$PROMETHEUS '([^']+)'", RUNBOOK)
    assert len(queries) > 20
    assert [name for query in queries for name in unmeasured(query)] == []


def test_a_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {words.split()[1] for words in QUOTED if words.startswith("make ")} <= targets
