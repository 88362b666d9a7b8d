"""How a plan looks: a line for each need, with its reason, and a mark where nobody measured what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from rich.console import Group
from rich.table import Table
from rich.text import Text

from prefstream.capacity.figures import Basis
from prefstream.capacity.needs import Need
from prefstream.capacity.numbers import human, human_bytes, human_seconds
from prefstream.capacity.plan import Plan

NAMES: Mapping[str, str] = {
    "active_users": "active users",
    "peak_events": "events, peak",
    "events_per_flush": "events in a flush",
    "peak_calls": "calls, peak",
    "replica_calls": "calls of a replica",
    "call_seconds": "a call, at most",
    "by_cpu": "by CPU",
    "by_memory": "by memory",
    "by_disk": "by disk",
    "by_recovery": "by recovery",
    "worker_mib": "memory",
    "calls_in_flight": "calls in flight",
    "partition_recovery_seconds": "one recovered in",
    "partition_replicas": "partitions, copied",
    "written_bytes": "written",
    "stored_bytes": "stored",
    "event_delay_seconds": "event to summary",
    "oldest_delay_seconds": "at most",
    "by_the_hour_a_day": "GPUs",
    "by_the_hour_per_1000_events": "",
    "by_the_hour_per_user_year": "",
    "by_the_token_a_day": "tokens",
    "by_the_token_per_1000_events": "",
    "by_the_token_per_user_year": "",
}
RESULTS = ("replicas", "workers", "partitions")
MARKS: Mapping[Basis, Text] = {
    "measured": Text("measured", "green"),
    "follows": Text("follows", "dim"),
    "given": Text("input", "dim"),
    "published": Text("published", "yellow"),
    "assumed": Text("assumed", "yellow"),
}


def amount_of(need: Need) -> str:
    """The number with its unit, as people read it."""
    match need.unit:
        case "s":
            return human_seconds(need.value)
        case "B":
            return human_bytes(need.value)
        case "B/s":
            return f"{human_bytes(need.value)}/s"
    return f"{human(need.value)}{need.unit if need.unit[:1] == '/' else f' {need.unit}'}".rstrip()


def plan_table(plan: Plan, assumed: Mapping[str, str]) -> Group:
    """All needs by section; ``assumed`` are the options that nobody gave, with the values that they had."""
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    table.add_column("", no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column("because", overflow="fold", ratio=1)
    table.add_column("rests on", no_wrap=True)
    for section, needs in groupby(plan.needs, key=lambda need: need.section):
        table.add_row(Text(section, "bold cyan"))
        for need in needs:
            style = "bold" if need.name in RESULTS else ""
            name = Text(f"  {NAMES.get(need.name, need.name)}", style)
            table.add_row(name, Text(amount_of(need), style), Text(need.because, "dim"), MARKS[need.basis])
    said = Text("Nobody said otherwise: " + ", ".join(f"{name} {value}" for name, value in assumed.items()) + ".", "dim")
    return Group(table, *(("", said) if assumed else ()))
