"""The page: every table has what frames it, what fails stands first, and what people wrote cannot become markup."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console

from evaluation.findings import CEILING, PRIOR, Check, Cost, Findings, Point, Score, Truth, decode_findings
from evaluation.intervals import Interval
from evaluation.report import print_report, write_report
from evaluation.tables import Table, tables_of

ACCURACY, GAIN = Interval(64.0, 62.1, 65.9, 6_410, 468), Interval(7.3, 5.3, 9.4, 6_410, 468)
COST = Cost(468, 152.4, 160.0, 2_340, 1_269.4, 152.0, 0.0021, 1.5, 0.25)


def score(setting: str, seed: int, *, summariser: str = "", reader: str = "catalogue", cost: Cost | None = None) -> Score:
    return Score("order_matched", 50, summariser, setting, reader, seed, ACCURACY, GAIN, cost)


FINDINGS = Findings(
    command="python -m evaluation --quick",
    started_at="2026-01-05T20:15:00+00:00",
    seconds=123.4,
    num_people=943,
    num_events=100_000,
    seeds=(0, 1),
    summarisers={"counting": "the counting engine <b>"},
    scores=(
        score(CEILING, 0, reader="ceiling"),
        score("direct history", 0),
        score("streaming, 5 updates", 0, summariser="counting", cost=COST),
        score("streaming, 5 updates", 0, summariser="counting", reader="lexical"),
        score("streaming, 5 updates", 1, summariser="counting", cost=COST),
        score(PRIOR, 0, reader="prior"),
    ),
    points=(
        Point("order_matched, pool", "counting", "flushed", 0, 1, 21.0, ACCURACY, GAIN, 151.0),
        Point("order_matched, pool", "counting", "flushed", 0, 2, 41.0, ACCURACY, GAIN, 153.0),
        Point("order_matched, pool", "counting", "flushed", 1, 2, 41.0, ACCURACY, GAIN, 153.0),
    ),
    truths=(Truth("counting", "flushed", 50, {"titles in events": (0.987, 1_234), "levels exact": (None, 0)}),),
    checks=(
        Check("gains", "+7.3", ">= +4.0", True),
        Check("costs", "<script>", "<= 1.5", False),
        Check("drifts", "-2.0", "", True),
    ),
)


def table(title: str) -> Table:
    return next(table for table in tables_of(FINDINGS) if title in table.title)


def test_a_table_is_framed_and_says_what_texts_took() -> None:
    rows = table("order_matched: what a summary adds").rows
    assert [row[0] for row in rows] == [PRIOR, "direct history", "counting: streaming, 5 updates", CEILING]
    assert rows[2][1:] == (
        *("64.0 [62.1, 65.9]", "+7.3 [+5.3, +9.4]") * 2,
        *("6,410", "468", "152", "160", "1,269", "0.002"),
    )
    assert rows[0][2] == rows[0][3] == rows[1][-1] == "-"


def test_what_fails_stands_first_and_what_is_only_reported_elsewhere() -> None:
    held = table("What must hold")
    assert [row[:2] for row in held.rows] == [("FAILS", "costs"), ("holds", "gains")]
    assert held.strong == (0,)
    assert table("Differences, reported").rows == (("drifts", "-2.0"),)


def test_the_grid_has_writers_by_readers() -> None:
    grid = table("seed 0: summariser by reader")
    assert grid.columns == ("written by", "catalogue", "lexical")
    assert ("counting: streaming, 5 updates", "64.0 [62.1, 65.9]", "64.0 [62.1, 65.9]") in grid.rows
    assert {PRIOR, CEILING} <= {row[0] for row in grid.rows}


def test_a_share_of_nothing_is_no_number() -> None:
    assert table("Faithfulness").rows == (("titles in events", "0.987 (1,234)"), ("levels exact", "-"))


def test_every_cell_has_a_column() -> None:
    for one in tables_of(FINDINGS):
        assert {len(row) for row in one.rows} == {len(one.columns)}, one.title


def test_a_page_needs_nothing_else(tmp_path: Path) -> None:
    page = write_report(FINDINGS, tmp_path / "new")
    html = page.read_text()
    assert {path.suffix for path in page.parent.iterdir()} == {".html", ".md", ".json", ".png"}
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert 'src="data:image/png;base64,' in html
    assert "http" not in html
    assert "1 of 2 checks hold." in html
    markdown = (page.parent / "evaluation.md").read_text()
    pictures = [path.name for path in page.parent.glob("*.png")]
    assert pictures
    assert all(f"]({name})" in markdown for name in pictures)
    assert "| **FAILS** | **costs** |" in markdown


def test_the_json_is_all_of_it(tmp_path: Path) -> None:
    page = write_report(FINDINGS, tmp_path)
    assert decode_findings((page.parent / "evaluation.json").read_bytes()) == FINDINGS


def test_nothing_measured_is_no_error(tmp_path: Path) -> None:
    nothing = replace(FINDINGS, scores=(), points=(), truths=(), checks=())
    assert "Nothing was checked." in write_report(nothing, tmp_path).read_text()


@pytest.mark.parametrize("width", [80, 160])
def test_it_is_printed_whole(width: int) -> None:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        print_report(FINDINGS, console)
    printed = "".join(capture.get().split())
    assert "Whatmusthold" in printed
    assert "…" not in printed
