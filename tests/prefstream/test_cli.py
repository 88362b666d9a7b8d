"""The command line without a broker: help, wrong options, and errors as one sentence."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
from typer.testing import CliRunner

from prefstream import cli, connection
from prefstream.absence import Absence, Wanted

run = CliRunner().invoke
LETTERS = [["dead-letters", command] for command in ("list", "show", "replay", "drop")]
COMMANDS = [
    ["topics", "create"],
    ["publish"],
    ["summary"],
    ["watch"],
    ["audit"],
    ["sources", "list"],
    ["sources", "accept"],
    *LETTERS,
]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: list[str]) -> None:
    result = run(cli.app, [*command, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert f"prefstream {' '.join(command)}" in result.output
    assert "Example" in result.output
    assert "PREFSTREAM_BOOTSTRAP_SERVERS" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["topics", "create", "--namespace", "a b"],
        ["topics", "create", "--partitions", "0"],
        ["publish", "/no/such/file"],
        ["summary"],
        ["dead-letters", "list", "--reason", "boredom"],
        ["dead-letters", "list", "--state", "closed"],
        ["dead-letters", "show"],
        ["dead-letters", "replay"],
        ["dead-letters", "replay", "ratings/0/41", "--all"],
        ["dead-letters", "replay", "ratings/0/41", "--reason", "invalid"],
        ["dead-letters", "drop", "--all", "--source", "ratings"],
        ["dead-letters", "drop", "--all", "--state", "dropped"],
        ["sources", "accept"],
        ["sources", "accept", "ratings", "--from", "5"],
        ["summary", "ad\udcff"],
        ["watch", "--user", "ad\udcff"],
        ["history", "ad\udcff"],
        ["export", "ad\udcff"],
        ["forget", "ad\udcff"],
        ["pin", "ada", "ad\udcff"],
        ["never", "ada", "ad\udcff"],
        ["audit", "--user", "ad\udcff"],
        ["audit", "--canary", "Alien (1979)"],
        ["audit", "--state", "."],
        ["audit", "--tenant", "shop"],
        ["audit", "--user", "ada", "--wait", "5"],
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_tried(arguments: list[str]) -> None:
    result = run(cli.app, arguments)
    assert result.exit_code == 2
    assert "Error" in result.output


def test_an_unreachable_broker_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr("sys.argv", ["prefstream", "summary", "ada", "--bootstrap-servers", "127.0.0.1:1"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    output = capfd.readouterr()
    assert ended.value.code == 1
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert output.err.startswith("no Kafka broker answers at '127.0.0.1:1'")


def test_everything_that_is_to_be_searched_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    searched: list[object] = []

    def search(servers: object, namespace: str, wanted: Wanted, directories: list[Path], *_: object) -> Absence:
        searched.extend((wanted, *directories))
        return Absence(topics=(), files=(), num_files=0)

    monkeypatch.setattr(import_module("prefstream.cli.audit"), "search", search)
    places = [tmp_path / "a", tmp_path / "b"]
    for place in places:
        place.mkdir()
    repeated = [*(part for place in places for part in ("--state", str(place))), "--canary", "x", "--canary", "y"]
    assert run(cli.app, ["audit", "--user", "ada", *repeated]).exit_code == 0
    assert searched == [Wanted(b"ada", ("x", "y")), *places]


def test_who_is_to_be_forgotten_without_a_terminal_has_to_be_confirmed() -> None:
    refused = run(cli.app, ["forget", "ada"], input="")
    assert refused.exit_code == 2
    assert "--yes" in refused.output
    assert run(cli.app, ["forget", "ada"], input="n\n").exit_code == 1
