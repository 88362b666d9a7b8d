"""Boards: what a dashboard is made of: rows of panels, each a question, its unit, and the queries that answer it.

Place in the flow: below the three dashboards, above :mod:`deploy.grafana.generate`, which makes Grafana's JSON of them. A query
chooses an installation by ``$job``, and the interval of a rate by ``$__rate_interval``; Grafana fills in both.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

# As Grafana calls them; "none" has no unit, and "short" is a number that may be long.
Unit = Literal["none", "short", "s", "bytes", "percentunit", "ops", "eps", "currency"]


class Query(Struct, frozen=True):
    """A PromQL expression, and how each of its series is called: text in which ``{{label}}`` stands for a label's value."""

    expression: str
    legend: str = ""


class Panel(Struct, frozen=True):
    """One question: its ``title``, what the answer ``means`` to whoever looks, its unit, and its queries.

    A ``single`` number is shown as one, everything else over time. ``width`` is of 24 columns.
    """

    title: str
    means: str
    unit: Unit
    queries: tuple[Query, ...]
    single: bool = False
    width: int = 8


class Row(Struct, frozen=True):
    """Panels that answer one question together."""

    title: str
    panels: tuple[Panel, ...]


class Board(Struct, frozen=True):
    """A dashboard; ``name`` is that of its file, and with ``prefstream-`` before it what Grafana knows it by."""

    name: str
    title: str
    means: str
    rows: tuple[Row, ...]

    @property
    def panels(self) -> list[Panel]:
        """Every panel."""
        return [panel for row in self.rows for panel in row.panels]


JOB = 'job=~"$job"'


def rate(metric: str, *by: str, only: str = "") -> str:
    """The rate of a counter, a second, over the workers, by these labels; ``only`` chooses series by a selector."""
    chosen = ",".join(filter(None, (JOB, only)))
    return f"sum by ({', '.join(('job', *by))}) (rate({metric}{{{chosen}}}[$__rate_interval]))"


def total(metric: str, *by: str, only: str = "") -> str:
    """The sum of a gauge over the workers, by these labels."""
    chosen = ",".join(filter(None, (JOB, only)))
    return f"sum by ({', '.join(('job', *by))}) ({metric}{{{chosen}}})"


def quantile(share: float, histogram: str) -> str:
    """A quantile of a histogram, over the workers."""
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', 'le')})"


def spread(histogram: str) -> tuple[Query, ...]:
    """How a histogram lies, in three lines: half of all are below the first, one of a hundred is above the last."""
    return tuple(Query(quantile(share, histogram), f"p{share:.0%}".rstrip("%")) for share in (0.5, 0.9, 0.99))
