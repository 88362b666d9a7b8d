"""The picture of a soak: one small plot for each series over the time of the run, with the faults marked in all of them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib

from tests.soak.faults import Kind
from tests.soak.flatness import HOUR_SECONDS, Point
from tests.soak.looks import Look
from tests.soak.run import Run
from tests.soak.verdicts import MEASURES, Row, Value, of_worker, oldest, rows, unaccounted, unread

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.lines import Line2D

_COLORS: dict[Kind, str] = {
    "worker ends": "tab:red",
    "worker stands still": "tab:orange",
    "broker": "tab:purple",
    "network": "tab:blue",
    "model": "tab:green",
    "publisher": "tab:gray",
}
_STAYS, _OTHERS = "black", "0.65"


def draw(run: Run, path: Path) -> None:
    """Draw it as PNG."""
    figure, axes = plt.subplots(7, sharex=True, figsize=(11, 14), height_ratios=(3, 2, 2, 2, 2, 2, 1.4))
    memory, handles, disk, lag, age, identity, faults = axes
    judged = {row.name: row for row in rows(run)}
    _workers(memory, run, lambda look: look.rss_mib, "memory\n(RSS, MiB)", judged[MEASURES[0].name])
    _workers(handles, run, lambda look: look.num_handles, "open handles", judged[MEASURES[1].name])
    _workers(disk, run, lambda look: look.disk_mib, "tables on disk\n(MiB)", judged[MEASURES[3].name])
    _all(lag, unread(run.samples), "lag\n(records)", judged[MEASURES[4].name])
    _all(age, oldest(run.samples), "oldest pending\nevent (s)", judged[MEASURES[5].name])
    _identity(identity, run)
    _faults(faults, run)
    for axis in axes:
        axis.axvspan(0, run.warm_up_seconds / 60, color="0.92", zorder=0)
        for fault in run.faults:
            axis.axvline(fault.at_seconds / 60, color=_COLORS[fault.kind], alpha=0.3, linewidth=0.7, zorder=1)
        axis.set_xlim(0, max(run.seconds, 60) / 60)
    memory.annotate("warm-up", (0.1, 0.04), xycoords=("data", "axes fraction"), color="0.4", fontsize=9)
    memory.legend(
        [Line2D([], [], color=_STAYS), Line2D([], [], color=_OTHERS), Line2D([], [], color="tab:red", linestyle="--")],
        ["the worker that stays", "the others, life by life", "slope after the warm-up"],
        loc="lower right",
        ncols=3,
        fontsize=9,
    )
    faults.set_xlabel("minutes")
    title = f"soak under {len(run.faults)} faults, seed {run.wanted.seed}: {len(run.samples)} samples of two workers"
    memory.set_title(title, loc="left")
    figure.align_ylabels()
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _workers(axis: Any, run: Run, value: Callable[[Look], Value], label: str, row: Row) -> None:
    looked = [(sample.at_seconds, look) for sample in run.samples for look in sample.looks]
    for _, life in groupby(sorted(looked, key=_life), key=lambda one: (one[1].worker, one[1].pid)):
        points = list(life)
        is_other = points[0][1].worker != run.stays
        shown = {"color": _OTHERS, "linewidth": 1, "zorder": 2} if is_other else {"color": _STAYS, "zorder": 3}
        axis.plot([at / 60 for at, _ in points], [value(look) for _, look in points], **shown)
    axis.set_ylabel(label)
    axis.set_ylim(0, 1.25 * max((value(look) or 0 for _, look in looked), default=1))
    _slope(axis, [point.value for point in of_worker(run.samples, run.stays, value)], run, row)


def _life(one: tuple[float, Look]) -> tuple[str, int, float]:
    at, look = one
    return look.worker, look.pid, at


def _all(axis: Any, points: list[Point], label: str, row: Row) -> None:
    axis.plot(
        [point.at_seconds / 60 for point in points], [point.value for point in points], color=_STAYS, linewidth=1, zorder=3
    )
    axis.set_ylabel(label)
    axis.set_yscale("symlog", linthresh=1)
    axis.set_ylim(0, 8 * max((point.value for point in points), default=1) + 1)
    _words(axis, row)


def _slope(axis: Any, values: list[float], run: Run, row: Row) -> None:
    _words(axis, row)
    if row.trend is None or not values:
        return
    begin, end = run.warm_up_seconds, run.seconds
    middle = row.trend.median
    half = row.trend.slope * (end - begin) / HOUR_SECONDS / 2
    axis.plot([begin / 60, end / 60], [middle - half, middle + half], color="tab:red", linestyle="--", zorder=4)


def _words(axis: Any, row: Row) -> None:
    if row.trend is None:
        said = str(row.verdict)
    else:
        found, unit = row.trend, f" {row.unit}" if row.unit else ""
        said = f"{row.verdict}: {found.slope:+.1f}{unit}/h ({found.low:+.1f} to {found.high:+.1f}), at most {row.limit:.1f}"
    axis.annotate(said, (0.995, 0.86), xycoords="axes fraction", ha="right", fontsize=9, fontweight="bold", zorder=5)


def _identity(axis: Any, run: Run) -> None:
    points = unaccounted(run.samples)
    axis.plot([point.at_seconds / 60 for point in points], [point.value for point in points], ".", color=_STAYS, markersize=2)
    axis.set_ylabel("identity\n(unaccounted)")
    most = max((abs(point.value) for point in points), default=0)
    axis.set_ylim(-most - 1, most + 1)
    wrong = sum(point.value != 0 for point in points)
    axis.annotate(
        f"{len(points):,} scrapes, {wrong} not 0",
        (0.995, 0.8),
        xycoords="axes fraction",
        ha="right",
        fontsize=9,
        fontweight="bold",
    )


def _faults(axis: Any, run: Run) -> None:
    kinds = list(_COLORS)
    for one in run.faults:
        line = [one.at_seconds / 60, one.until_seconds / 60]
        axis.plot(line, [kinds.index(one.kind)] * 2, color=_COLORS[one.kind], linewidth=4, solid_capstyle="butt", zorder=3)
    axis.set_yticks(range(len(kinds)), kinds, fontsize=8)
    axis.set_ylim(len(kinds) - 0.4, -0.6)
