"""Weights: what one event adds to what was counted, and how that fades (evidence → **weights** → tally).

Evidence fades by the further events of its domain, not by the calendar. What comes *late*, far behind the newest event of its
domain, is no news: it makes nothing else fade, counts as if many events had come since, and where something newer is known it
may take back half of that at most. So a backfill adds to a taste and never turns it round.
"""

from __future__ import annotations

import math

from msgspec import Struct

from prefstream.events import Item
from prefstream.summaries import Mention, Weight
from streams.evidence import Evidence

_DAY_SECONDS = 86_400


class TallyPolicy(Struct, frozen=True):
    """How long evidence counts and how much is kept; strengths are shares of the strongest evidence.

    After ``half_life_events`` further events of its domain evidence counts half. An item felt about with ``strong`` (above 0)
    or more is a favourite or a dislike, and gives way to one felt about half as strongly after ``title_half_life_events``
    further events; what was left for a choice counts ``left`` times as much as the choice, all of it together.

    An event is late when its day is more than ``late_after_days`` before the newest of its domain. It counts as if
    ``late_events`` had come since; against something newer it takes back at most the share ``late_against`` of that.

    ``max_attributes`` is at least ``max_attributes_per_item``; a quote has ``min_quote_words`` or is not worth repeating.
    """

    half_life_events: float = 50.0
    title_half_life_events: float = 30.0
    strong: float = 0.5
    left: float = 0.5
    late_after_days: int = 7
    late_events: int = 50
    late_against: float = 0.5
    max_domains: int = 8
    max_attributes: int = 48
    max_attributes_per_item: int = 12
    max_favourites: int = 12
    max_dislikes: int = 6
    max_searches: int = 3
    max_quotes: int = 2
    min_quote_words: int = 4
    max_words_chars: int = 100

    def kept_after(self, num_events: int) -> float:
        """The share that evidence counts after so many further events of its domain."""
        return math.pow(0.5, num_events / self.half_life_events)


DEFAULT_POLICY = TallyPolicy()
_MAX_REJECTED = 20


class Touch(Struct, frozen=True):
    """What one event says about one item, on its ``day`` since 1970; ``share`` is the part of an event it counts for."""

    item: Item
    strength: float
    share: float
    taken: bool
    day: int


def touches(event: Evidence, policy: TallyPolicy = DEFAULT_POLICY) -> list[Touch]:
    """What the event says about each of its items, of those that were left about the first twenty."""
    # Evidence already halves the strength of what the platform put forward itself.
    share, day = 0.5 if event.recommended else 1.0, day_of(event)
    rejected = event.rejected[:_MAX_REJECTED]
    if event.chosen is None:
        return [Touch(item, event.strength, share, False, day) for item in rejected]
    chosen = Touch(event.chosen, event.strength, share, not event.recommended, day)
    part = policy.left / len(rejected) if rejected else 0.0
    return [chosen, *(Touch(item, -part * event.strength, part * share, False, day) for item in rejected)]


def day_of(event: Evidence) -> int:
    """The day of the event since 1970, in UTC; what is dated earlier is of the first."""
    return max(0, int(event.at_seconds // _DAY_SECONDS))


def is_behind(day: int, newest_day: int, policy: TallyPolicy = DEFAULT_POLICY) -> bool:
    """Whether what is of this day is no news any more, where something of the ``newest_day`` is known."""
    return newest_day - day > policy.late_after_days


def decayed(weight: Weight, now: int, policy: TallyPolicy = DEFAULT_POLICY) -> Weight:
    """The weight as it counts at the domain's event number ``now``."""
    kept = policy.kept_after(now - weight.at_event)
    return Weight(weight.liked * kept, weight.disliked * kept, weight.met * kept, weight.taken * kept, now, weight.last_day)


def touched(weight: Weight, touch: Touch, now: int, policy: TallyPolicy) -> Weight:
    """The weight with what an event in its time says, at the domain's event number ``now``, which is this event's."""
    return _plus(decayed(weight, now, policy), touch, 1.0, now)


def touched_late(weight: Weight, touch: Touch, now: int, policy: TallyPolicy) -> Weight:
    """The weight with what a late event says, at the domain's event number ``now``, which no late event makes rise."""
    counts = policy.kept_after(policy.late_events)
    if not is_behind(touch.day, weight.last_day, policy):
        # As behind any event: or a backfill would grow as heavy as it is long.
        return _plus(decayed(weight, now + 1, policy), touch, counts, now)
    faded = decayed(weight, now, policy)
    return _plus(faded, touch, min(counts, _room(faded, touch, policy)), now)


def without(weight: Weight, bought: Mention, now: int, policy: TallyPolicy) -> Weight:
    """The weight without a purchase, which has faded as much since."""
    faded, kept = decayed(weight, now, policy), policy.kept_after(now - bought.at_event)
    return Weight(
        liked=rounded(max(0.0, faded.liked - bought.strength * kept)),
        disliked=rounded(faded.disliked),
        met=rounded(max(0.0, faded.met - kept)),
        taken=rounded(max(0.0, faded.taken - kept)),
        at_event=now,
        last_day=weight.last_day,
    )


def _room(faded: Weight, touch: Touch, policy: TallyPolicy) -> float:
    """How many events like this late one may still be added where newer evidence is known."""
    balance = faded.liked - faded.disliked
    if touch.strength * balance < 0:
        newer, older = max(faded.liked, faded.disliked), min(faded.liked, faded.disliked)
        return max(0.0, policy.late_against * newer - older) / abs(touch.strength)
    # The weight of late events without end where nothing newer is known.
    heaviest = policy.kept_after(policy.late_events) / (1.0 - policy.kept_after(1))
    return 1.0 if faded.met < heaviest else 0.0


def _plus(faded: Weight, touch: Touch, times: float, at_event: int) -> Weight:
    return Weight(
        liked=rounded(faded.liked + times * max(touch.strength, 0.0)),
        disliked=rounded(faded.disliked + times * max(-touch.strength, 0.0)),
        met=rounded(faded.met + times * touch.share),
        taken=rounded(faded.taken + (times * touch.share if touch.taken else 0.0)),
        at_event=at_event,
        last_day=max(faded.last_day, touch.day),
    )


def rounded(value: float) -> float:
    """The number as a tally stores it."""
    return round(value, 4)
