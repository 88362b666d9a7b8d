"""What a run says: made runs, told, drawn and kept, without a broker."""

from __future__ import annotations

import io
import signal
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from rich.console import Console

import tests.soak.__main__ as command_line
from tests.soak.__main__ import _is_whole, _parse, keep, main
from tests.soak.looks import Look, Sample
from tests.soak.run import Accounts, Befallen, Run, Wanted
from tests.soak.table import sentence, tell
from tests.soak.verdicts import problems, rows

MINUTES = 12
STAYS, OTHER = "worker-0", "worker-1"
LIFE_SECONDS = 45


@pytest.fixture
def usual_signals() -> Iterator[None]:
    """The command line changes what SIGTERM does."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def look(worker: str, at: float, leaks: float) -> Look:
    """A worker that stays and leaks so many MiB and handles an hour, or one of whom every 45 s another life begins."""
    life = 0 if worker == STAYS else at // LIFE_SECONDS
    grown = leaks * at / 3_600 if worker == STAYS else 0
    return Look(worker, int(life), 90 + at % 3 + grown, 60 + int(grown), 20, 12.0, 4, 0.4, 0)


def made(leaks: float = 0.0, minutes: float = MINUTES) -> Run:
    """A run with a fault a minute of which nothing bad came."""
    times = [5.0 * number for number in range(int(12 * minutes))]
    return Run(
        wanted=Wanted(minutes=minutes, seed=7),
        command="python -m tests.soak --minutes 12 --seed 7",
        began_at=datetime(2026, 1, 5, 20, 15, tzinfo=UTC),
        machine="2 cores",
        stays=STAYS,
        samples=tuple(Sample(at, (look(STAYS, at, leaks), look(OTHER, at, leaks)), 40, 10 + at, 1.5) for at in times),
        faults=tuple(Befallen(60.0 * number, 60.0 * number + 9, "broker", "the broker is killed") for number in range(1, 11)),
        ends={-9: 12},
        stayed_ends=(),
        accounts=Accounts({"applied": 9_000, "dead": 100, "pending": 0}, ()),
    )


def verdicts(run: Run) -> dict[str, str]:
    return {row.name: row.verdict for row in rows(run)}


def test_a_run_in_which_nothing_grows_is_flat() -> None:
    run = made()
    assert set(verdicts(run).values()) == {"flat"}
    assert problems(run) == []
    assert sentence(run) == "Flat."


def test_a_leak_of_the_worker_that_stays_is_named() -> None:
    run = made(leaks=40)
    assert problems(run) == ["memory (RSS) grows", "open handles grows"]
    assert sentence(run).startswith("NOT FLAT: memory (RSS) grows")


def test_what_grows_in_the_warm_up_alone_is_no_leak() -> None:
    run = made(leaks=40)
    fills = tuple(
        replace(one, looks=(look(STAYS, min(one.at_seconds, run.warm_up_seconds), 40), one.looks[1])) for one in run.samples
    )
    assert set(verdicts(replace(run, samples=fills)).values()) == {"flat"}


def test_accounts_that_do_not_balance_once_are_told() -> None:
    run = made()
    first, *rest = run.samples[9].looks
    wrong = replace(run.samples[9], looks=(replace(first, unaccounted=-2), *rest))
    broken = replace(run, samples=(*run.samples[:9], wrong, *run.samples[10:]))
    assert problems(broken) == ["the accounts of a worker did not balance 1 times, first after 45 s, by -2 events"]


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"stayed_ends": (70,)}, "worker-0, which nobody ended, ended with 70"),
        ({"accounts": Accounts({}, ("lost 2: a/0/1",))}, "lost 2: a/0/1"),
        ({"problem": "Stalled: no summary in 60 s"}, "Stalled: no summary in 60 s"),
    ],
)
def test_whatever_else_is_wrong_is_told(changed: dict[str, object], problem: str) -> None:
    assert problems(replace(made(), **changed)) == [problem]


def test_a_short_run_proves_nothing_and_says_so() -> None:
    run = made(minutes=2)
    assert problems(run) == []
    assert "too short" in sentence(run)
    assert sentence(replace(run, is_interrupted=True)) == "Interrupted: nothing is proven."


@pytest.mark.parametrize(
    "run", [made(), made(minutes=0), replace(made(minutes=2), accounts=None)], ids=["whole", "none", "cut"]
)
def test_a_run_is_kept_so_that_it_can_be_told_and_drawn_again(run: Run, tmp_path: Path) -> None:
    keep(run, tmp_path)
    assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")
    assert sentence(run) in (tmp_path / "soak.txt").read_text()
    assert msgspec.json.decode((tmp_path / "soak.json").read_bytes(), type=Run) == run


def test_the_table_says_what_would_have_been_told() -> None:
    console = Console(width=150, file=io.StringIO(), record=True)
    tell(console, made())
    text = console.export_text()
    assert "told from/h" in text
    assert "10 × broker" in text
    assert "identity: 288 scrapes of workers that knew what waits, 0 did not balance" in text


@pytest.mark.parametrize(
    ("options", "whole"),
    [((), True), (("--minutes", "12"), False), (("--leak-mib", "9"), False), (("--leak-files", "9"), False)],
)
def test_only_a_whole_run_without_a_leak_replaces_the_results(options: tuple[str, ...], whole: bool) -> None:
    assert _is_whole(_parse(options)) is whole


@pytest.fixture
def tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In an empty folder, without a broker: what is kept goes below it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command_line, "ground", lambda directory: nullcontext())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def play(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setattr(command_line, "soak", lambda *_, **__: run)


@pytest.mark.usefixtures("usual_signals")
@pytest.mark.parametrize(
    ("run", "code"),
    [(made(), 0), (made(leaks=40), 1), (replace(made(minutes=2), accounts=None, is_interrupted=True), 130)],
    ids=["flat", "not flat", "interrupted"],
)
def test_every_end_is_drawn_and_has_its_exit_code(run: Run, code: int, tried: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, run)
    assert main(["--minutes", "12"]) == code
    assert (tried / "build" / "soak" / "soak.png").exists()
    assert len(list(tried.glob("prefstream-soak-*"))) == (code == 1), "logs and disks stay where something was found"


@pytest.mark.usefixtures("usual_signals")
def test_an_interrupt_before_there_is_anything_is_no_traceback(tried: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> Run:
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, "soak", interrupt)
    assert main([]) == 130
    assert list(tried.iterdir()) == []


def test_a_leak_that_is_planted_is_in_the_script() -> None:
    assert Wanted(minutes=1, seed=1).script == "memtables=1048576"
    assert Wanted(minutes=1, seed=1, leak_mib=100, leak_files=60).script == "memtables=1048576,leak=29127,leak_file=60"
