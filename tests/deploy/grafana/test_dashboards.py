"""The dashboards are what the code says, Grafana's own types take them, and each panel asks for what is measured."""

from __future__ import annotations

import json
from typing import Any

import pytest
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.boards import Board, Panel
from deploy.grafana.generate import BOARDS, FOLDER, documents
from tests.deploy.prometheus.measured import measured_in, unmeasured

PANELS = [pytest.param(panel, id=f"{board.name}: {panel.title}") for board in BOARDS for panel in board.panels]


@pytest.mark.parametrize("name", sorted(documents()))
def test_a_dashboard_has_not_drifted(name: str) -> None:
    assert (FOLDER / name).read_text() == documents()[name], "run `python -m deploy.grafana.generate`"


def test_no_dashboard_lies_there_that_nobody_writes() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(documents())


def panels_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in document["panels"] if panel["type"] != "row"]


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_grafanas_own_types_read_it(board: Board) -> None:
    document = json.loads((FOLDER / f"{board.name}.json").read_text())
    read = Dashboard.from_json(document)
    assert (read.uid, read.title) == (f"prefstream-{board.name}", board.title)
    assert [panel["title"] for panel in panels_of(document)] == [panel.title for panel in board.panels]
    assert [row["title"] for row in document["panels"] if row["type"] == "row"] == [row.title for row in board.rows]
    assert {variable["name"] for variable in document["templating"]["list"]} == {"source", "job"}


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_panels_lie_beside_each_other_and_not_on_each_other(board: Board) -> None:
    document = json.loads((FOLDER / f"{board.name}.json").read_text())
    taken: set[tuple[int, int]] = set()
    for panel in document["panels"]:
        place = panel["gridPos"]
        cells = {(place.get("x", 0) + x, place.get("y", 0) + y) for x in range(place.get("w", 24)) for y in range(place["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_says_what_it_means_and_asks_for_what_is_measured(panel: Panel) -> None:
    assert panel.means.endswith(".")
    for query in panel.queries:
        assert unmeasured(query.expression) == []
        assert measured_in(query.expression)
        assert 'job=~"$job"' in query.expression


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_panels_of_a_board_have_titles_of_their_own(board: Board) -> None:
    titles = [panel.title for panel in board.panels]
    assert len(set(titles)) == len(titles)
