"""Comparison: how the texts of a shadow differ from the published ones, over everybody who is looked at.

What is compared are words. Which of two texts tells more of a person, no count of words says: that is a question for
``evaluation/``, for the workers' metric of live quality, and for whoever reads the examples.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Iterable
from statistics import fmean, quantiles

from msgspec import Struct, field

from prefstream.rebuild.sides import Pair
from prefstream.rebuild.standings import rank_of, standing_of

_title = re.compile(r'"([^"]+)"')
_word = re.compile(r"\w+")
_MAX_TITLES = 5


class Lengths(Struct, frozen=True):
    """Tokens of the texts of one side: the mean, half of them have at most ``median``, nineteen of twenty at most ``most``."""

    mean: float = 0.0
    median: float = 0.0
    most: float = 0.0


class Example(Struct, frozen=True):
    """Somebody's published text and the shadow's, of how many events each."""

    user: str
    tenant: str
    live: str
    shadow: str
    num_live_events: int
    num_shadow_events: int


class Comparison(Struct, frozen=True, kw_only=True):
    """What was found of the users with a text on both sides.

    Lengths, how many texts differ and how much, which titles come and go, and how many events of the published texts the shadow
    knows. ``num_same_model`` of the texts that differ are by one model: they are not promoted. ``words_kept`` is the mean share
    of the published text's distinct words that the shadow's has too, where they differ.
    """

    num_users: int
    standings: dict[str, int]
    num_in_both: int
    num_differ: int
    num_same_model: int
    words_kept: float
    live_tokens: Lengths
    shadow_tokens: Lengths
    num_live_events: int
    num_shadow_events: int
    num_titles_kept: int
    num_titles_gone: int
    num_titles_new: int
    often_gone: dict[str, int]
    often_new: dict[str, int]
    examples: tuple[Example, ...] = field(default_factory=tuple)


class Comparing:
    """Folds one user after the other; ``num_examples`` of those whose texts differ are kept, the same ones each time."""

    def __init__(self, num_examples: int, min_known: float = 1.0) -> None:
        self._num_examples = num_examples
        self._min_known = min_known
        self._standings: Counter[str] = Counter()
        self._live: list[int] = []
        self._shadow: list[int] = []
        self._kept: list[float] = []
        self._gone: Counter[str] = Counter()
        self._new: Counter[str] = Counter()
        self._num_titles_kept = 0
        self._num_same_model = 0
        self._num_events = [0, 0]
        self._examples: list[tuple[float, Example]] = []

    def add(self, pair: Pair) -> None:
        """The next user."""
        live, shadow = pair.live, pair.shadow
        standing = standing_of(live, shadow, pair.took_back, self._min_known)
        self._standings[standing] += 1
        if shadow is None:
            return
        self._live.append(live.tokens)
        self._shadow.append(shadow.tokens)
        self._num_events[0] += live.num_events
        self._num_events[1] += min(live.num_events, shadow.num_events)
        if live.text == shadow.text:
            return
        self._num_same_model += standing == "same"
        self._kept.append(_share_kept(live.text, shadow.text))
        self._compare_titles(set(_title.findall(live.text)), set(_title.findall(shadow.text)))
        example = Example(live.user, live.tenant, live.text, shadow.text, live.num_events, shadow.num_events)
        heapq.heappush(self._examples, (-rank_of(pair.key), example))
        if len(self._examples) > self._num_examples:
            heapq.heappop(self._examples)

    def _compare_titles(self, old: set[str], new: set[str]) -> None:
        self._num_titles_kept += len(old & new)
        self._gone.update(old - new)
        self._new.update(new - old)

    def found(self) -> Comparison:
        """What all of them come to."""
        return Comparison(
            num_users=self._standings.total(),
            standings=dict(self._standings),
            num_in_both=len(self._live),
            num_differ=len(self._kept),
            num_same_model=self._num_same_model,
            words_kept=fmean(self._kept) if self._kept else 1.0,
            live_tokens=_lengths(self._live),
            shadow_tokens=_lengths(self._shadow),
            num_live_events=self._num_events[0],
            num_shadow_events=self._num_events[1],
            num_titles_kept=self._num_titles_kept,
            num_titles_gone=self._gone.total(),
            num_titles_new=self._new.total(),
            often_gone=dict(self._gone.most_common(_MAX_TITLES)),
            often_new=dict(self._new.most_common(_MAX_TITLES)),
            examples=tuple(example for _, example in sorted(self._examples, key=lambda one: -one[0])),
        )


def compare(pairs: Iterable[Pair], num_examples: int, min_known: float = 1.0) -> Comparison:
    """The comparison of these users."""
    comparing = Comparing(num_examples, min_known)
    for pair in pairs:
        comparing.add(pair)
    return comparing.found()


def _share_kept(old: str, new: str) -> float:
    before, after = (set(_word.findall(text.lower())) for text in (old, new))
    return len(before & after) / len(before) if before else 1.0


def _lengths(tokens: list[int]) -> Lengths:
    if not tokens:
        return Lengths()
    parts = quantiles(tokens, n=20, method="inclusive") if len(tokens) > 1 else tokens * 19
    return Lengths(fmean(tokens), parts[9], parts[18])
