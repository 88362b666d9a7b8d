"""What a run will do, decided by its seed; and what its table says of what came of it."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import pytest
from rich.console import Console

from agents.crash_points import Point
from tests.chaos.__main__ import _is_whole, _parse, main
from tests.chaos.faults import CATALOGUE, ELSEWHERE
from tests.chaos.judgement import Finding
from tests.chaos.outcomes import Injected, Outcome, Row, ends, rows, table, total
from tests.chaos.schedule import FAULTS_PER_EPISODE, Plan, schedule

NAMES = tuple(f"fault {number}" for number in range(7))


def test_one_seed_is_one_schedule() -> None:
    assert schedule(NAMES, 30, 5) == schedule(NAMES, 30, 5)
    assert schedule(NAMES, 30, 5) != schedule(NAMES, 30, 6)


@pytest.mark.parametrize("num_faults", [1, 7, 10, 11, 30])
def test_every_fault_comes_equally_often(num_faults: int) -> None:
    plans = schedule(NAMES, num_faults, 5)
    times = Counter(name for plan in plans for name in plan.faults)
    assert times.total() == num_faults
    assert max(times.values()) - min(times[name] for name in NAMES) <= 1
    assert [plan.number for plan in plans] == list(range(1, len(plans) + 1))
    assert all(len(plan.faults) <= FAULTS_PER_EPISODE for plan in plans)


def test_every_crash_point_is_in_the_catalogue_with_either_disk() -> None:
    names = {fault.name for fault in CATALOGUE}
    assert len(names) == len(CATALOGUE)
    for point in (point for point in get_args(Point) if point.partition(".")[0] not in ELSEWHERE):
        for disk in ("kept", "lost"):
            assert any(name.startswith(f"crash at {point}") and name.endswith(f"disk {disk}") for name in names)


def outcome(number: int, *injected: Injected, findings: tuple[Finding, ...] = (), problem: str = "") -> Outcome:
    plan = Plan(number, 1, 1, tuple(one.fault for one in injected))
    return Outcome(plan, injected, findings, 100, 9.0, {-9: number, 0: 1}, problem)


LOST = outcome(
    1,
    Injected("kill", 10, 6.0),
    Injected("cut", 20, 2.0),
    findings=(Finding("lost", 2, ("a/0/1: nowhere", "a/0/2: nowhere")), Finding("miscounted", 1, ("x",))),
)
CLEAN = outcome(2, Injected("kill", 30, 7.5))
UNSURE = outcome(3, Injected("cut", 5, 30.0, "its occasion did not come in 30 s"), problem="Stalled: no summary in 60 s")


def test_what_an_episode_lost_counts_for_each_of_its_faults() -> None:
    cut, kill = rows([LOST, CLEAN, UNSURE])
    assert kill == Row(
        fault="kill",
        times_injected=2,
        events=40,
        lost=2,
        doubled=0,
        out_of_order=0,
        other=1,
        longest_stall_seconds=7.5,
    )
    assert (cut.times_injected, cut.lost, cut.other, cut.longest_stall_seconds) == (1, 2, 3, 30.0)


def test_the_last_line_counts_every_episode_once() -> None:
    every = total([LOST, CLEAN, UNSURE])
    assert (every.times_injected, every.events, every.lost, every.other) == (3, 300, 2, 3)
    assert ends([LOST, CLEAN, UNSURE]) == {-9: 6, 0: 3}


def test_problems_are_told_in_words() -> None:
    assert CLEAN.problems == []
    assert LOST.problems == ["lost 2: a/0/1: nowhere; a/0/2: nowhere", "miscounted 1: x"]
    assert UNSURE.problems == ["cut: its occasion did not come in 30 s", "Stalled: no summary in 60 s"]


def test_the_table_shows_every_fault() -> None:
    console = Console(width=150)
    with console.capture() as captured:
        console.print(table([LOST, CLEAN], "seed 1"))
    assert all(words in captured.get() for words in ("seed 1", "kill", "cut", "out of order", "longest stall", "7.5 s"))


def test_the_command_line_lists_what_it_would_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--only", "the broker"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "the broker is killed: SIGKILL, started again",
        "the broker is restarted: SIGTERM, started again",
    ]
    assert main(["--list", "--only", "no such fault"]) == 1


def test_faults_that_are_injected_the_same_way_are_listed_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list", "--only", "crash at commit", "kill -9, disk lost"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "os._exit at the crash point, under load:",
        "  crash at commit.flushed, disk kept or lost",
        "  crash at commit.done, disk kept or lost",
        "kill -9, disk lost: SIGKILL at a random moment, an empty directory at the next start",
    ]


@pytest.mark.parametrize(
    ("arguments", "is_whole"),
    [
        ([], True),
        (["--faults", "300"], True),
        (["--faults", "199"], False),
        (["--only", "the broker"], False),
        (["--episode", "3"], False),
    ],
)
def test_only_a_whole_run_replaces_the_results(arguments: list[str], is_whole: bool) -> None:
    assert _is_whole(_parse(["--write", *arguments])) == is_whole
