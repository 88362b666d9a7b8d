"""Write Grafana's JSON of the three dashboards: ``python -m deploy.grafana.generate``; a test fails when it has drifted.

Place in the flow: the only place that knows Grafana. Its own SDK makes the JSON, and with it what a field is called.
"""

from __future__ import annotations

from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, TooltipDisplayMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh

from deploy.grafana.boards import Board, Panel
from deploy.grafana.flow import FLOW
from deploy.grafana.model import MODEL
from deploy.grafana.quality import QUALITY

FOLDER = Path(__file__).parent / "dashboards"
BOARDS = (FLOW, MODEL, QUALITY)
_SOURCE = DataSourceRef(type_val="prometheus", uid="$source")
_HEIGHT = 8
_NAMES = "ABCDEFGH"  # as Grafana names the queries of a panel
_OWN_UNITS = {"currency": "none"}  # which one it is, PREFSTREAM_PRICES does not say


def documents() -> dict[str, str]:
    """The JSON of every dashboard, by file name."""
    return {f"{board.name}.json": _json(board) for board in BOARDS}


def _json(board: Board) -> str:
    made = (
        dashboard.Dashboard(board.title)
        .uid(f"prefstream-{board.name}")
        .description(board.means)
        .tags(["prefstream"])
        .refresh("30s")
        .time("now-6h", "now")
        .with_variable(dashboard.DatasourceVariable("source").label("Prometheus").type("prometheus"))
        .with_variable(_jobs())
    )
    for row in board.rows:
        made = made.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            made = made.with_panel(_panel(panel))
    return JSONEncoder(sort_keys=True, indent=1).encode(made.build()) + "\n"


def _jobs() -> dashboard.QueryVariable:
    """Which installation: each is a scrape job."""
    return (
        dashboard.QueryVariable("job")
        .label("Installation")
        .datasource(_SOURCE)
        .query("label_values(prefstream_ready, job)")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .include_all(True)
        .all_value(".*")
        .multi(True)
    )


def _panel(panel: Panel) -> stat.Panel | timeseries.Panel:
    made: stat.Panel | timeseries.Panel = stat.Panel() if panel.single else _over_time()
    made = (
        made.title(panel.title)
        .description(panel.means)
        .unit(_OWN_UNITS.get(panel.unit, panel.unit))
        .datasource(_SOURCE)
        .span(panel.width)
        .height(_HEIGHT)
    )
    for name, query in zip(_NAMES, panel.queries, strict=False):
        target = prometheus.Dataquery().ref_id(name).expr(query.expression).legend_format(query.legend)
        made = made.with_target(target.datasource(_SOURCE))
    return made


def _over_time() -> timeseries.Panel:
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM).show_legend(True)
    return (
        timeseries.Panel()
        .min(0)
        .line_width(1.5)
        .fill_opacity(8)
        .legend(legend)
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )


def write() -> None:
    """Write the files that Grafana is given."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in documents().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    write()
