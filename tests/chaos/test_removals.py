"""The list of removals is complete, each of them still fits the code, and the command tells a fix that nobody misses."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from inspect import getmembers, isclass, unwrap
from pathlib import Path

import pytest

from agents import faust_fixes
from tests.chaos.removals.__main__ import Trial, chosen, sentence, verdict
from tests.chaos.removals.fixes import REMOVALS, Removal
from tests.chaos.removals.patches import VARIABLE, DoesNotFit, Edited, Patch, Replaced, Stock, applied
from tests.chaos.removals.runs import Outcome

ROOT = Path(__file__).parents[2]
# What Python, ``abc`` and Faust's base class of services give every class.
NO_BEHAVIOUR = {"__module__", "__doc__", "__annotations__", "__abstractmethods__", "_abc_impl", "logger"}


def overrides() -> Iterator[tuple[str, str]]:
    """The class and name of everything in agents/faust_fixes.py that takes the place of something in a library."""
    for name, owner in getmembers(faust_fixes, isclass):
        inherited = {attribute for base in owner.__mro__[1:-1] for attribute in vars(base)}
        if owner.__module__ == faust_fixes.__name__ and not getattr(owner, "_is_protocol", False):
            yield from ((name, attribute) for attribute in inherited & vars(owner).keys() - NO_BEHAVIOUR)


def test_every_override_of_a_library_has_a_removal() -> None:
    removed = {(patch.owner.__name__, patch.name) for removal in REMOVALS for patch in removal.patches}
    found = set(overrides())
    assert ("WatermarkConsumer", "commit") in found
    assert found - removed == set(), "add a Removal to tests/chaos/removals/fixes.py: CONTRIBUTING.md says how"


def test_every_row_of_the_table_of_fixes_has_a_removal() -> None:
    _, table, _ = re.split(r"^=+ =+$", faust_fixes.__doc__ or "", flags=re.MULTILINE)
    rows = {row.strip("` ") for row in re.findall(r"^(\S.{20})", table, re.MULTILINE)}
    ours = {removal.fix for removal in REMOVALS if {patch.owner for patch in removal.patches} & OF_FAUST}
    assert rows - ours == set(), "add a Removal to tests/chaos/removals/fixes.py: CONTRIBUTING.md says how"
    assert ours - rows == {"wiring", "pinned versions"}


OF_FAUST = {owner for _, owner in getmembers(faust_fixes, isclass) if owner.__module__ == faust_fixes.__name__} | {faust_fixes}


def test_every_removal_has_a_name_of_its_own_and_a_test() -> None:
    assert len({removal.name for removal in REMOVALS}) == len(REMOVALS)
    assert [removal.name for removal in REMOVALS if not removal.tests or not removal.patches] == []


@pytest.mark.parametrize("removal", REMOVALS, ids=lambda removal: removal.name)
def test_a_removal_still_fits_the_code_and_is_undone(removal: Removal) -> None:
    """It says in which place the code has changed, if it has: mend the patch, or delete it with the fix."""
    before = [behaviour(patch) for patch in removal.patches]
    with applied(removal.patches):
        assert all(behaviour(patch) != was for patch, was in zip(removal.patches, before, strict=True))
    assert [behaviour(patch) for patch in removal.patches] == before


def behaviour(patch: Patch) -> object:
    """What runs in the patched place."""
    found = vars(patch.owner).get(patch.name)
    return unwrap(found).__code__ if isinstance(patch, Edited) and callable(found) else found


@pytest.mark.parametrize("test", sorted({test for removal in REMOVALS for test in removal.tests}))
def test_the_tests_of_a_removal_exist(test: str) -> None:
    path, _, name = test.partition("::")
    tree = ast.parse((ROOT / path).read_text())
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in functions


class Stocked:
    """A library's class."""

    def says(self) -> str:
        return "stock"


class Ours(Stocked):
    """A correction of it."""

    def says(self) -> str:
        return super().says() + " and ours"

    def own(self) -> str:
        return "own"


def whispers(ours: Ours) -> str:
    return "whispered"


@pytest.mark.parametrize(
    ("patch", "says"),
    [
        (Stock(Ours, "says"), "stock"),
        (Edited(Ours, "says", "and ours", "and theirs"), "stock and theirs"),
        (Replaced(Ours, "says", whispers), "whispered"),
    ],
    ids=["stock", "edited", "replaced"],
)
def test_a_patch_holds_for_objects_that_were_there_before(patch: Patch, says: str) -> None:
    ours = Ours()
    with applied([patch]):
        assert ours.says() == says
    assert ours.says() == "stock and ours"


@pytest.mark.parametrize(
    ("patch", "complaint"),
    [
        (Stock(Ours, "own"), "Ours.own overrides nothing"),
        (Stock(Ours, "absent"), "Ours has no absent of its own"),
        (Edited(Ours, "own", "owm", "x"), "Ours.own holds 0 times: owm"),
        (Edited(Ours, "own", "own", "x"), "Ours.own holds 2 times: own"),
        (Edited(Ours, "__doc__", "own", "x"), "is no function"),
    ],
)
def test_a_patch_that_does_not_fit_says_so_and_changes_nothing(patch: Patch, complaint: str) -> None:
    with pytest.raises(DoesNotFit, match=complaint), applied([Replaced(Ours, "says", whispers), patch]):
        pytest.fail("it was applied")
    assert Ours().says() == "stock and ours"


CASES = [Outcome("a::b[1]", "passed", 1.0), Outcome("a::b[2]", "failed", 2.0, "assert 1 == 2"), Outcome("a::bc", "passed", 4.0)]


@pytest.mark.parametrize(
    ("test", "outcomes", "expected"),
    [
        ("a::b", CASES, ("failed", "assert 1 == 2", 3.0)),
        ("a::bc", CASES, ("passed", "", 4.0)),
        ("a::x", CASES, ("did not run", "", 0)),
        ("a::b", [Outcome("a::b", "skipped", 0.0)], ("skipped", "", 0.0)),
    ],
)
def test_one_case_that_fails_is_a_failure(test: str, outcomes: list[Outcome], expected: tuple[str, str, float]) -> None:
    assert verdict(test, outcomes) == expected


def trial(with_fix: str, without: str) -> Trial:
    return Trial("flush", "commit", "does not wait", "tests/a.py::test_b", with_fix, without, "why", 1.0)


@pytest.mark.parametrize(
    ("with_fix", "without", "is_noticed"),
    [("passed", "failed", True), ("passed", "passed", False), ("failed", "failed", False), ("passed", "did not run", False)],
)
def test_noticed_is_what_passes_with_the_fix_and_fails_without(with_fix: str, without: str, is_noticed: bool) -> None:
    one = trial(with_fix, without)
    assert one.is_noticed == is_noticed
    said = sentence(chosen(["flush"]), [one], 3.0)
    assert ("1 of 1 tests noticed" in said) == is_noticed
    assert ("flush: tests/a.py::test_b" in said) != is_noticed


def run(*command: str, removed: str = "", path: str = str(ROOT), code: int = 0) -> str:
    """What ``python -m COMMAND`` prints, having ended with this code."""
    environment = os.environ | {VARIABLE: removed, "PYTHONPATH": path}
    ran = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == code, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def test_a_worker_process_runs_without_the_fix(tmp_path: Path) -> None:
    """The entry that takes the place of ``python -m agents``, here of a module that says what it finds."""
    (tmp_path / "finds.py").write_text(
        "import sys\nfrom agents.faust_fixes import WatermarkConsumer\n"
        "print(sys.argv[1:], 'on_partitions_revoked' in vars(WatermarkConsumer), __name__)"
    )
    entry = "tests.chaos.removals.worker"
    path = f"{ROOT}{os.pathsep}{tmp_path}"
    assert run(entry, "finds", "a", "b", removed="commit-on-revoke", path=path) == "['a', 'b'] False __main__\n"
    assert run(entry, "finds", removed="flush", path=path) == "[] True __main__\n"


def test_the_command_takes_a_fix_out_of_a_test_run() -> None:
    assert "1 fix taken out alone: 1 of 1 tests noticed" in run("tests.chaos.removals", "pinned-versions")


def test_a_name_that_is_none_is_refused() -> None:
    assert "no fix is called flsh" in run("tests.chaos.removals", "flsh", code=2)


def test_the_list_names_every_removal() -> None:
    listed = run("tests.chaos.removals", "--list")
    assert [removal.name for removal in REMOVALS if removal.name not in listed] == []
