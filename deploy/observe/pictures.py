"""The pictures: a dashboard as a PNG, drawn from its panels' own answers, with the incident's moments and the alerts above.

Place in the flow: behind the panels' answers. Not Grafana's looks, but its numbers: same queries, titles, units, legends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, Locator, MaxNLocator
from PIL import Image

from deploy.grafana.boards import Board, Panel, Unit
from deploy.observe.panels import Answer, Series
from deploy.observe.script import Mark
from deploy.observe.timeline import Episode
from deploy.observe.units import scale_of, shown

_COLUMNS = 24
_DPI = 92
# In inches. Under a plot there is room for its axis and for its legend.
_WIDTH, _LEFT, _RIGHT, _BETWEEN = 13.0, 0.72, 0.2, 0.62
_TITLE, _ALERT, _HEADING, _CAPTION, _PLOT, _LEGEND = 0.45, 0.2, 0.36, 0.24, 1.15, 0.64
_MARKS = 0.5  # above the alerts, what was done
_INK, _FAINT, _GRID = "#24292f", "#6e7781", "#e5e8eb"
_LINES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c6bb1", "#7f7f7f")
_BANDS = {"model away": "#d55e00", "worker-1 away": "#0072b2"}
_FIRING = {"page": "#c62828", "ticket": "#ef8a17"}
_PENDING = "#f6d58e"
_NAMES = 2.6  # the names of alerts, left of their bars
_MAX_LEGENDS = 6


class Picture(NamedTuple):
    """What all pictures of a run have in common: how long it was, what was done when, and what the alerts did."""

    seconds: float
    marks: Sequence[Mark]
    episodes: Sequence[Episode]


class _Sheet:
    """A figure that is filled from the top."""

    def __init__(self, height: float) -> None:
        self.figure = Figure(figsize=(_WIDTH, height), dpi=_DPI, facecolor="white")
        self._height = self._left_over = height

    def down(self, inches: float) -> None:
        """Leave so much free."""
        self._left_over -= inches

    def axes(self, left: float, width: float, height: float) -> Axes:
        """Axes of this size in inches, their upper edge where the sheet is filled to."""
        bottom = self._left_over - height
        return self.figure.add_axes(
            (left / _WIDTH, bottom / self._height, width / _WIDTH, height / self._height), facecolor="none"
        )

    def text(self, left: float, words: str, size: float, colour: str = _INK, weight: str = "normal") -> None:
        """Words, their upper edge there."""
        place = (left / _WIDTH, self._left_over / self._height)
        self.figure.text(*place, words, fontsize=size, color=colour, weight=weight, va="top")


def draw(board: Board, answers: Sequence[Answer], picture: Picture, path: Path) -> None:
    """Write the picture of a board."""
    lines = list(_lines(board, {answer.panel.title: answer for answer in answers}))
    alerts = list(dict.fromkeys(one.name for one in picture.episodes))
    height = _TITLE + _MARKS + _ALERT * max(1, len(alerts)) + 0.4
    height += sum(_HEADING if isinstance(line, str) else _CAPTION + _PLOT + _LEGEND for line in lines)
    sheet = _Sheet(height)
    sheet.down(0.12)
    sheet.text(0.15, board.title, 15, weight="bold")
    sheet.text(_LEFT + 3.2, "light: pending · red: a page fires · orange: a ticket fires · axes in minutes", 9, _FAINT)
    sheet.down(_TITLE - 0.12 + _MARKS)
    _draw_alerts(sheet, alerts, picture)
    for line in lines:
        if isinstance(line, str):
            sheet.text(0.15, line, 12, weight="bold")
            sheet.down(_HEADING)
        else:
            sheet.down(_CAPTION)
            _draw_line(sheet, line, picture)
            sheet.down(_PLOT + _LEGEND)
    _write(sheet.figure, path)


def _write(figure: Figure, path: Path) -> None:
    """As a PNG with a palette, a third of the size; one that holds the colours of thin lines, which the usual one mixes."""
    drawn = BytesIO()
    figure.savefig(drawn, format="png")
    Image.open(drawn).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        path, optimize=True
    )


def _lines(board: Board, answers: Mapping[str, Answer]) -> Iterator[str | list[Answer]]:
    """The rows' titles, and the panels that stand beside each other."""
    for row in board.rows:
        yield row.title
        beside: list[Answer] = []
        for panel in row.panels:
            if sum(one.panel.width for one in beside) + panel.width > _COLUMNS:
                yield beside
                beside = []
            beside.append(answers[panel.title])
        yield beside


def _draw_alerts(sheet: _Sheet, alerts: Sequence[str], picture: Picture) -> None:
    """A bar for each alert, and above them what was done."""
    height = _ALERT * max(1, len(alerts))
    axes = sheet.axes(_LEFT + _NAMES, _WIDTH - _LEFT - _NAMES - _RIGHT, height)
    _frame(axes, picture)
    axes.grid(False)
    for episode in picture.episodes:
        place, end = alerts.index(episode.name), episode.cleared_at or picture.seconds
        firing = end if episode.firing_at is None else episode.firing_at
        _bar(axes, place, episode.pending_at, firing, _PENDING)
        _bar(axes, place, firing, end, _FIRING.get(episode.severity, _FAINT))
    axes.set_ylim(max(1, len(alerts)) - 0.4, -0.6)
    axes.set_yticks(range(len(alerts)), alerts, fontsize=8, color=_INK)
    _draw_marks(axes, picture.marks)
    sheet.down(height + 0.4)


def _bar(axes: Axes, place: int, start: float, end: float, colour: str) -> None:
    axes.barh(place, (end - start) / 60, left=start / 60, height=0.7, color=colour)


def _draw_marks(axes: Axes, marks: Iterable[Mark]) -> None:
    """What was done, above the bars, on two levels so that neighbours do not meet."""
    for number, mark in enumerate(sorted(marks, key=lambda one: one.start)):
        axes.annotate(
            mark.label,
            (mark.start / 60, 1.0),
            xycoords="axes fraction" if not mark.start else ("data", "axes fraction"),
            xytext=(1, 3 + 11 * (number % 3)),
            textcoords="offset points",
            fontsize=8,
            color=_BANDS.get(mark.label, _INK),
        )


def _draw_line(sheet: _Sheet, line: Sequence[Answer], picture: Picture) -> None:
    """The panels beside each other, each as wide as its share of the columns."""
    column = (_WIDTH - _LEFT - _RIGHT + _BETWEEN) / _COLUMNS
    left = _LEFT
    for answer in line:
        width = answer.panel.width * column
        _draw_panel(sheet.axes(left, width - _BETWEEN, _PLOT), answer, picture)
        left += width


def _draw_panel(axes: Axes, answer: Answer, picture: Picture) -> None:
    panel, series = answer
    _frame(axes, picture)
    axes.set_title(panel.title, loc="left", fontsize=9.5, weight="bold", color=_INK, pad=5)
    if not series:
        _say(axes, "nothing of the kind", 8, _FAINT)
    told = [one for one in series if not one.is_zero] if len(series) > _MAX_LEGENDS else list(series)
    for number, one in enumerate(told):
        axes.plot(*_with_gaps(one), color=_LINES[number % len(_LINES)], linewidth=1.4, label=one.legend or panel.title)
    values = [value for one in told for _, value in one.points]
    _scale(axes, panel.unit, values)
    if panel.single and values:
        _say(axes, shown(panel.unit, values[-1]), 22, _INK)
        return
    _legend(axes, panel, told, len(series) - len(told))


def _say(axes: Axes, words: str, size: float, colour: str) -> None:
    """In the middle of a panel, on what is drawn there."""
    ground = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "boxstyle": "round,pad=0.3"}
    axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", fontsize=size, color=colour, bbox=ground)


def _legend(axes: Axes, panel: Panel, told: Sequence[Series], num_hidden: int) -> None:
    if num_hidden:
        axes.plot([], [], color="none", label=f"{num_hidden} more at 0")
    if not told and not num_hidden:
        return
    longest = max((len(one.legend) for one in told), default=0)
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(-0.02, -0.13),
        ncols=max(1, panel.width * 7 // max(longest + 5, 14)),
        fontsize=7.5,
        frameon=False,
        labelcolor=_INK,
        borderaxespad=0.2,
        handlelength=1.1,
        handletextpad=0.4,
        columnspacing=1.0,
        labelspacing=0.2,
    )


def _with_gaps(series: Series) -> tuple[list[float], list[float]]:
    """Minutes and values; the line is broken where there was nothing for longer than from one point to the next."""
    instants = [at for at, _ in series.points]
    step = min((after - before for before, after in pairwise(instants)), default=0.0)
    minutes: list[float] = []
    values: list[float] = []
    for at, value in series.points:
        if minutes and at - minutes[-1] * 60 > 1.5 * step:
            minutes.append(at / 60)
            values.append(float("nan"))
        minutes.append(at / 60)
        values.append(value)
    return minutes, values


def _frame(axes: Axes, picture: Picture) -> None:
    """The axis of time, and what was done when."""
    axes.set_xlim(0, picture.seconds / 60)
    axes.tick_params(labelsize=7.5, colors=_FAINT, length=2)
    axes.grid(color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    for mark in picture.marks:
        if mark.end is None:
            axes.axvline(mark.start / 60, color=_FAINT, linewidth=0.8, linestyle=(0, (2, 2)))
        else:
            axes.axvspan(mark.start / 60, mark.end / 60, color=_BANDS.get(mark.label, _FAINT), alpha=0.10, linewidth=0)


def _scale(axes: Axes, unit: Unit, values: Sequence[float]) -> None:
    """From 0 to a little above the highest, in the panel's unit."""
    highest = max(values, default=0.0)
    axes.set_ylim(min(0.0, min(values, default=0.0)), highest * 1.12 if highest > 0 else 1.0)
    axes.yaxis.set_major_locator(_ticks(unit, highest) if highest > 0 else MaxNLocator(nbins=4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: shown(unit, value)))


def _ticks(unit: Unit, highest: float) -> Locator:
    """Round numbers, in the unit that the highest is shown in."""
    rough, scale = MaxNLocator(nbins=4), scale_of(unit, highest)
    return FixedLocator([float(tick) * scale for tick in rough.tick_values(0, highest / scale)])
