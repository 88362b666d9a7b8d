"""What `prefstream capacity` foretells of runs that nothing is fitted to, and what the worker said of those runs.

Place: outside the flow. One real broker, one worker, an engine that takes its time. People come and go, with pauses of random
length between their visits and within them, so that flushes are by size and by age. Each foretold number is reckoned from the
habits of those people and the settings alone, with the figures of the plan. Two paces: the second is the
first, six times as slow.

    python -m benchmarks.visits [--look]
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from heapq import merge
from itertools import cycle
from pathlib import Path
from typing import Any

import msgspec
from kafka import KafkaProducer
from msgspec import Struct
from msgspec.structs import replace
from rich.progress import Progress
from rich.table import Table

from benchmarks.engines import keep_results
from benchmarks.flushes import moments
from benchmarks.footprint import Installation, core_beside
from benchmarks.people import load_histories
from benchmarks.stream import console, cpu_seconds
from deploy.kafka.broker import Broker
from prefstream.capacity.figures import CALL_CPU_SECONDS, EVENT_CPU_SECONDS, IDLE_CPU_SHARE
from prefstream.capacity.flushes import Habit, Policy, flushes_of
from prefstream.events import Rating
from streams.tokens import estimate_event_tokens

DESCRIPTION = """\
What `prefstream capacity` foretells of runs that nothing is fitted to, ÷ what was measured.

It starts a broker of its own, takes seven minutes, and replaces visits.json and visits.txt in benchmarks/results,
unless --look.
"""
EXAMPLES = """\
examples:
  python -m benchmarks.visits          as the results that are kept
  python -m benchmarks.visits --look   nothing written
"""
NUM_USERS = 450
LOOK_SECONDS = 3  # each look costs the worker some CPU too
ENGINE_SECONDS = 0.2
METRICS = (
    "flushes_total",
    "arrival_to_summary_seconds_sum",
    "arrival_to_summary_seconds_count",
    "call_seconds_sum",
    "call_seconds_count",
)


class Pace(Struct, frozen=True):
    """How people come and go, when they are due, and for how long that is watched."""

    habit: Habit
    policy: Policy
    seconds: float


def pace(times: float, seconds: float) -> Pace:
    """Visits of 8 s and pauses of 12 s on average, 1.2 events a second in a visit, an age of 5 s; all so many times as slow."""
    habit = Habit(events_per_day=0.48 * 86_400 / times, visits_per_day=86_400 / 20 / times, visit_seconds=8 * times)
    return Pace(habit, Policy(max_events=8, max_age_seconds=5 * times), seconds)


PACES = (pace(1, 75), pace(6, 300))


class Compared(Struct, frozen=True):
    """One number, as it was foretold and as it was measured."""

    what: str
    foretold: float
    measured: float

    @property
    def ratio(self) -> float:
        """Foretold ÷ measured."""
        return self.foretold / self.measured


def planned(pace: Pace) -> list[tuple[float, Rating]]:
    """Who publishes what, and when (seconds), in order of time."""
    histories = sorted(load_histories().values(), key=lambda ratings: (-len(ratings), ratings[0].user))
    return list(merge(*(_person(number, histories[number], pace) for number in range(NUM_USERS)), key=lambda one: one[0]))


def _person(number: int, ratings: Sequence[Rating], pace: Pace) -> Iterator[tuple[float, Rating]]:
    """One person's, who may be there at the beginning or not."""
    habit = pace.habit
    absent = habit.pause_seconds / (habit.pause_seconds + habit.visit_seconds)
    chance = random.Random(f"visits:{number}")
    late = chance.expovariate(1 / habit.pause_seconds) if chance.random() < absent else 0.0
    for at, rating in zip(moments(habit, 10_000, f"moments:{number}"), cycle(ratings)):
        if late + at >= pace.seconds:
            return
        yield late + at, replace(rating, user=f"v{number}")


def run(installation: Installation, policy: Policy, events: Sequence[tuple[float, Rating]]) -> dict[str, float]:
    """Publish on time, and ask the worker what became of it."""
    settings = {
        "PREFSTREAM_FLUSH_EVENTS": str(policy.max_events),
        "PREFSTREAM_FLUSH_AGE_SECONDS": str(policy.max_age_seconds),
    }
    waiting: list[tuple[float, float]] = []
    with installation.worker(settings, ENGINE_SECONDS) as running:
        running.await_ready()
        producer = KafkaProducer(bootstrap_servers=installation.servers, linger_ms=5)
        began, cpu, looked = time.monotonic(), cpu_seconds(running.pid), 0.0
        for at, event in events:
            time.sleep(max(0.0, began + at - time.monotonic()))
            producer.send(installation.names.inbox, key=event.user.encode(), value=msgspec.json.encode(event))
            if at - looked > LOOK_SECONDS:
                looked = at
                waiting.append((running.metric("prefstream_pending_users"), running.metric("prefstream_pending_events")))
        producer.close()
        while running.metric("prefstream_applied_events_total") < len(events):
            running.wait_a_little(0.25)
        found = {name: running.metric(f"prefstream_{name}") for name in METRICS}
        found["by_size"] = running.labelled("prefstream_flushes_total", "size")
        found["cpu_seconds"] = cpu_seconds(running.pid) - cpu
        found["seconds"] = time.monotonic() - began
    settled = waiting[len(waiting) // 5 :]
    found["waiting_users"] = statistics.mean(users for users, _ in settled)
    found["waiting_events"] = statistics.mean(events for _, events in settled)
    return found


def compared(events: Sequence[tuple[float, Rating]], found: Mapping[str, float], pace: Pace) -> list[Compared]:
    """The plan's formulas, with these people's habits."""
    tokens = statistics.mean(estimate_event_tokens(event) for _, event in events)
    flush = flushes_of(pace.habit, pace.policy, tokens)
    rate, seconds = NUM_USERS * pace.habit.events_per_day / 86_400, pace.seconds
    calls = rate / flush.events_per_flush
    call_seconds = ENGINE_SECONDS
    cpu = rate * EVENT_CPU_SECONDS.value + calls * CALL_CPU_SECONDS.value
    foretold_cpu = cpu * seconds + IDLE_CPU_SHARE.value * found["seconds"]
    oldest = found["arrival_to_summary_seconds_sum"] / found["arrival_to_summary_seconds_count"]
    return [
        Compared("events published", rate * seconds, len(events)),
        Compared("calls", calls * seconds, found["flushes_total"]),
        Compared("events of a call", flush.events_per_flush, len(events) / found["flushes_total"]),
        Compared("calls due by size, share", flush.size_share, found["by_size"] / found["flushes_total"]),
        Compared("first event of a call to summary, s", flush.oldest_seconds + call_seconds, oldest),
        Compared("users waiting", calls * (flush.oldest_seconds + call_seconds), found["waiting_users"]),
        Compared("events waiting", rate * (flush.event_seconds + call_seconds), found["waiting_events"]),
        Compared("CPU seconds of the worker", foretold_cpu, found["cpu_seconds"]),
    ]


class Watched(Struct, frozen=True):
    """One pace, and what became of it."""

    pace: Pace
    rows: list[Compared]


def measure(broker: Broker, directory: Path, progress: Progress) -> Mapping[str, Any]:
    """The runs, and what was foretold of them."""
    task, runs, core = progress.add_task("", total=len(PACES)), [], core_beside(broker)
    for pace in PACES:
        progress.update(task, description=f"people come and go for {pace.seconds:g} s")
        events = planned(pace)
        found = run(Installation(broker, directory, core), pace.policy, events)
        runs.append(Watched(pace, compared(events, found, pace)))
        console.print(table_of(runs[-1]))
        progress.advance(task)
    return {
        "command": "python -m benchmarks.visits",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "users": NUM_USERS,
        "engine_seconds": ENGINE_SECONDS,
        "runs": runs,
    }


def table_of(watched: Watched) -> Table:
    """Foretold and measured of one run."""
    pace = watched.pace
    title = f"{NUM_USERS} people for {pace.seconds:g} s, due after {pace.policy.max_age_seconds:g} s"
    table = Table("", "foretold", "measured", "ratio", title=title)
    for row in watched.rows:
        table.add_row(row.what, f"{row.foretold:,.2f}", f"{row.measured:,.2f}", f"{row.ratio:.2f}")
    return table


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.visits",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--look", action="store_true", help="show, and keep nothing")
    options = parser.parse_args()

    def measured_in(folder: Path, progress: Progress) -> Mapping[str, Any]:
        with Broker.start(folder / "kafka") as broker:
            return measure(broker, folder, progress)

    return keep_results("visits", options.look, measured_in)


if __name__ == "__main__":
    sys.exit(main())
