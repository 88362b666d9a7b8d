"""Where Prometheus' programs come from: the PATH, the cache, Debian's package by its name, or a sentence that says the fix."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deploy.prometheus import debian
from deploy.prometheus.debian import PrometheusUnavailable, program


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PREFSTREAM_CACHE", str(tmp_path / "cache"))


def on_the_path(monkeypatch: pytest.MonkeyPatch, **paths: str) -> None:
    monkeypatch.setattr("deploy.prometheus.debian.shutil.which", paths.get)


def executed(monkeypatch: pytest.MonkeyPatch, failing: str = "") -> list[list[str]]:
    """The commands that are run, in place of running them; those with this word fail."""
    commands: list[list[str]] = []

    def run(command: list[str], *, cwd: Path | None, **options: object) -> None:
        commands.append(command)
        if failing and failing in " ".join(command):
            raise subprocess.CalledProcessError(100, command, stderr="E: no mirror answers\n")
        if cwd and "download" in command:
            (cwd / "prometheus_2.42_amd64.deb").touch()
        if command[0] == "dpkg":
            (Path(command[-1]) / "usr/bin").mkdir(parents=True)
            for name in ("prometheus", "promtool"):
                (Path(command[-1]) / "usr/bin" / name).touch()

    monkeypatch.setattr("deploy.prometheus.debian.subprocess.run", run)
    return commands


def test_what_is_installed_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    on_the_path(monkeypatch, promtool="/opt/promtool")
    assert program("promtool") == Path("/opt/promtool")


def test_the_package_is_fetched_once_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    on_the_path(monkeypatch, **{"apt-get": "/usr/bin/apt-get", "dpkg": "/usr/bin/dpkg"})
    commands = executed(monkeypatch)
    assert program("promtool").is_file()
    assert program("prometheus").is_file()
    assert commands[0][:3] == ["apt-get", "download", "prometheus"]
    assert len(commands) == 2


def test_a_machine_that_never_asked_its_mirrors_asks_them_in_a_folder_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    on_the_path(monkeypatch, **{"apt-get": "/usr/bin/apt-get", "dpkg": "/usr/bin/dpkg"})
    commands = executed(monkeypatch, failing="apt-get download")
    assert program("promtool").is_file()
    assert ["update" in command for command in commands] == [False, True, False, False]
    assert not (debian.cache_folder() / "lists").exists()


def test_without_a_mirror_or_without_apt_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    on_the_path(monkeypatch, **{"apt-get": "/usr/bin/apt-get", "dpkg": "/usr/bin/dpkg"})
    executed(monkeypatch, failing="apt-get")
    with pytest.raises(PrometheusUnavailable, match="E: no mirror answers; or install Prometheus yourself"):
        program("promtool")
    assert not debian.cache_folder().exists()
    on_the_path(monkeypatch)
    with pytest.raises(PrometheusUnavailable, match="no apt-get here: install Prometheus"):
        program("promtool")
