"""The panels' answers: every query of a dashboard, put to Prometheus over a stretch of time, as Grafana would.

Place in the flow: between the boards and their pictures.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from deploy.grafana.boards import Board, Panel, Query
from deploy.prometheus.server import Prometheus

RATE_INTERVAL = "1m"
"""What Grafana takes for ``$__rate_interval`` where workers are scraped every 15 seconds."""

_NUM_POINTS = 240
_LABEL = re.compile(r"\{\{(\w+)\}\}")


class Series(NamedTuple):
    """One line of a panel: its legend, and (seconds since the beginning, value)."""

    legend: str
    points: tuple[tuple[float, float], ...]

    @property
    def is_zero(self) -> bool:
        """Whether it never says anything but 0."""
        return not any(value for _, value in self.points)


class Answer(NamedTuple):
    """A panel, and what all of its queries found."""

    panel: Panel
    series: tuple[Series, ...]


def ask(prometheus: Prometheus, board: Board, job: str, began: float, ended: float) -> list[Answer]:
    """The answers of all panels of a board, between two instants (seconds since 1970). Raises OSError."""
    step_seconds = max(1.0, (ended - began) / _NUM_POINTS)

    def series_of(query: Query) -> list[Series]:
        found = prometheus.query_range(expression(query, job), began, ended, step_seconds)
        return [_series(query, one, began) for one in found]

    return [Answer(panel, tuple(one for query in panel.queries for one in series_of(query))) for panel in board.panels]


def expression(query: Query, job: str) -> str:
    """The PromQL of a query, with what Grafana fills in."""
    return query.expression.replace("$job", job).replace("$__rate_interval", RATE_INTERVAL)


def _series(query: Query, found: Mapping[str, Any], began: float) -> Series:
    legend = _LABEL.sub(lambda label: found["metric"].get(label[1], ""), query.legend)
    # NaN is a share of nothing, and something is infinitely much of nothing: there is a gap.
    points = ((float(at) - began, float(value)) for at, value in found["values"])
    return Series(legend, tuple((at, value) for at, value in points if math.isfinite(value)))
