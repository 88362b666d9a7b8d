"""The command line without a broker: help, wrong options, and errors as one sentence."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from prefstream import cli, connection

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
