"""How good the model was, as the guards saw it, and how fast: the second table at the end of the demo with a language model."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.demo.watching import Counts, Sighting


def report_on_model(console: Console, model: str, seen: Sighting) -> None:
    """Print what became of the model's answers, from the counters of the worker over all its lives."""
    console.print(_table(model, seen.counts, seen.busy_seconds))


def _table(model: str, counts: Counts, busy_seconds: float) -> Table:
    table = Table(title=f"What {model} did, as its worker counted it", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("")
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("")
    speed = (
        f"{counts.answers / busy_seconds:.2f} a second, over the {busy_seconds:.0f} s with calls in flight"
        if busy_seconds
        else ""
    )
    table.add_row(Text("answers", "bold"), Text(f"{counts.answers:,}", "bold"), speed, end_section=True)
    rescued = f", {counts.rescued:,} of them by the second try" if counts.rescued else ""
    table.add_row("  accepted by the guards", f"{counts.accepted:,}", f"{_share(counts.accepted, counts)}{rescued}")
    for reason, number in sorted(counts.rejections.items(), key=lambda found: -found[1]):
        table.add_row(f"  rejected: {reason}", f"{number:,}", f"{_share(number, counts)}; the old version stays")
    table.add_row("calls without an answer", f"{counts.failed_calls:,}", "made again; nothing is lost")
    cached = f"{counts.cached_tokens:,} of them from the prefix cache"
    table.add_row("tokens read", f"{counts.prompt_tokens:,}", f"{_each(counts.prompt_tokens, counts)}; {cached}")
    table.add_row("tokens written", f"{counts.completion_tokens:,}", _each(counts.completion_tokens, counts))
    return table


def _share(number: int, counts: Counts) -> str:
    return f"{number / counts.answers:.0%} of the answers" if counts.answers else ""


def _each(tokens: int, counts: Counts) -> str:
    return f"{tokens / counts.answers:,.0f} an answer" if counts.answers else ""
