"""The script of the worker that goes wrong: what it says, when it fires, and that nonsense is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agents import crash_points
from tests.chaos.worker import CRASHED, Entry, InjectedFault, InvalidScript, Prompter, Script, main, parse


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("", Script()),
        ("commit.done", Script((Entry("crash", "commit.done"),))),
        ("lane.sent:summaries@3", Script((Entry("crash", "lane.sent", "summaries", 3),))),
        ("lane.sent:dead-letters", Script((Entry("crash", "lane.sent", "dead-letters"),))),
        ("fail=flush@2, refuse=commit", Script((Entry("fail", "flush", "", 2), Entry("refuse", "commit")))),
        ("full=store:pending,clock=-7200", Script((Entry("full", "store", "pending"),), -7200.0)),
        ("poison=dreadful", Script(poison="dreadful")),
        ("memtables=1048576,leak=300,leak_file=2.5", Script(memtable_bytes=1 << 20, leak_bytes=300, leak_file_seconds=2.5)),
        ("follow=a/file", Script(follow=Path("a/file"))),
    ],
)
def test_what_a_script_says(text: str, script: Script) -> None:
    assert parse(text) == script


@pytest.mark.parametrize(
    "text",
    [
        "lane.snet",
        "lane.sent@0",
        "lane.sent:",
        "fail=commit",
        "refuse=flush",
        "burn=commit.done",
        "clock=later",
        "leak=a",
        "crash",
    ],
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(InvalidScript):
        parse(text)


def test_a_worker_does_not_start_with_nonsense(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(crash_points.VARIABLE, "lane.snet")
    assert main() == 2
    assert "PREFSTREAM_CRASH_AT: crash at 'lane.snet'" in capsys.readouterr().err


class _Gone(Exception):
    """The process has ended."""


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(code: int) -> None:
        assert code == CRASHED
        raise _Gone

    monkeypatch.setattr(os, "_exit", end)


@pytest.mark.usefixtures("ends")
def test_a_crash_comes_at_its_occurrence_of_its_topic() -> None:
    prompter = Prompter("lane.sent:summaries@2")
    prompter.reached("lane.sent", "ns.summaries")
    prompter.reached("lane.sent", "ns.pending")
    prompter.reached("lane.sending", "ns.summaries")
    with pytest.raises(_Gone):
        prompter.reached("lane.sent", "ns.summaries")


def test_what_fails_fails_once() -> None:
    prompter = Prompter("fail=lane.sending:pending")
    with pytest.raises(InjectedFault):
        prompter.reached("lane.sending", "ns.pending")
    prompter.reached("lane.sending", "ns.pending")


def test_only_a_send_during_a_flush_fails() -> None:
    prompter = Prompter("fail=flush")
    prompter.reached("lane.sending", "ns.pending")
    prompter.is_flushing = True
    prompter.reached("lane.sent", "ns.pending")
    with pytest.raises(InjectedFault):
        prompter.reached("lane.sending", "ns.pending")


@pytest.mark.usefixtures("ends")
def test_a_file_is_followed_and_gone_when_it_has_fired(tmp_path: Path) -> None:
    file = tmp_path / "script"
    prompter = Prompter(f"follow={file}")
    prompter.reached("commit.done", "")
    file.write_text("commit.done@2")
    prompter.reached("commit.done", "")
    assert file.exists()
    with pytest.raises(_Gone):
        prompter.reached("commit.done", "")
    assert not file.exists()
    prompter.reached("commit.done", "")


def test_a_clock_is_wrong_as_long_as_the_file_says_so(tmp_path: Path) -> None:
    file = tmp_path / "script"
    prompter = Prompter(f"follow={file}")
    assert prompter.clock_seconds == 0
    file.write_text("clock=7200")
    assert prompter.clock_seconds == 7200
    file.unlink()
    assert prompter.clock_seconds == 0
