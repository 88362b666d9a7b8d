"""Plots: the curves and the grid of a run as PNG, readable in print and on a dark screen (findings → **plots** → page)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib

from evaluation.findings import CEILING, PRIOR, Findings, Point, Score, Truth

matplotlib.use("Agg")
from matplotlib import pyplot as plt

WIDTH, HEIGHT, DPI = 9.0, 4.2, 130
LABEL_WIDTH = 40
COLOURS = ("#0b6e99", "#d9730d", "#448361", "#9065b0", "#c4554d", "#787774")
MUTED = "#787774"
TITLE = {"fontsize": 11, "loc": "left"}


def plot_all(findings: Findings, folder: Path) -> dict[str, str]:
    """Write what there is to plot into ``folder``. Returns the captions by file name."""
    made: dict[str, str] = {}
    if findings.points:
        _curves(findings, folder / "over-updates.png")
        made["over-updates.png"] = (
            "Gain over the prior (left) and length of the summary (right) by updates; bands: 95 % intervals."
        )
    if any(truth.shares for truth in findings.truths):
        _faithfulness(findings, folder / "faithfulness.png")
        made["faithfulness.png"] = "How much of what the summaries claim is so, and how much of what they should claim they do."
    if any(_gains(findings)):
        _settings(findings, folder / "settings.png")
        made["settings.png"] = "What each setting adds to the prior, in points, with 95 % intervals; one mark for each seed."
    if len(_readers(findings)) > 1:
        _grid(findings, folder / "grid.png")
        made["grid.png"] = (
            "Summariser by reader: right answers in percent; the number in brackets is the half-width of the interval."
        )
    return made


def _curves(findings: Findings, path: Path) -> None:
    tasks = list(dict.fromkeys(point.task for point in findings.points))
    widths = [3] * len(tasks) + [2]
    figure, axes = plt.subplots(
        1, len(tasks) + 1, figsize=(WIDTH, HEIGHT), width_ratios=widths, squeeze=False, layout="constrained"
    )
    points = [point for point in findings.points if point.seed == findings.seeds[0]]
    for axis, task in zip(axes[0], tasks, strict=False):
        for number, (name, line) in enumerate(_lines([point for point in points if point.task == task]).items()):
            _band(axis, line, COLOURS[number % len(COLOURS)], name)
        axis.axhline(0.0, color=MUTED, linewidth=0.8)
        _dress(axis, task, "updates", "points over the prior" if axis is axes[0][0] else "")
    figure.legend(*axes[0][0].get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside lower center", ncols=2)
    for number, line in enumerate(_lines([point for point in points if point.task == tasks[0]]).values()):
        axes[0][-1].plot([point.updates for point in line], [point.text_tokens for point in line], color=COLOURS[number])
    axes[0][-1].set_ylim(bottom=0)
    _dress(axes[0][-1], "length", "updates", "tokens")
    _save(figure, path)


def _lines(points: Sequence[Point]) -> dict[str, list[Point]]:
    lines: dict[str, list[Point]] = {}
    for point in points:
        lines.setdefault(f"{point.summariser}: {point.setting}", []).append(point)
    return lines


def _band(axis: Any, line: Sequence[Point], colour: str, name: str) -> None:
    at = [point.updates for point in line]
    axis.plot(at, [point.over_prior.mean for point in line], color=colour, label=name, marker="o", markersize=3)
    low, high = ([getattr(point.over_prior, end) for point in line] for end in ("low", "high"))
    axis.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)


def _faithfulness(findings: Findings, path: Path) -> None:
    shares = [name for name in findings.truths[0].shares if not name.startswith("tokens")]
    lines = _alike(findings)
    figure, axis = plt.subplots(figsize=(WIDTH, 1.6 + 0.42 * len(shares)), layout="constrained")
    height = 0.8 / len(lines)
    for number, (label, truth) in enumerate(lines):
        values = [truth.shares[name][0] or 0.0 for name in shares]
        at = [place + (number - (len(lines) - 1) / 2) * height for place in range(len(shares))]
        axis.barh(at, values, height=height * 0.9, color=COLOURS[number % len(COLOURS)], label=label)
    axis.set_yticks(range(len(shares)), shares, fontsize=9)
    axis.invert_yaxis()
    axis.set_xlim(0, 1.02)
    figure.legend(frameon=False, fontsize=8, loc="outside lower center")
    _dress(axis, "faithfulness", "share", "")
    _save(figure, path)


def _alike(findings: Findings) -> list[tuple[str, Truth]]:
    """The texts, those of equal shares as one line: with a tally, how many updates there were changes nothing."""
    lines: dict[str, list[Truth]] = {}
    for truth in findings.truths:
        lines.setdefault(f"{truth.summariser}, {truth.events} events: {sorted(truth.shares.items())}", []).append(truth)
    return [
        (f"{one[0].summariser}, {one[0].events} events: {' = '.join(truth.setting for truth in one)}", one[0])
        for one in lines.values()
    ]


def _gains(findings: Findings) -> list[Score]:
    least = min((score.events for score in findings.scores), default=0)
    return [
        score
        for score in findings.scores
        if score.reader in ("catalogue", "ceiling") and score.setting != PRIOR and score.events == max(least, 50)
    ]


def _settings(findings: Findings, path: Path) -> None:
    gains = _gains(findings)
    tasks = list(dict.fromkeys(score.task for score in gains))
    names = list(dict.fromkeys(_name(score) for score in sorted(gains, key=lambda score: score.setting == CEILING)))
    size = (WIDTH, 1.6 + 0.4 * len(names))
    figure, axes = plt.subplots(1, len(tasks), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for axis, task in zip(axes[0], tasks, strict=True):
        for number, seed in enumerate(findings.seeds):
            of_seed = [score for score in gains if (score.task, score.seed) == (task, seed)]
            at = [names.index(_name(score)) + 0.24 * (number - (len(findings.seeds) - 1) / 2) for score in of_seed]
            means = [score.over_prior.mean for score in of_seed]
            ends = [[score.over_prior.mean - score.over_prior.low for score in of_seed]]
            ends.append([score.over_prior.high - score.over_prior.mean for score in of_seed])
            axis.errorbar(
                means, at, xerr=ends, fmt="o", color=COLOURS[number], markersize=4, linewidth=1.2, label=f"seed {seed}"
            )
        axis.axvline(0.0, color=MUTED, linewidth=0.8)
        _dress(axis, task, "points over the prior", "")
    axes[0][0].set_yticks(range(len(names)), [fill(name, LABEL_WIDTH) for name in names], fontsize=9)
    axes[0][0].invert_yaxis()
    figure.legend(*axes[0][0].get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside lower center", ncols=2)
    _save(figure, path)


def _name(score: Score) -> str:
    return f"{score.summariser}: {score.setting}" if score.summariser else score.setting


def _readers(findings: Findings) -> list[str]:
    return [reader for reader in dict.fromkeys(score.reader for score in findings.scores) if reader not in ("prior", "ceiling")]


def _grid(findings: Findings, path: Path) -> None:
    readers, seed = _readers(findings), findings.seeds[0]
    scores = [score for score in findings.scores if score.seed == seed and score.reader in readers]
    told = list(dict.fromkeys(_name(score) for score in scores if score.reader != "catalogue"))
    tasks = list(dict.fromkeys(score.task for score in scores if score.reader != "catalogue"))
    figure, axes = plt.subplots(1, len(tasks), figsize=(WIDTH, 1.6 + 0.5 * len(told)), sharey=True, squeeze=False)
    for axis, task in zip(axes[0], tasks, strict=True):
        found = {(_name(score), score.reader): score.accuracy for score in scores if score.task == task}
        means = [[found[name, reader].mean if (name, reader) in found else 50.0 for reader in readers] for name in told]
        axis.imshow(means, cmap="Blues", vmin=45, vmax=85, aspect="auto")
        for row, name in enumerate(told):
            for column, reader in enumerate(readers):
                if (name, reader) in found:
                    cell = found[name, reader]
                    text = f"{cell.mean:.1f} ({(cell.high - cell.low) / 2:.1f})"
                    axis.text(
                        column, row, text, ha="center", va="center", fontsize=8, color="white" if cell.mean > 68 else "black"
                    )
        axis.set_xticks(range(len(readers)), readers, fontsize=8, rotation=20)
        axis.set_title(task, **TITLE)
        axis.spines[:].set_visible(False)
    axes[0][0].set_yticks(range(len(told)), told, fontsize=8)
    _save(figure, path)


def _dress(axis: Any, title: str, x_label: str, y_label: str) -> None:
    axis.set_title(title, **TITLE)
    axis.set_xlabel(x_label, fontsize=9)
    axis.set_ylabel(y_label, fontsize=9)
    axis.tick_params(labelsize=8)
    axis.grid(alpha=0.25, linewidth=0.6)
    axis.spines[["top", "right"]].set_visible(False)


def _save(figure: Any, path: Path) -> None:
    if figure.get_layout_engine() is None:
        figure.tight_layout()
    figure.savefig(path, dpi=DPI, facecolor="white")
    plt.close(figure)
