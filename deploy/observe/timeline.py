"""The timeline: when each alert was pending, fired and cleared, beside what was done, and whether that is as it should be.

Place in the flow: behind the play, which hands it Prometheus' own record of its alerts. Pure; instants are seconds since the
play began.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal

from msgspec import Struct

State = Literal["pending", "firing"]
_GENERAL = ("__name__", "alertname", "alertstate", "job", "severity")  # what is left of the labels says who or what it is about


class Episode(Struct, frozen=True):
    """One time that an alert was not inactive; ``about`` tells it from others of the same name, as by a worker's name.

    ``firing_at`` is None if it never fired, ``cleared_at`` None if it had not cleared at the end.
    """

    alert: str
    about: str
    severity: str
    pending_at: float
    firing_at: float | None
    cleared_at: float | None

    @property
    def name(self) -> str:
        """The alert, and what it is about."""
        return f"{self.alert} ({self.about})" if self.about else self.alert

    def reached(self, state: State) -> float | None:
        """When it was first so."""
        return self.pending_at if state == "pending" else self.firing_at


class Expected(Struct, frozen=True):
    """An alert that the step ``cause`` must lead to and the step ``remedy`` must clear, each within so many seconds."""

    alert: str
    cause: str
    within_seconds: float
    remedy: str
    clears_within_seconds: float
    state: State = "firing"


def episodes(found: Sequence[Mapping[str, Any]], began: float, ended: float, step_seconds: float) -> list[Episode]:
    """The episodes in the answer to a range query of ``ALERTS``, in order; ``began`` and ``ended`` as Prometheus' clock says.

    What lasted to within a step of the end had not cleared.
    """
    states: dict[tuple[tuple[str, str], ...], dict[float, str]] = {}
    for series in found:
        labels = series["metric"]
        alert = tuple(sorted((name, value) for name, value in labels.items() if name != "alertstate"))
        points = states.setdefault(alert, {})
        for at, _ in series["values"]:
            # Where both are told of one instant, it has just begun to fire.
            points[float(at)] = "firing" if points.get(float(at)) == "firing" else labels["alertstate"]
    told = [
        _episode(dict(alert), run, points, (began, ended), step_seconds)
        for alert, points in states.items()
        for run in _runs(sorted(points), step_seconds)
    ]
    return sorted(told, key=lambda one: (one.pending_at, one.name))


def _runs(instants: Sequence[float], step_seconds: float) -> Iterator[list[float]]:
    """Instants that follow each other without a gap."""
    run = [instants[0]]
    for before, at in pairwise(instants):
        if at - before > 1.5 * step_seconds:
            yield run
            run = []
        run.append(at)
    yield run


def _episode(
    labels: Mapping[str, str],
    run: Sequence[float],
    states: Mapping[float, str],
    bounds: tuple[float, float],
    step_seconds: float,
) -> Episode:
    began, ended = bounds
    firing = next((at for at in run if states[at] == "firing"), None)
    about = ", ".join(value for name, value in labels.items() if name not in _GENERAL)
    return Episode(
        labels["alertname"],
        about,
        labels.get("severity", ""),
        run[0] - began,
        None if firing is None else firing - began,
        None if run[-1] > ended - 1.5 * step_seconds else run[-1] + step_seconds - began,
    )


def faults(expected: Iterable[Expected], seen: Sequence[Episode], done: Mapping[str, float]) -> list[str]:
    """What is not as it should be, a sentence each; ``done`` says when each step was done.

    What should come and did not, came late, did not clear or cleared late; and whatever fired beside it.
    """
    wanted = list(expected)
    explained: set[str] = set()
    found: list[str] = []
    for one in wanted:
        episode = _caused(one, seen, done)
        if episode is None:
            found.append(f"{one.alert} was not {one.state} within {one.within_seconds:g} s of {one.cause!r}")
            continue
        explained.add(f"{episode.name} {episode.pending_at}")
        found += _not_cleared(one, episode, done)
    for episode in seen:
        if episode.firing_at is not None and f"{episode.name} {episode.pending_at}" not in explained:
            found.append(f"{episode.name} fired at {clock(episode.firing_at)}, and nothing that was done should lead to it")
    return found


def _caused(wanted: Expected, seen: Iterable[Episode], done: Mapping[str, float]) -> Episode | None:
    """The episode that is what was expected."""
    if wanted.cause not in done:
        return None
    for episode in seen:
        at = episode.reached(wanted.state)
        if episode.alert == wanted.alert and at is not None and 0 <= at - done[wanted.cause] <= wanted.within_seconds:
            return episode
    return None


def _not_cleared(wanted: Expected, episode: Episode, done: Mapping[str, float]) -> Iterator[str]:
    if episode.cleared_at is None:
        yield f"{episode.name} had not cleared at the end"
    elif (late := episode.cleared_at - done.get(wanted.remedy, 0.0)) > wanted.clears_within_seconds:
        yield f"{episode.name} cleared {late:.0f} s after {wanted.remedy!r}, not within {wanted.clears_within_seconds:g} s"


class Moment(Struct, frozen=True):
    """A line of the timeline. ``change`` is empty for what was done; ``after`` says how long behind its cause it came."""

    at_seconds: float
    change: Literal["", "pending", "firing", "cleared"]
    words: str
    after: str = ""


def moments(
    done: Mapping[str, float], captions: Mapping[str, str], seen: Iterable[Episode], expected: Iterable[Expected]
) -> list[Moment]:
    """The whole timeline, in order: each step by its caption, and each change of an alert."""
    told = [Moment(at, "", captions[name]) for name, at in done.items()]
    wanted = list(expected)
    for episode in seen:
        told += _changes(episode, next((one for one in wanted if _caused(one, [episode], done)), None), done)
    return sorted(told, key=lambda moment: (moment.at_seconds, moment.change != ""))


def _changes(episode: Episode, wanted: Expected | None, done: Mapping[str, float]) -> Iterator[Moment]:
    def after(at: float, step: str) -> str:
        return f"{at - done[step]:.0f} s after “{step}”" if step in done and at >= done[step] else ""

    cause, remedy = (wanted.cause, wanted.remedy) if wanted else ("", "")
    named = f"{episode.name}, {episode.severity}" if episode.severity else episode.name
    if episode.firing_at is None or episode.pending_at < episode.firing_at:
        yield Moment(episode.pending_at, "pending", named, after(episode.pending_at, cause))
    if episode.firing_at is not None:
        yield Moment(episode.firing_at, "firing", named, after(episode.firing_at, cause))
    if episode.cleared_at is not None:
        never = "" if episode.firing_at is not None else "never fired"
        yield Moment(episode.cleared_at, "cleared", named, never or after(episode.cleared_at, remedy))


def clock(seconds: float) -> str:
    """Minutes and seconds since the beginning, as in ``04:07``."""
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"
