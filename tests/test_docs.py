"""What the documents say is so: generated pages have not drifted, links lead somewhere, and every part of the tree is named."""

from __future__ import annotations

import re
import subprocess
import tomllib
from functools import reduce
from importlib import import_module
from pathlib import Path

import pytest
import typer

from agents.metrics import Metrics
from agents.scrape import at_a_scrape
from docs.generate import pages
from prefstream.cli import app

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
PAGES = [page for page in DOCUMENTS if page.name not in ("CHANGELOG.md", "DECISIONS.md")]  # those tell what was
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("name", sorted(pages()))
def test_a_generated_page_has_not_drifted(name: str) -> None:
    assert (ROOT / "docs" / name).read_text() == pages()[name], "run `make docs`"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_to_a_file(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", document.read_text())
    missing = [target for target in targets if not target.startswith("http") and not (document.parent / target).exists()]
    assert not missing


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    assert [page.name for page in ROOT.glob("docs/*.md") if f"]({page.name})" not in index and page.name != "README.md"] == []


def metric_names() -> set[str]:
    """Every family's name, with the endings of its kind."""
    metrics = Metrics()
    for collector in at_a_scrape():
        metrics.registry.register(collector)
    endings = {"counter": ("_total",), "histogram": ("", "_bucket", "_sum", "_count"), "gauge": ("",)}
    return {family.name + ending for family in metrics.registry.collect() for ending in endings[family.type]}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_metric_of_a_page_exists(page: Path) -> None:
    named = set(re.findall(r"\bprefstream_\w*[a-z]\b", page.read_text()))
    assert named - metric_names() == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_command_of_a_page_exists(page: Path) -> None:
    named = set(re.findall(r"(?:`|^(?:\$ )?)prefstream ([a-z][a-z-]*)", page.read_text(), re.MULTILINE))
    assert named - set(typer.main.get_group(app).commands) == set()


def test_the_walk_through_the_architecture_names_what_is_there() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    steps = re.findall(r"`(\w+(?:/\w+)+)(?:\.py|/)` ((?:`[\w.]+`(?:, )?)+)", text)
    assert len(steps) > 20
    for module, names in steps:
        for name in re.findall(r"`([\w.]+)`", names):
            reduce(getattr, name.split("."), import_module(module.replace("/", ".")))


def test_every_test_that_the_guarantee_leans_on_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)", (ROOT / "docs" / "delivery.md").read_text())
    missing = [(path, test) for path, test in named if f"def {test}(" not in (ROOT / path).read_text()]
    assert len(named) > 5
    assert missing == []


def test_the_readme_captions_every_folder() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    folders = {path.split("/")[0] for path in tracked if "/" in path and not path.startswith(".")}
    assert {folder for folder in folders if f"{folder}/" not in README} == set()


def test_every_make_target_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|[`(])make ([a-z-]+)", README, re.MULTILINE))
    assert {"demo", "test"} <= named <= targets


@pytest.mark.parametrize(
    ("variables", "command"),
    [
        ((), "-m training all --run first"),
        (("TINY=1",), "-m training all --run tiny --tiny"),
        (("TINY=1", "NAME=mine"), "-m training all --run mine --tiny"),
    ],
)
def test_make_train_names_its_run(variables: tuple[str, ...], command: str) -> None:
    made = subprocess.run(
        ["make", "--no-print-directory", "-n", "train", *variables], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert made.rstrip().endswith(command)


def test_every_console_script_is_named() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert [script for script in scripts if f"{script} " not in README] == []
