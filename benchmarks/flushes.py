"""When people are flushed and how often the model is spared, by the worker's own parts, against `prefstream capacity`.

Place: outside the flow, without a broker. Real people's ratings, and what they passed over beside them, are published as people
come and go: visits and pauses of random length. The worker's index says by a clock of its own when somebody is due; each
version is made as the worker makes it, with the counting engine, and a call is spared where the worker would spare it.

    python -m benchmarks.flushes [--people 40] [--look]
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from rich.box import SIMPLE
from rich.progress import Progress
from rich.table import Table

from benchmarks.engines import keep_results
from benchmarks.sparing import STREAMS, Stream, events_of
from benchmarks.stream import console
from evaluation.evolving import History, evolve_all
from evaluation.people import load_people
from evaluation.records import Person
from evaluation.writers import policy_of
from model_server.counting import Counting
from model_server.profiles import load_profile
from prefstream.capacity.flushes import Flushes, Habit, Policy, flushes_of
from prefstream.capacity.numbers import human_seconds
from prefstream.dead_letters import Origin
from prefstream.events import Event, Rating
from streams.evidence import evidence_of, is_impression
from streams.failures import Failures
from streams.flush import FlushPolicy
from streams.pending import Known, PendingIndex
from streams.records import Arrival, encode_event
from streams.tokens import estimate_event_tokens

DESCRIPTION = """\
Events of a flush, flushes by size, waits and spared calls, by the worker's own parts, against the formula of
`prefstream capacity`.

A few minutes on one core. It replaces flushes.json and flushes.txt in benchmarks/results, unless --look.
"""
EXAMPLES = """\
examples:
  python -m benchmarks.flushes                      as the results that are kept
  python -m benchmarks.flushes --people 5 --look    a first look, nothing written
"""
SEED = 7
RATINGS, MIXED = STREAMS[0], STREAMS[1]
NUM_RATINGS = {RATINGS.name: 200, MIXED.name: 40}


class Case(Struct, frozen=True):
    """A stream of events, how people publish it, and when somebody is due."""

    stream: Stream
    habit: Habit
    policy: Policy


class Row(Struct, frozen=True):
    """What became of a case, and what was foretold of it."""

    case: Case
    num_events: int
    num_flushes: int
    num_spared: int
    event_tokens: float
    found: Flushes
    foretold: Flushes


def _case(stream: Stream, impressions: float, events: float, minutes: float, age: float) -> Case:
    return Case(stream, Habit(events, 3, minutes * 60, impressions), Policy(max_age_seconds=age))


CASES = (
    _case(RATINGS, 0.0, 50, 480, 60),
    _case(RATINGS, 0.0, 50, 10, 60),
    _case(RATINGS, 0.0, 200, 10, 60),
    _case(RATINGS, 0.0, 50, 10, 3_600),
    _case(RATINGS, 0.0, 50, 10, 86_400),
    _case(MIXED, 10 / 11, 500, 10, 60),
    _case(MIXED, 10 / 11, 500, 10, 3_600),
)


def moments(habit: Habit, number: int, seed: str) -> Iterator[float]:
    """When somebody publishes so many events (seconds)."""
    chance, at = random.Random(seed), 0.0
    leaves = chance.expovariate(1 / habit.visit_seconds)
    for _ in range(number):
        at += chance.expovariate(habit.events_per_second)
        while habit.pause_seconds and at > leaves:
            late = at - leaves
            back = leaves + chance.expovariate(1 / habit.pause_seconds)
            leaves = back + chance.expovariate(1 / habit.visit_seconds)
            at = back + late  # what is left of the wait: it is as long as any
        yield at


class Watched(Struct, frozen=True):
    """One person's flushes: after how many events, by what, and how long the first and all together waited (seconds)."""

    cuts: tuple[int, ...]
    num_by_size: int
    oldest_seconds: tuple[float, ...]
    waited_seconds: float


def watched(events: Sequence[Event], at: Sequence[float], policy: Policy) -> Watched:
    """What the worker's index does with one person's events on a clock of its own; what waits in the end is left out."""
    flush = FlushPolicy(
        policy.max_events,
        policy.max_tokens,
        policy.max_age_seconds,
        impressions_per_event=policy.impressions_per_event,
    )
    index, user, num_done, cuts, reasons, oldest, waited = PendingIndex(flush), b"somebody", 0, [], [], [], 0.0

    def take(now_ms: int) -> None:
        nonlocal num_done, waited
        due = index.take_due(now_ms)
        assert due is not None
        waits = [now_ms / 1_000 - at[offset] for offset in due.offsets]
        index.covered(user, due.offsets[-1], now_ms, Failures())
        num_done += len(due.offsets)
        cuts.append(num_done)
        reasons.append(due.reason)
        oldest.append(waits[0])
        waited += sum(waits)

    for place, (event, moment) in enumerate(zip(events, at, strict=True)):
        due_at = index.next_due_at_ms()
        if due_at is not None and due_at <= moment * 1_000:
            take(due_at)
        raw, is_faint = msgspec.Raw(encode_event(event)), is_impression(evidence_of(event))
        arrival = Arrival(Origin("t", 0, place), int(moment * 1_000), estimate_event_tokens(event), "", raw, is_faint)
        index.admit(user, place, arrival, Known())
        due_at = index.next_due_at_ms()
        if due_at is not None and due_at <= int(moment * 1_000):
            take(int(moment * 1_000))
    return Watched(tuple(cuts), sum(reason != "age" for reason in reasons), tuple(oldest), waited)


def row_of(case: Case, people: Sequence[Person], films: Mapping[str, Any]) -> Row:
    """All people's events of a case, flushed and evolved."""
    number = NUM_RATINGS[case.stream.name]
    events = [events_of(case.stream, person, number, films) for person in people]
    at = [list(moments(case.habit, len(theirs), f"{SEED}:{who}")) for who, theirs in enumerate(events)]
    seen = [watched(theirs, when, case.policy) for theirs, when in zip(events, at, strict=True)]
    histories = [History(theirs[: one.cuts[-1]], one.cuts) for theirs, one in zip(events, seen, strict=True) if one.cuts]
    versions = asyncio.run(evolve_all(histories, Counting(), policy_of(load_profile("counting"))))
    num_flushes, num_events = sum(len(one.cuts) for one in seen), sum(one.cuts[-1] for one in seen if one.cuts)
    num_spared = sum(not version.num_calls for theirs in versions for version in theirs)
    found = Flushes(
        num_events / num_flushes,
        sum(one.num_by_size for one in seen) / num_flushes,
        statistics.mean(wait for one in seen for wait in one.oldest_seconds),
        sum(one.waited_seconds for one in seen) / num_events,
    )
    tokens = statistics.mean(estimate_event_tokens(event) for theirs in events for event in theirs)
    return Row(case, num_events, num_flushes, num_spared, tokens, found, flushes_of(case.habit, case.policy, tokens))


def measure(num_people: int, progress: Progress) -> Mapping[str, Any]:
    """All cases."""
    everybody = load_people()
    films = {one.item.id: one.item for person in everybody.values() for one in person.events if isinstance(one, Rating)}
    people = sorted(everybody.values(), key=lambda person: (-len(person.events), person.user))[:num_people]
    task, rows = progress.add_task("cases", total=len(CASES)), []
    for case in CASES:
        rows.append(row_of(case, people, films))
        progress.advance(task)
    console.print(table_of(rows))
    about = {"command": f"python -m benchmarks.flushes --people {num_people}", "at": datetime.now(UTC), "seed": SEED}
    return {**about, "people": num_people, "rows": rows}


def table_of(rows: Sequence[Row]) -> Table:
    """Found, and behind it what was foretold."""
    table = Table(title="found (foretold)", box=SIMPLE)
    for head in ("stream", "a visit", "age", "events a flush", "by size", "an event waits", "spared"):
        table.add_column(head, justify="left" if head == "stream" else "right", no_wrap=True)
    for row in rows:
        habit, found, foretold = row.case.habit, row.found, row.foretold
        table.add_row(
            row.case.stream.name,
            f"{habit.events_per_day / 3:.0f}, {human_seconds(habit.visit_seconds)}",
            human_seconds(row.case.policy.max_age_seconds),
            f"{found.events_per_flush:.1f} ({foretold.events_per_flush:.1f})",
            f"{found.size_share:.0%} ({foretold.size_share:.0%})",
            f"{human_seconds(found.event_seconds)} ({human_seconds(foretold.event_seconds)})",
            f"{row.num_spared / row.num_flushes:.0%}",
        )
    return table


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.flushes",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--people", type=int, default=40, help="whose events are published (default: %(default)s)")
    parser.add_argument("--look", action="store_true", help="show, and keep nothing")
    options = parser.parse_args()

    def measured_in(folder: Path, progress: Progress) -> Mapping[str, Any]:
        return measure(options.people, progress)

    return keep_results("flushes", options.look, measured_in)


if __name__ == "__main__":
    sys.exit(main())
