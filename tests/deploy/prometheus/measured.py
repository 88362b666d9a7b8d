"""What a PromQL expression asks for that no worker measures and no rule records."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import yaml

import deploy.prometheus
from agents.metrics import Metrics
from agents.scrape import at_a_scrape

FOLDER = Path(deploy.prometheus.__file__).parent
FOREIGN = {"up": {"job", "instance"}}
SCRAPED = {"job", "instance"}  # what Prometheus itself adds
PROCESS = ("resident_memory_bytes", "start_time_seconds", "cpu_seconds_total", "open_fds", "max_fds")
_NAME = re.compile(r"(?:\w+:)?\b(?:prefstream_\w+|process_\w+|up)\b(?::\w+)?(?:\{[^}]*\})?")


@cache
def _labels_by_name() -> dict[str, set[str]]:
    metrics = Metrics()
    for collector in at_a_scrape():
        metrics.registry.register(collector)
    known: dict[str, set[str]] = dict(FOREIGN) | {f"process_{name}": set(SCRAPED) for name in PROCESS}
    for family in metrics.registry.collect():
        labels = {*(getattr(family, "_labelnames", ()) or metrics.labels_of(family.name)), *SCRAPED}
        endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        known |= {f"{family.name}{ending}": labels | ({"le"} if ending == "_bucket" else set()) for ending in endings}
    for group in yaml.safe_load((FOLDER / "recording.yml").read_text())["groups"]:
        known |= {rule["record"]: set(SCRAPED) for rule in group["rules"]}
    return known


def measured_in(expression: str) -> list[str]:
    """The names of metrics in an expression, with the labels they are chosen by."""
    return _NAME.findall(expression)


def unmeasured(expression: str) -> list[str]:
    """The names, or name{label}, that nothing measures."""
    found = []
    for match in measured_in(expression):
        name, _, selector = match.partition("{")
        labels = _labels_by_name().get(name)
        if labels is None:
            found.append(name)
            continue
        found += [f"{name}{{{label}}}" for label in re.findall(r"(\w+)\s*[=!]", selector) if label not in labels]
    return found
