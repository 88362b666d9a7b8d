"""The settings of tests: what the environment and a file hold, and nothing of this machine's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.effective import read_settings
from agents.settings import PREFIX, Settings

SECRET = "sk-very-secret"


def read(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    """The settings of a process with these variables beside those that it has."""
    for name, value in variables.items():
        monkeypatch.setenv(PREFIX + name, value)
    return read_settings()


def written(tmp_path: Path, text: str) -> str:
    """The path of a file of settings that holds the text."""
    path = tmp_path / "settings.toml"
    path.write_text(text)
    return str(path)
