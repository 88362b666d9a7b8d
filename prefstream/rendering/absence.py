"""How it looks what is left of a user."""

from __future__ import annotations

from typing import get_args

from rich.console import Group
from rich.text import Text

from prefstream.absence import Absence, Standing, Traces
from prefstream.rendering import Section, columns, counted, printable

_STANDINGS: tuple[Standing, ...] = get_args(Standing)


def absence_report(found: Absence) -> Group:
    """What was found on each topic and in files, and the conclusion in one sentence."""
    rows: list[list[str | Text] | str] = [_row(traces) for traces in found.topics]
    lines = columns(("topic", *_STANDINGS, "gone by, UTC"), [Section("", [*rows])], "lrrrrl")
    places = [Text(f"live  {printable(place)}", "red") for traces in found.topics for place in traces.live]
    files = [Text(f"file  {printable(path)}", "red") for path in found.files]
    return Group(*lines, *places, *files, "", _conclusion(found))


def _row(traces: Traces) -> list[str | Text]:
    counts = [f"{traces.counts.get(standing, 0):,}" for standing in _STANDINGS]
    if traces.num_live:
        counts[0] = counts[0] + "!"
    is_found = any(traces.counts.values())
    gone_by = f"{traces.gone_by:%Y-%m-%d %H:%M}" if traces.gone_by else "never" if is_found else ""
    return [printable(traces.topic), *counts, gone_by]


def _conclusion(found: Absence) -> Text:
    if found.is_proven:
        searched = f" and {counted(found.num_files, 'file')}" if found.num_files else ""
        waits = any(sum(traces.counts.values()) for traces in found.topics)
        rest = "; what is left of older copies goes by itself, as said" if waits else ""
        return Text(f"Nothing live is left on {len(found.topics)} topics{searched}{rest}.", "bold green")
    num_live = sum(traces.num_live for traces in found.topics)
    searched = f", {counted(len(found.files), 'file')} of {found.num_files:,}" if found.num_files else ""
    return Text(f"Something is left: {counted(num_live, 'live record')}{searched}.", "bold red")
