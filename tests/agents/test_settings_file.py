"""A file of settings that cannot be read, or holds what is no setting, is named with its line and the fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.settings import InvalidSettings
from tests.agents.environment import read, written

pytestmark = pytest.mark.usefixtures("empty_environment")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("flush_aeg_seconds = 5", "settings.toml: flush_aeg_seconds: no setting has this name; do you mean flush_age_seconds?"),
        ("FLUSH_EVENTS = 5", "settings.toml: FLUSH_EVENTS: no setting has this name"),
        ("flush_events = 0", "settings.toml: flush_events: Input should be greater than or equal to 1"),
        ("http_port = true", 'settings.toml: http_port: bool; write a text or a number'),
        ('sources = {clicks = "native"}', 'settings.toml: sources: dict; write a text or a number, as the environment'),
        ("flush_events 5", "PREFSTREAM_SETTINGS: "),
    ],
)  # fmt: skip
def test_a_wrong_line_of_the_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        read(monkeypatch, SETTINGS=written(tmp_path, text))
    assert len(str(refused.value).splitlines()) == 1
    assert sentence in str(refused.value)


def test_a_file_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"^PREFSTREAM_SETTINGS: .*nowhere.toml.*No such file") as refused:
        read(monkeypatch, SETTINGS=str(tmp_path / "nowhere.toml"))
    assert "name a TOML file" in str(refused.value)
