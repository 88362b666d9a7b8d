"""Flatness: whether a series of measurements grows, decided from its points alone.

A series is cut into windows, and of each its median is taken: a fault that is over within half a window leaves no trace in it.
Where faults take more of the time, of each window its lowest: what a fault heaps up and what is worked off again is no growth.
The slope is Theil and Sen's, the median of the slopes between all pairs of windows: as long as fewer than 29 % of them are
spoilt, it stays where it is. Its confidence interval is Sen's, which takes windows for independent. Memory steps up and stays,
so it is widened by how much neighbouring windows resemble each other (lag-1 autocorrelation *r*: times √((1 + r) ÷ (1 - r))).

It grows when that is certain, and may be more than the limit in an hour. It is flat when that is not so, and the whole interval
lies below a growth by the limit in the time that is judged. What is not shown either way is *unclear*.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from msgspec import Struct
from scipy import stats

Verdict = Literal["flat", "grows", "unclear", "too short"]
OfEach = Callable[[Sequence[float]], float]
"""What stands for the values of a window: ``statistics.median``, or ``min``."""

HOUR_SECONDS = 3_600.0
CONFIDENCE = 0.95
MIN_WINDOWS = 6  # with fewer, no slope at all can be told from none with that confidence
_MOST_ALIKE = 0.9


class Point(NamedTuple):
    """One measurement: seconds since the run began, and what was seen."""

    at_seconds: float
    value: float


class Limit(Struct, frozen=True):
    """How much a series may grow: so many percent of its median, or ``least`` if that is more."""

    percent: float
    least: float

    def when_certain(self, found: Trend) -> float:
        """The slope that is let pass: so much in an hour, or in the time that is judged, if that is longer."""
        return self._of(found) / max(1.0, found.hours)

    def when_flat(self, found: Trend) -> float:
        """The slope up to which an interval may reach: so much in the time that is judged."""
        return self._of(found) / found.hours

    def _of(self, found: Trend) -> float:
        return max(self.percent / 100 * found.median, self.least)


class Trend(Struct, frozen=True, kw_only=True):
    """How a series moved. Slopes are by the hour: the best guess, and the ends of its confidence interval."""

    hours: float
    median: float
    slope: float
    low: float
    high: float


def windows(points: Sequence[Point], seconds: float, of_each: OfEach = statistics.median) -> list[Point]:
    """One point for each window of so many seconds that has any, at the middle of its points."""
    found: defaultdict[int, list[Point]] = defaultdict(list)
    for point in points:
        found[int(point.at_seconds // seconds)].append(point)
    return [
        Point(statistics.fmean(one.at_seconds for one in group), of_each([one.value for one in group]))
        for _, group in sorted(found.items())
    ]


def trend(points: Sequence[Point], window_seconds: float, of_each: OfEach = statistics.median) -> Trend | None:
    """The trend of a series; None when it has too few windows."""
    found = windows(points, window_seconds, of_each)
    if len(found) < MIN_WINDOWS:
        return None
    hours = [one.at_seconds / HOUR_SECONDS for one in found]
    values = [one.value for one in found]
    slope, intercept, low, high = map(float, stats.theilslopes(values, hours, CONFIDENCE))
    wider = _widening([value - intercept - slope * at for at, value in zip(hours, values, strict=True)])
    return Trend(
        hours=len(found) * window_seconds / HOUR_SECONDS,
        median=statistics.median(values),
        slope=slope,
        low=slope - wider * (slope - low),
        high=slope + wider * (high - slope),
    )


def _widening(residuals: Sequence[float]) -> float:
    """By how much an interval has to be widened because neighbours are alike; 1 when they are not."""
    mean = statistics.fmean(residuals)
    spread = sum((one - mean) ** 2 for one in residuals)
    if spread == 0:
        return 1.0
    alike = sum((a - mean) * (b - mean) for a, b in pairwise(residuals)) / spread
    # Of n values the estimate is too low by about (1 + 3r) ÷ n.
    alike = min(_MOST_ALIKE, max(0.0, alike + (1 + 3 * max(0.0, alike)) / len(residuals)))
    return math.sqrt((1 + alike) / (1 - alike))


def verdict(found: Trend | None, limit: Limit) -> Verdict:
    """What the interval says, held against the limit."""
    if found is None:
        return "too short"
    if found.low > 0 and found.high > limit.when_certain(found):
        return "grows"
    return "flat" if found.high <= limit.when_flat(found) else "unclear"


def smallest_told(found: Trend, limit: Limit) -> float:
    """The smallest further growth, by the hour, with which this very series would have been said to grow.

    A ramp that is added to a series moves its slope, and both ends of the interval, by itself.
    """
    return max(limit.when_certain(found) - found.high, -found.low, 0.0)
