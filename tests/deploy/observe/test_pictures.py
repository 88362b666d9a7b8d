"""The pictures: every panel of every board is on one, a line is broken where nothing was known, and they stay small."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from deploy.grafana.boards import Board, Query
from deploy.grafana.generate import BOARDS
from deploy.observe.panels import Answer, Series, ask, expression
from deploy.observe.pictures import Picture, _with_gaps, draw
from deploy.observe.script import Mark
from deploy.observe.timeline import Episode
from deploy.prometheus.server import Prometheus

MAX_BYTES = 300_000
USED = [(0x00, 0x72, 0xB2), (0xC6, 0x28, 0x28), (0xEF, 0x8A, 0x17), (0xF6, 0xD5, 0x8E)]
"""The first line of a panel, a page, a ticket, and what is pending."""
PICTURE = Picture(
    800,
    [Mark("model away", 120, 300), Mark("poison", 330, None)],
    [Episode("ModelDown", "", "page", 122, 242, 304), Episode("Other", "a", "ticket", 310, 610, None)],
)


class Asked:
    """A Prometheus that answers every query with two series, in place of a real one."""

    def __init__(self) -> None:
        self.expressions: list[str] = []

    def query_range(self, expression: str, start: float, end: float, step_seconds: float) -> list[dict[str, Any]]:
        self.expressions.append(expression)
        instants = [start + step_seconds * number for number in range(int((end - start) / step_seconds))]
        up = {"metric": {"instance": "worker-0", "topic": "a"}, "values": [[at, str(at - start)] for at in instants]}
        share_of_nothing = {
            "metric": {"instance": "worker-1"},
            "values": [[at, ("NaN", "+Inf")[at > start]] for at in instants],
        }
        return [up, share_of_nothing]


def answers_of(board: Board, asked: Asked) -> list[Answer]:
    prometheus: Any = asked
    assert hasattr(Prometheus, "query_range")
    return ask(prometheus, board, "prefstream", 1_000, 1_800)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_every_query_is_asked_with_what_grafana_fills_in(board: Board) -> None:
    asked = Asked()
    found = answers_of(board, asked)
    assert [answer.panel.title for answer in found] == [panel.title for panel in board.panels]
    assert len(asked.expressions) == sum(len(panel.queries) for panel in board.panels)
    assert not any("$" in one for one in asked.expressions)


def test_a_query_and_its_legend() -> None:
    query = Query('rate(x{job=~"$job"}[$__rate_interval])', "{{instance}} {{topic}}")
    assert expression(query, "prefstream") == 'rate(x{job=~"prefstream"}[1m])'
    board = Board("b", "b", "b.", (BOARDS[0].rows[0],))
    panel = next(answer for answer in answers_of(board, Asked()) if answer.panel.title == "Not read yet")
    assert [one.legend for one in panel.series] == ["a", ""]
    assert panel.series[1].points == ()


def is_like(wanted: tuple[int, ...], found: Any) -> bool:
    return all(abs(one - other) <= 20 for one, other in zip(wanted, found, strict=True))


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_a_board_is_drawn(board: Board, tmp_path: Path) -> None:
    path = tmp_path / "board.png"
    draw(board, answers_of(board, Asked()), PICTURE, path)
    assert path.read_bytes()[:4] == b"\x89PNG"
    assert 20_000 < path.stat().st_size < MAX_BYTES
    colours = [colour for _, colour in Image.open(path).convert("RGB").getcolors(256) or ()]
    assert [wanted for wanted in USED if not any(is_like(wanted, colour) for colour in colours)] == []


def test_a_board_without_an_answer_and_without_an_alert_is_drawn(tmp_path: Path) -> None:
    draw(BOARDS[0], [Answer(panel, ()) for panel in BOARDS[0].panels], Picture(60, [], []), tmp_path / "board.png")


def test_the_pictures_in_the_documents_are_small() -> None:
    kept = sorted((Path(__file__).parents[3] / "docs").glob("observe-*.png"))
    assert [path.name for path in kept] == sorted(f"observe-{board.name}.png" for board in BOARDS)
    sizes: Mapping[str, int] = {path.name: path.stat().st_size for path in kept}
    assert {name: size for name, size in sizes.items() if size >= MAX_BYTES} == {}


def test_a_line_is_broken_where_nothing_was_known() -> None:
    minutes, values = _with_gaps(Series("", ((0.0, 1.0), (60.0, 2.0), (240.0, 3.0), (300.0, 4.0))))
    assert minutes == [0, 1, 4, 4, 5]
    assert [value for value in values if not math.isnan(value)] == [1, 2, 3, 4]
    assert math.isnan(values[2])
