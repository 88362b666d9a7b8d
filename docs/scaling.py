"""The tables of the page on scaling: what `prefstream capacity` says of some sizes and ages, and how right it was.

Place: written between the marks of ``docs/scaling.md`` by :mod:`docs.generate`; the words around them are written by hand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefstream.capacity.demand import Demand
from prefstream.capacity.engines import ENGINES
from prefstream.capacity.figures import RECOVERY_RECORDS_PER_SECOND
from prefstream.capacity.flushes import Policy
from prefstream.capacity.numbers import human, human_seconds
from prefstream.capacity.plan import Plan, plan_of
from prefstream.rendering.capacity import amount_of

PAGE = Path(__file__).with_name("scaling.md")
RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
SIZES = (1e4, 1e6, 1e8, 1e9)
AGES = (60.0, 900.0, 14_400.0, 86_400.0)
GPU_HOUR = 2.5  # an example, and called so on the page
ROWS = {
    "events, at the peak": "peak_events",
    "calls, at the peak": "peak_calls",
    "tokens": "tokens",
    "**H100s** (published speed)": "replicas",
    "**workers**": "workers",
    "… by CPU": "by_cpu",
    "… by memory": "by_memory",
    "… by disk": "by_disk",
    "… by recovery": "by_recovery",
    "installations": "installations",
    "**partitions** of each": "partitions",
    "calls in flight of a worker": "calls_in_flight",
    "written to Kafka, 3 copies": "written_bytes",
    "stored in Kafka, 3 copies": "stored_bytes",
    "copies of partitions": "partition_replicas",
    "GPUs a day, at the example's price": "by_the_hour_a_day",
    "… of a user, a year": "by_the_hour_per_user_year",
}
AGE_ROWS = {
    "events of a call": "events_per_flush",
    "calls": "calls",
    "H100s": "replicas",
    "workers": "workers",
    "… by memory": "by_memory",
    "event to summary, mean": "event_delay_seconds",
}


def scaling_page() -> str:
    """The page with its tables written anew."""
    tables = {"sizes": sizes_table(), "ages": ages_table(), "checks": checks_table()}
    text = PAGE.read_text()
    for name, table in tables.items():
        begin, end = f"<!-- {name}: written by `make docs` -->", f"<!-- end of {name} -->"
        between = re.compile(f"(?<={re.escape(begin)}).*(?={re.escape(end)})", re.DOTALL)
        text = between.sub(f"\n{table}\n", text)
    return text


def sizes_table() -> str:
    """A column for each number of users, with all else as it is by default."""
    plans = [plan_of(Demand(users=users, gpu_hour=GPU_HOUR)) for users in SIZES]
    return _table([f"{human(users)} users" for users in SIZES], ROWS, plans)


def ages_table() -> str:
    """A column for each flush age, for a million users."""
    plans = [plan_of(Demand(flush_age=age)) for age in AGES]
    return _table([human_seconds(age) for age in AGES], AGE_ROWS, plans)


def _table(heads: Sequence[str], names: dict[str, str], plans: Sequence[Plan]) -> str:
    rows = [[caption, *(_amount(plan, name) for plan in plans)] for caption, name in names.items()]
    return _markdown(["", *heads], rows)


def _amount(plan: Plan, name: str) -> str:
    (need,) = [need for need in plan.needs if need.name == name]
    return amount_of(need).removesuffix(" each").removesuffix(f" × {plan.demand.engine.hardware}")


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def checks_table() -> str:
    """What was foretold, what was measured, and their ratio; nothing of it was fitted to what it is compared with."""
    rows = [*_visits(), *_others()]
    cells = [[what, human(foretold), human(measured), f"{foretold / measured:.2f}"] for what, foretold, measured in rows]
    return _markdown(["", "foretold", "measured", "ratio"], cells)


def _result(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())


def _visits() -> list[tuple[str, float, float]]:
    runs = [(f"age {run['pace']['policy']['max_age_seconds']:g} s", run["rows"]) for run in _result("visits")["runs"]]
    return [(f"visits, {age}: {row['what']}", row["foretold"], row["measured"]) for age, rows in runs for row in rows]


def _others() -> list[tuple[str, float, float]]:
    fit, loads = _result("footprint")["fit"], _result("footprint")["loads"]
    between = loads[1]
    sparing = {(row["stream"], row["way"]): row["num_calls"] for row in _result("sparing")["rows"]}
    shares = {number: number / (number + 1) for number in (10, 50)}
    saturation = [pair["pipeline"] for pair in _result("saturation")["pairs"]]
    prompt = sum(run["prompt_tokens"] for run in saturation) / sum(run["answers"] for run in saturation)
    middle = _result("recovery")["sizes"][1]["recovery"]
    full = Policy().num_events(0, 1)
    return [
        (
            f"footprint: CPU seconds, a call of every {between['flush_events']} events",
            fit["foretold_ratio"] * between["cpu_seconds"],
            between["cpu_seconds"],
        ),
        *(
            (
                f"sparing: calls with {number} impressions beside each rating",
                sparing[f"{number} impressions each", "one by one"] * full / Policy().num_events(share, 1),
                sparing[f"{number} impressions each", "counted less"],
            )
            for number, share in shares.items()
        ),
        ("saturation: tokens of a prompt of 20 events", ENGINES["smollm2-135m-cpu"].tokens.shape(20).prompt, prompt),
        (
            "recovery: seconds for 100,000 users",
            middle["num_records"] / RECOVERY_RECORDS_PER_SECOND.value,
            middle["recovery_seconds"],
        ),
    ]
