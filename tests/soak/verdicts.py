"""Verdicts: what was measured in a run, series by series, and whether it is flat; from the run alone.

Resources are those of the worker that stays, whose series is its whole life; lag and age are of all.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from msgspec import Struct

from tests.soak.flatness import Limit, OfEach, Point, Trend, Verdict, smallest_told, trend, verdict
from tests.soak.looks import Look, Sample
from tests.soak.run import Run

WINDOW_SECONDS = 60.0

Value = float | None


class Measure(Struct, frozen=True):
    """A series that is judged: ``of`` picks its points out of the samples, given the worker that stays."""

    name: str
    unit: str
    limit: Limit
    of: Callable[[Sequence[Sample], str], list[Point]]
    of_each: OfEach = statistics.median


class Row(Struct, frozen=True, kw_only=True):
    """One series, judged.

    ``limit``: up to which slope the interval may reach. ``told``: the smallest further growth that this run would have told.
    """

    name: str
    unit: str
    verdict: Verdict
    limit: float | None
    trend: Trend | None
    told: float | None


def of_worker(samples: Sequence[Sample], worker: str, value: Callable[[Look], Value]) -> list[Point]:
    """One worker's series."""
    found = ((one.at_seconds, value(look)) for one in samples for look in one.looks if look.worker == worker)
    return [Point(at, value) for at, value in found if value is not None]


def oldest(samples: Sequence[Sample]) -> list[Point]:
    """The age of the oldest pending event of any worker that knows."""
    found = (
        (one.at_seconds, [look.oldest_seconds for look in one.looks if look.oldest_seconds is not None]) for one in samples
    )
    return [Point(at, max(ages)) for at, ages in found if ages]


def unread(samples: Sequence[Sample]) -> list[Point]:
    """The lag of the group, whenever the broker said it."""
    return [Point(one.at_seconds, one.num_unread) for one in samples if one.num_unread is not None]


def unaccounted(samples: Sequence[Sample]) -> list[Point]:
    """What each look at a worker that knew could not account for."""
    return [Point(one.at_seconds, look.unaccounted) for one in samples for look in one.looks if look.unaccounted is not None]


def _own(value: Callable[[Look], Value]) -> Callable[[Sequence[Sample], str], list[Point]]:
    return lambda samples, stays: of_worker(samples, stays, value)


MEASURES = (
    Measure("memory (RSS)", "MiB", Limit(percent=10, least=4), _own(lambda look: look.rss_mib)),
    Measure("open handles", "", Limit(percent=10, least=4), _own(lambda look: look.num_handles)),
    Measure("threads", "", Limit(percent=10, least=2), _own(lambda look: look.num_threads)),
    Measure("tables on disk", "MiB", Limit(percent=20, least=4), _own(lambda look: look.disk_mib)),
    # Faults heap up a lag, and it is worked off: what counts is what is left in every minute's best moment.
    Measure("lag, lowest of a minute", "records", Limit(percent=20, least=50), lambda samples, _: unread(samples), min),
    Measure("oldest pending event, same", "s", Limit(percent=20, least=1), lambda samples, _: oldest(samples), min),
)


def rows(run: Run) -> list[Row]:
    """Every series, judged over the time after the warm-up."""
    return [_row(measure, run) for measure in MEASURES]


def judged_points(measure: Measure, run: Run) -> list[Point]:
    """The points that count."""
    return [point for point in measure.of(run.samples, run.stays) if point.at_seconds >= run.warm_up_seconds]


def _row(measure: Measure, run: Run) -> Row:
    found = trend(judged_points(measure, run), WINDOW_SECONDS, measure.of_each)
    return Row(
        name=measure.name,
        unit=measure.unit,
        verdict=verdict(found, measure.limit),
        limit=None if found is None else measure.limit.when_flat(found),
        trend=found,
        told=None if found is None else smallest_told(found, measure.limit),
    )


def problems(run: Run) -> list[str]:
    """Everything that is wrong, in words; what a run is too short for is not wrong."""
    found = [f"{row.name} {row.verdict}" for row in rows(run) if row.verdict in ("grows", "unclear")]
    wrong = [point for point in unaccounted(run.samples) if point.value]
    if wrong:
        at, value = wrong[0]
        found.append(
            f"the accounts of a worker did not balance {len(wrong)} times, first after {at:.0f} s, by {value:.0f} events"
        )
    if run.stayed_ends:
        found.append(f"{run.stays}, which nobody ended, ended with {', '.join(map(str, run.stayed_ends))}")
    if run.accounts is not None:
        found += run.accounts.findings
    return [*found, run.problem] if run.problem else found
