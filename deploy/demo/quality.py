"""The quality so far: whether each summary, while it was in force, told which of two films its person would rate higher.

The worker counts the same of choices (``streams/quality.py``), and nobody chooses here: people rate. So what a person rates
after a version and up to the next one is made into pairs, two stars or more apart, each rating in one pair at most, and the
better film is what was taken. A version knows no rating that is later than its last event, so no pair tests what it has learnt.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
from msgspec import Struct

from deploy.demo.movielens import Film, PastRating
from evaluation.intervals import Interval, interval
from prefstream.events import Choice, Item
from prefstream.summaries import Summary
from streams.quality import Verdict, verdict_on

_STARS_APART = 2
_WORTH: dict[Verdict, float] = {"right": 1.0, "silent": 0.5, "wrong": 0.0}
_SEED = 1  # of the intervals


class Quality(Struct, frozen=True):
    """``told``: the share of pairs (percent) that the summaries told apart; right answers among these, and among all.

    Where nothing is told the answer is half right. None: there was no pair.
    """

    told: float = 0.0
    of_told: Interval | None = None
    of_all: Interval | None = None


def quality_so_far(versions: Mapping[str, Sequence[Summary]], ratings: Sequence[PastRating]) -> Quality:
    """Of everybody's versions, in their order, and all ratings in order of time."""
    rated = defaultdict(list)
    for rating in ratings:
        rated[str(rating.user)].append(rating)
    found = [(user, verdict) for user, theirs in sorted(versions.items()) for verdict in _verdicts(theirs, rated[user])]
    told = [(user, verdict) for user, verdict in found if verdict != "silent"]
    return Quality(100.0 * len(told) / max(len(found), 1), _right(told), _right(found))


def _right(found: Sequence[tuple[str, Verdict]]) -> Interval | None:
    worth = np.array([_WORTH[verdict] for _, verdict in found])
    return interval(worth, [user for user, _ in found], _SEED) if found else None


def _verdicts(versions: Sequence[Summary], rated: Sequence[PastRating]) -> Iterator[Verdict]:
    ends = [int(version.last_event_at.timestamp()) if version.last_event_at else 0 for version in versions]
    last = rated[-1].at_seconds if rated else 0
    for version, (begin, end) in zip(versions, pairwise([*ends, last]), strict=True):
        coming = [rating for rating in rated if begin < rating.at_seconds <= end]
        for better, worse in _pairs(coming):
            yield verdict_on(version.text, _choice(better, worse))


def _pairs(coming: Sequence[PastRating]) -> Iterator[tuple[PastRating, PastRating]]:
    """The best with the worst, the next best with the next worst, as long as they are far enough apart."""
    ranked = sorted(coming, key=lambda rating: -rating.stars)
    for better, worse in zip(ranked[: len(ranked) // 2], reversed(ranked), strict=False):
        if better.stars - worse.stars >= _STARS_APART:
            yield better, worse


def _choice(better: PastRating, worse: PastRating) -> Choice:
    at = datetime.fromtimestamp(better.at_seconds, UTC)
    return Choice(user=str(better.user), at=at, domain="films", chosen=_item(better.film), rejected=(_item(worse.film),))


def _item(film: Film) -> Item:
    return Item(id=str(film.id), title=film.title, attributes={"genre": film.genres})
