"""How many events a flush takes, and how long they wait: the mixture of size and age, by how people come and go.

Place: below the plan. A person's events come in visits: within one at random moments (Poisson), and visits and the pauses
between them have random lengths (exponential). So after each event the future is the same, whatever was before, and flushes
are a renewal process: a flush begins with an event and takes those that follow it within the age, up to the size. The number of
calls a day is the number of events a day divided by what a flush takes on average; that is exact for such people, however long
or short the age is beside a visit. Without pauses it is the plain Poisson case.

The gap between two events has a simple Laplace transform, and so has all that is asked here: with it to the power of k, the
moment of the k-th event. It is inverted by the Fourier series of Abate and Whitt (1995), with Euler's summation.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from msgspec import Struct

_DAY = 86_400.0


class Habit(Struct, frozen=True):
    """How an active person publishes: events and visits a day, seconds of a visit, the share of events that are impressions."""

    events_per_day: float
    visits_per_day: float
    visit_seconds: float
    impression_share: float = 0.0

    @property
    def pause_seconds(self) -> float:
        """Between two visits; 0 for who never leaves."""
        return max(0.0, _DAY / self.visits_per_day - self.visit_seconds)

    @property
    def events_per_second(self) -> float:
        """Within a visit."""
        return self.events_per_day / min(_DAY, self.visits_per_day * self.visit_seconds)


class Policy(Struct, frozen=True):
    """When a user is due, as the settings say it (``PREFSTREAM_FLUSH_...``, ``PREFSTREAM_IMPRESSIONS_PER_EVENT``)."""

    max_events: int = 20
    max_tokens: int = 1_200
    max_age_seconds: float = 60.0
    impressions_per_event: int = 5

    def num_events(self, impression_share: float, event_tokens: float) -> int:
        """Which event makes a flush due by its size: so many impressions count as one event, of tokens too."""
        by_tokens = max(1, math.ceil(self.max_tokens / event_tokens))
        weight = 1 - impression_share * (1 - 1 / self.impressions_per_event)
        return max(1, math.ceil(min(self.max_events, by_tokens) / weight - 1e-9))


class Flushes(Struct, frozen=True):
    """The flushes of one active person, on average: how long the first event of one waits, and how long any (seconds)."""

    events_per_flush: float
    size_share: float
    oldest_seconds: float
    event_seconds: float


def flushes_of(habit: Habit, policy: Policy, event_tokens: float) -> Flushes:
    """What a flush takes of such a person's events. ``event_tokens`` is the mean of the worker's estimate."""
    most, age = policy.num_events(habit.impression_share, event_tokens), policy.max_age_seconds

    def is_full(s: complex) -> complex:
        return _gap(habit, s) ** (most - 1)

    def come(s: complex, most: int) -> complex:
        """The transform of how many events have come, the first included, and at most so many."""
        gap = _gap(habit, s)
        return sum(gap**number for number in range(most))

    by_size = _between(_at(age, lambda s: is_full(s) / s), 0, 1)
    taken = _between(_at(age, lambda s: come(s, most) / s), 1, most)
    oldest = _between(_at(age, lambda s: (1 - is_full(s)) / s**2), 0, age)
    waited = _between(_at(age, lambda s: (come(s, most - 1) - (most - 1) * is_full(s)) / s**2), 0, oldest * taken)
    return Flushes(taken, by_size, oldest, waited / taken)


def _gap(habit: Habit, s: complex) -> complex:
    """The Laplace transform of the seconds from an event to the next, with all pauses between them."""
    event, pause = habit.events_per_second, habit.pause_seconds
    leave = 1 / habit.visit_seconds if pause else 0.0
    back = 1 / (1 + s * pause)
    return event / (event + s + leave * (1 - back))


# Where the series is cut, and over how many of its sums it is averaged: errors are below a millionth here.
_NUM_TERMS, _NUM_SUMS, _DECAY = 60, 14, 18.4


def _at(seconds: float, transform: Callable[[complex], complex]) -> float:
    """The function of time with this Laplace transform, at this time."""
    terms = [
        (1 - 2 * (k % 2)) * transform(complex(_DECAY, 2 * math.pi * k) / (2 * seconds)).real
        for k in range(_NUM_TERMS + _NUM_SUMS + 1)
    ]
    sums, total = [], terms[0] / 2
    for term in terms[1:]:
        total += term
        sums.append(total)
    tail = sums[-_NUM_SUMS - 1 :]
    mean = sum(math.comb(_NUM_SUMS, k) * one for k, one in enumerate(tail)) / 2.0**_NUM_SUMS
    return math.exp(_DECAY / 2) / seconds * mean


def _between(value: float, least: float, most: float) -> float:
    """Within its bounds, from which the inversion may be off by a millionth."""
    return min(max(value, least), most)
