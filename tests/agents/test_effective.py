"""The environment goes before the file, whatever nobody reads is refused, and all that is wrong is said at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.effective import read_effective, shown
from agents.settings import PREFIX, InvalidSettings
from streams.flush import FlushPolicy
from tests.agents.environment import SECRET, read, written

pytestmark = pytest.mark.usefixtures("empty_environment")


def test_every_wrong_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidSettings) as refused:
        read(monkeypatch, HTTP_PORT="x", FLUSH_EVENTS="0", SOURCES="clicks")
    assert {line.split(":")[0] for line in str(refused.value).splitlines()} == {
        "PREFSTREAM_HTTP_PORT",
        "PREFSTREAM_FLUSH_EVENTS",
        "PREFSTREAM_SOURCES",
    }


def test_a_secret_is_not_quoted_by_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidSettings) as refused:
        read(monkeypatch, MODEL_API_KEY=SECRET, HTTP_PORT="x")
    assert SECRET not in str(refused.value)
    assert refused.value.__suppress_context__


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("FLUSH_EVENT", "FLUSH_EVENTS"),
        ("FLUSH_AEG", "FLUSH_AGE_SECONDS"),
        ("FLUSH_AGE", "FLUSH_AGE_SECONDS"),
        ("SESSION_TIMEOUT", "SESSION_TIMEOUT_SECONDS"),
        ("SOURCE", "SOURCES"),
    ],
)
def test_a_variable_nobody_reads_is_refused_with_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch, name: str, near: str
) -> None:
    monkeypatch.setenv("PREFSTREAM_CACHE", "/tmp")
    with pytest.raises(InvalidSettings) as refused:
        read(monkeypatch, **{name: "5"})
    assert str(refused.value) == f"{PREFIX}{name}: no setting has this name; do you mean {PREFIX}{near}?"


def test_a_wrong_name_hides_no_wrong_value(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidSettings) as refused:
        read(monkeypatch, FLUSH_AEG="5", FLUSH_TOKENS="abc")
    assert [line.split(":")[0] for line in str(refused.value).splitlines()] == [f"{PREFIX}FLUSH_AEG", f"{PREFIX}FLUSH_TOKENS"]


def test_what_the_environment_does_not_say_the_file_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = written(tmp_path, 'flush_events = 5\nflush_age_seconds = 0.5\nsources = "clicks=cloudevents"\nnamespace = "shop"')
    settings = read(monkeypatch, SETTINGS=path, FLUSH_EVENTS="9")
    assert settings.flush_policy == FlushPolicy(9, 1_200, 0.5)
    assert (settings.namespace, settings.sources) == ("shop", {"clicks": "cloudevents"})
    sources = read_effective().sources
    assert {name: sources[name] for name in ("flush_events", "namespace", "log_level")} == {
        "flush_events": "environment",
        "namespace": path,
        "log_level": "default",
    }


def test_a_wrong_variable_hides_no_wrong_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = written(tmp_path, "flush_events = 0\nflush_age = 5")
    with pytest.raises(InvalidSettings) as refused:
        read(monkeypatch, SETTINGS=path, HTTP_PORT="x")
    assert [line.split(": ")[:2] for line in str(refused.value).splitlines()] == [
        [path, "flush_age"],
        [path, "flush_events"],
        ["PREFSTREAM_HTTP_PORT", "Input should be a valid integer, unable to parse string as an integer"],
    ]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("MODEL_API_KEY", SECRET, "********"),
        ("SOURCES", "clicks=cloudevents,posts=native", "clicks=cloudevents,posts=native"),
        ("MODEL_URL", "http://a:1, http://b:2", "http://a:1,http://b:2"),
        ("PHONE_REGIONS", "", ""),
        ("SCHEMAS", "registry", "registry"),
        ("SCHEMA_REGISTRY", "https://registry:8081/", "https://registry:8081"),
    ],
)
def test_how_a_value_is_shown(monkeypatch: pytest.MonkeyPatch, name: str, value: str, text: str) -> None:
    assert shown(getattr(read(monkeypatch, **{name: value}), name.lower())) == text


def test_a_title_is_shown_with_what_is_redacted_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(read(monkeypatch, REDACT="title=email+card").redact).endswith("title=email+card,attribute=none")


def test_security_that_cannot_work_is_named_in_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"settings\.toml: kafka_username: PREFSTREAM_KAFKA_PROTOCOL is PLAINTEXT"):
        read(monkeypatch, SETTINGS=written(tmp_path, 'kafka_username = "ada"'))
