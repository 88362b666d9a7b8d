"""Dates: how long before the newest event the others happened, where that tells something (evidence → **dates** → prompt).

Most updates cover a sitting, and a date on each line of it would be noise that costs tokens. Where something lies a month and
more back, because somebody was away or a platform loads its history, the events stand in order of time under one line for each
age, and a line says how far back the old summary reaches. Ages count from the newest event that is known: there is no clock,
and the same events make the same prompt on any day. Numbers are words, because small models take digits for ratings.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

TOLD_AFTER_DAYS = 30
"""Nothing is said of time where nothing lies further back."""

_DAY_SECONDS = 86_400
_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven")
_UNITS = (("year", 365), ("month", 30.42), ("week", 7), ("day", 1))
_NEWEST = "newest"
_AGE = rf"(?:{'|'.join((*_NUMBERS, 'many'))}) (?:{'|'.join(unit for unit, _ in _UNITS)})s? earlier"
_HEADING = re.compile(rf"(?:{_NEWEST}|{_AGE}):|old summary: {_AGE}")


def dated(lines: Sequence[str], ats_seconds: Sequence[float], covered_at_seconds: float | None = None) -> list[str]:
    """The lines of events, which happened at these times (seconds since 1970), under their ages where these tell something.

    ``covered_at_seconds`` is the time of the newest event that the old summary covers; ``None`` where there is none.
    """
    covered = [] if covered_at_seconds is None else [covered_at_seconds]
    newest = max((*ats_seconds, *covered), default=0.0)
    if not lines or _days(newest, min((*ats_seconds, *covered))) <= TOLD_AFTER_DAYS:
        return list(lines)
    in_time = sorted(zip(ats_seconds, lines, strict=True), key=lambda event: event[0])
    told = [(_age(newest, at), line) for at, line in in_time if line]
    away = [f"old summary: {_age(newest, at)}" for at in covered if _days(newest, at) > TOLD_AFTER_DAYS]
    return away + [line for age, group in groupby(told, lambda one: one[0]) for line in (f"{age}:", *(two[1] for two in group))]


def is_heading(line: str) -> bool:
    """Whether the line is one that :func:`dated` adds: no event reads like it, which has a title or the person's words."""
    return _HEADING.fullmatch(line) is not None


def _days(newest: float, at: float) -> int:
    return int((newest - at) // _DAY_SECONDS)


def _age(newest: float, at: float) -> str:
    """``three months earlier``, in the largest unit of which there is one, rounded down."""
    days = _days(newest, at)
    for unit, length in _UNITS:
        if number := int(days // length):
            spelt = _NUMBERS[number - 1] if number <= len(_NUMBERS) else "many"
            return f"{spelt} {unit}{'s' if number > 1 else ''} earlier"
    return _NEWEST
