"""The rules of the house that no linter knows: short functions, modules that introduce themselves, names that say something."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("prefstream", "streams", "agents", "model_server", "evaluation", "training")
MAX_LINES = 40
MAX_MATCH_LINES = 60  # of a function around one `match`: a union has as many cases as it has
EMPTY_NAMES = re.compile("manager|helper|util|processor|handler", re.IGNORECASE)

# In two halves each, so that this file does not hold what it looks for.
REGISTRIES = [
    "pypi" + ".org",
    "python" + "hosted.",
    "repo" + "1.maven",
    "repo" + ".maven",
    "registry" + ".npmjs",
    "proxy" + ".golang",
    "hugging" + "face.co",
    "index" + "-url",
]
MACHINE_PATHS = ["/wo" + "rk/", "/ho" + "me/", "/ro" + "ot/", "/Us" + "ers/", "C:" + "\\\\Users"]


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that is in the repository, or would be with the next `git add`."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = (ROOT / name for name in listed.stdout.split("\0") if name)
    return tuple(path for path in paths if path.is_file())


def sources(*folders: str) -> list[Path]:
    """The tracked Python files, of these folders or of all."""
    return [path for path in tracked() if path.suffix == ".py" and (not folders or path.relative_to(ROOT).parts[0] in folders)]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def definitions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node


def num_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """From `def` to the last line, without the decorators and the docstring."""
    last = function.end_lineno or function.lineno
    docstring = function.body[0] if ast.get_docstring(function) is not None else None
    return last - function.lineno + 1 - ((docstring.end_lineno or 0) - docstring.lineno + 1 if docstring else 0)


def limit(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return MAX_MATCH_LINES if any(isinstance(node, ast.Match) for node in function.body) else MAX_LINES


def says_nothing(definition: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """Whether a word of the name could stand on anything; a subclass of somebody else's class may keep its word."""
    inherited = " ".join(map(ast.unparse, definition.bases)) if isinstance(definition, ast.ClassDef) else ""
    return any(word.lower() not in inherited.lower() for word in EMPTY_NAMES.findall(definition.name))


def occurrences(words: list[str]) -> list[str]:
    """Where tracked text holds one of the words, and which."""
    found = []
    for path in tracked():
        text = path.read_bytes().decode(errors="ignore")
        found += [f"{named(path)}: {word}" for word in words if word in text]
    return found


def test_the_rules_look_at_something() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in sources(*PACKAGES)} == set(PACKAGES)
    assert ROOT / "pyproject.toml" in tracked()


@pytest.mark.parametrize("path", sources(*PACKAGES), ids=named)
def test_functions_are_short(path: Path) -> None:
    functions = [node for node in definitions(path) if not isinstance(node, ast.ClassDef)]
    assert {node.name: num_lines(node) for node in functions if num_lines(node) > limit(node)} == {}


@pytest.mark.parametrize("path", sources(), ids=named)
def test_a_module_introduces_itself(path: Path) -> None:
    docstring = ast.get_docstring(tree_of(path)) or ""
    first = docstring.split("\n\n")[0]
    assert first.endswith((".", "::", ":", "?")), f"the first paragraph is no sentence: {first!r}"


def test_names_say_something() -> None:
    files = [named(path) for path in tracked() if EMPTY_NAMES.search(named(path))]
    names = [f"{named(path)}: {node.name}" for path in sources() for node in definitions(path) if says_nothing(node)]
    assert (files, names) == ([], [])


def test_no_registry_is_named() -> None:
    """Where packages come from is a matter of the machine they are installed on."""
    assert occurrences(REGISTRIES) == []


def test_no_path_of_somebodys_machine_is_named() -> None:
    assert occurrences(MACHINE_PATHS) == []


LONG = "def long():\n" + "    pass\n" * 40
LONG_MATCH = "def long(x):\n    match x:\n" + "        case 1:\n            pass\n" * 29
DOCUMENTED = 'def documented():\n    """\n' + "    words\n" * 50 + '    """\n    pass\n'


@pytest.mark.parametrize(
    ("source", "lines", "most"),
    [(LONG, 41, 40), (LONG_MATCH, 60, 60), (DOCUMENTED, 2, 40)],
    ids=["long", "match", "documented"],
)
def test_how_long_a_function_is(source: str, lines: int, most: int) -> None:
    (function,) = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef)
    assert (num_lines(function), limit(function)) == (lines, most)


@pytest.mark.parametrize(
    ("source", "nothing"),
    [
        ("class TopicManager: pass", True),
        ("class Ordered(TableManager): pass", False),
        ("class OrderedTableManager(faust.TableManager): pass", False),
        ("class TableManagerUtils(faust.TableManager): pass", True),
        ("def handle(): pass", False),
        ("def signal_handler(): pass", True),
        ("async def EventProcessor(): pass", True),
    ],
)
def test_which_names_say_nothing(source: str, nothing: bool) -> None:
    (definition,) = ast.parse(source).body
    assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    assert says_nothing(definition) == nothing
