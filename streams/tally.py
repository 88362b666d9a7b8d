"""Tally: the evidence counted by code, beside the text (evidence → **tally** → prompt, and the check on a model's claims).

Folding is exact: events folded in any chunks, with the tally stored in between or not, give the same bytes. So every bound
is kept per event, numbers are rounded as they are stored, and an entry decays only when it is touched, by the events since.
What comes late (:mod:`streams.weights`) stands behind whatever is newer, in the lists too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import reduce

from msgspec import Struct
from msgspec.structs import replace

from prefstream.events import Item
from prefstream.summaries import DomainTally, Mention, Tally, Weight
from streams.evidence import PURCHASE_STRENGTH, Evidence
from streams.evolution.prose import KINDS, MAX_ATTRIBUTE_CHARS, MAX_TITLE_CHARS, Claims, Section, quotable
from streams.weights import (
    DEFAULT_POLICY,
    TallyPolicy,
    Touch,
    day_of,
    decayed,
    is_behind,
    rounded,
    touched,
    touched_late,
    touches,
    without,
)

_MAX_ITEM_ID_CHARS = 120


def fold(tally: Tally, evidence: Iterable[Evidence], policy: TallyPolicy = DEFAULT_POLICY) -> Tally:
    """The tally with the evidence counted, in order; ``fold(fold(t, a), b)`` equals ``fold(t, a + b)`` to the byte."""
    return reduce(lambda before, event: _count(before, event, policy), evidence, tally)


def _count(tally: Tally, event: Evidence, policy: TallyPolicy) -> Tally:
    name = quotable(event.domain, MAX_ATTRIBUTE_CHARS)
    before = tally.domains.get(name, DomainTally())
    domains = tally.domains | {name: _count_in_domain(before, event, policy)}
    if len(domains) > policy.max_domains:
        del domains[min(domains.keys() - {name}, key=lambda other: (domains[other].num_events, other))]
    return Tally(tally.num_events + 1, domains)


def _count_in_domain(domain: DomainTally, event: Evidence, policy: TallyPolicy) -> DomainTally:
    day = day_of(event)
    is_late = is_behind(day, domain.newest_day, policy)
    if not is_late:
        domain = replace(domain, num_events=domain.num_events + 1, newest_day=max(day, domain.newest_day))
    domain = _with_words(domain, event, is_late, policy)
    if event.kind == "purchase" and event.chosen is None:
        domain = reduce(lambda before, item: _without_purchase(before, item, day, policy), event.rejected, domain)
    return reduce(lambda before, touch: _count_touch(before, touch, is_late, policy), touches(event, policy), domain)


def _with_words(domain: DomainTally, event: Evidence, is_late: bool, policy: TallyPolicy) -> DomainTally:
    """The domain with what the person asked for or wrote."""
    listed = _last if is_late else _first
    if event.kind in ("search", "choice") and event.query:
        return replace(domain, searches=listed(event.query, domain.searches, policy.max_searches, policy))
    if len(event.quote.split()) >= policy.min_quote_words:
        return replace(domain, quotes=listed(event.quote, domain.quotes, policy.max_quotes, policy))
    return domain


def _first(text: str, before: tuple[str, ...], most: int, policy: TallyPolicy) -> tuple[str, ...]:
    words = quotable(text, policy.max_words_chars)
    if not words:
        return before
    return (words, *(other for other in before if other.casefold() != words.casefold()))[:most]


def _last(text: str, before: tuple[str, ...], most: int, policy: TallyPolicy) -> tuple[str, ...]:
    """With what came late, where there is room behind the newer ones."""
    words = quotable(text, policy.max_words_chars)
    if not words or words.casefold() in map(str.casefold, before):
        return before
    return (*before, words)[:most]


def _without_purchase(domain: DomainTally, item: Item, day: int, policy: TallyPolicy) -> DomainTally:
    """The domain as if what is returned had not been bought, if that is remembered, and was not bought later."""
    bought = next((one for one in domain.favourites if one.item == item.id[:_MAX_ITEM_ID_CHARS]), None)
    if bought is None or bought.strength != PURCHASE_STRENGTH or bought.last_day > day:
        return domain
    attributes = {
        key: without(weight, bought, domain.num_events, policy) if key in _kept_keys(item, policy) else weight
        for key, weight in domain.attributes.items()
    }
    overall = without(domain.overall, bought, domain.num_events, policy)
    favourites = tuple(one for one in domain.favourites if one is not bought)
    return replace(domain, overall=overall, attributes=attributes, favourites=favourites)


def _count_touch(domain: DomainTally, touch: Touch, is_late: bool, policy: TallyPolicy) -> DomainTally:
    now, count = domain.num_events, touched_late if is_late else touched
    keys = _kept_keys(touch.item, policy)
    attributes = domain.attributes | {key: count(domain.attributes.get(key, Weight()), touch, now, policy) for key in keys}
    # What an event in its time brought stays, or nothing new could ever enter a full tally.
    _evict_lightest(attributes, set() if is_late else set(keys), now, policy)
    counted = replace(domain, overall=count(domain.overall, touch, now, policy), attributes=attributes)
    return _remember(counted, touch, is_late, policy)


def _kept_keys(item: Item, policy: TallyPolicy) -> list[str]:
    return _keys(item)[: policy.max_attributes_per_item]


def _keys(item: Item) -> list[str]:
    keys = (_key(name, value) for name, values in item.attributes.items() for value in values)
    return [key for key in dict.fromkeys(keys) if key.partition(":")[2]]


def _key(name: str, value: str) -> str:
    # The first colon ends the name, so the name has none.
    return f"{quotable(name, MAX_ATTRIBUTE_CHARS).replace(':', ' ')}:{quotable(value, MAX_ATTRIBUTE_CHARS)}"


def _evict_lightest(attributes: dict[str, Weight], newest: set[str], now: int, policy: TallyPolicy) -> None:
    while len(attributes) > policy.max_attributes:
        candidates = attributes.keys() - newest
        del attributes[min(candidates, key=lambda key: (decayed(attributes[key], now, policy).met, key))]


def _remember(domain: DomainTally, touch: Touch, is_late: bool, policy: TallyPolicy) -> DomainTally:
    title = quotable(touch.item.title, MAX_TITLE_CHARS)
    if abs(touch.strength) < policy.strong or not title:
        return domain
    at_event = domain.num_events - (policy.late_events if is_late else 0)
    mention = Mention(touch.item.id[:_MAX_ITEM_ID_CHARS], title, rounded(touch.strength), at_event, touch.day)
    if any(_is_same(one, mention) and one.last_day > mention.last_day for one in domain.favourites + domain.dislikes):
        return domain
    favourites, dislikes = (_without(mentions, mention) for mentions in (domain.favourites, domain.dislikes))
    if touch.strength > 0:
        favourites = _most_telling_first((mention, *favourites), policy)[: policy.max_favourites]
    else:
        dislikes = _most_telling_first((mention, *dislikes), policy)[: policy.max_dislikes]
    return replace(domain, favourites=favourites, dislikes=dislikes)


def _most_telling_first(mentions: tuple[Mention, ...], policy: TallyPolicy) -> tuple[Mention, ...]:
    """The strongest and newest first: the logarithm of a strength falls by the same with every event, so the order keeps."""
    halved = policy.title_half_life_events
    return tuple(sorted(mentions, key=lambda one: -math.log2(abs(one.strength)) - one.at_event / halved))


def _without(mentions: tuple[Mention, ...], mention: Mention) -> tuple[Mention, ...]:
    # Some catalogues hold one title twice; a favourite named twice, or also disliked, would read as a mistake.
    return tuple(other for other in mentions if not _is_same(other, mention))


def _is_same(one: Mention, other: Mention) -> bool:
    return one.item == other.item or one.title == other.title


# Levels need this many events, and count with that many more like the user's average, so that one event more changes little.
_MIN_EVENTS = 2.5
_PRIOR_EVENTS = 3.0
_MOST = {"loves": 4, "likes": 5, "mixed": 3, "dislikes": 4}
_MAX_OFTEN = 2
_MIN_OFTEN_EVENTS = 5.0
_AGAINST = -0.1
"""A mean of this and less speaks against an attribute, unless the user's own average is no better; it is never liked."""
_SAYS_NOTHING = frozenset({"yes", "true", "false", "none", "other"})


def levels(tally: Tally) -> Claims:
    """What the tally supports saying, per domain, most telling first; a domain it says nothing about has no section.

    An attribute is *loved* or *liked* by its mean strength, against the user's own average and absolute bounds, and
    *mixed* when much was said on both sides. It is chosen *often*, if neither loved nor liked, when it is part of a quarter
    of what the user took and of twice as much as its peers on average: of other users a tally knows nothing.
    """
    sections = (_section(name, domain) for name, domain in tally.domains.items())
    return Claims(tuple(section for section in sections if section != Section(domain=section.domain)))


def _section(name: str, domain: DomainTally) -> Section:
    graded = _graded(domain)
    by_level = {level: tuple(value for value, grade in graded.items() if grade.level == level) for level in _MOST}
    # Lists start with what was met most, so that "often" only adds what no list of opinions names already.
    named = {value for level in ("loves", "likes", "mixed") for value in by_level[level]}
    return Section(
        domain=name,
        **{level: values[: _MOST[level]] for level, values in by_level.items()},
        often=tuple(value for value in _often(domain) if value not in named)[:_MAX_OFTEN],
        favourites=tuple(mention.title for mention in domain.favourites),
        did_not_enjoy=tuple(mention.title for mention in domain.dislikes),
        searches=domain.searches,
        quotes=domain.quotes,
    )


class Grade(Struct, frozen=True):
    """What was counted of one attribute: its level, empty where the tally says none, and how much was said for and against."""

    level: str
    liked: float
    disliked: float
    is_often: bool = False


def grades(tally: Tally) -> dict[str, dict[str, Grade]]:
    """The grade of every attribute by domain and value, also of those for which :func:`levels` has no room."""
    return {name: _with_often(_graded(domain), _often(domain)) for name, domain in tally.domains.items()}


def _with_often(graded: dict[str, Grade], often: Iterable[str]) -> dict[str, Grade]:
    return graded | {value: replace(graded[value], is_often=True) for value in often}


def _graded(domain: DomainTally) -> dict[str, Grade]:
    """The grades by value, what was met most first."""
    usual = _mean(decayed(domain.overall, domain.num_events), 0.0, 1.0)
    graded: dict[str, Grade] = {}
    for key, weight in _heaviest_first(domain):
        value, level = _spoken(key), _level(weight, usual) if weight.met >= _MIN_EVENTS else ""
        # Two attributes may share a value; of those with a level what was met most speaks for both.
        if value not in graded or (level and not graded[value].level):
            graded.pop(value, None)
            graded[value] = Grade(level, weight.liked, weight.disliked)
    return graded


def _heaviest_first(domain: DomainTally) -> list[tuple[str, Weight]]:
    faded = ((key, decayed(weight, domain.num_events)) for key, weight in domain.attributes.items())
    # By powers of two: an event more must not change the order of a list that people read.
    return sorted(faded, key=lambda entry: (-math.frexp(entry[1].met)[1], entry[0]))


def _mean(weight: Weight, usual: float, prior: float) -> float:
    return (weight.liked - weight.disliked + prior * usual) / (weight.met + prior)


def _level(weight: Weight, usual: float) -> str:
    """The level of an attribute: absolute bounds, which move with the ``usual`` strength of what the user says.

    Upwards for a generous user, so that not everything is liked, and downwards for a severe one, who would dislike everything.
    """
    mean = _mean(weight, usual, _PRIOR_EVENTS)
    if mean >= max(0.4, min(usual + 0.1, 0.75)):
        return "loves"
    if mean >= max(min(0.15, usual + 0.2), min(usual - 0.05, 0.4)) and _mean(weight, 0.0, 0.0) > _AGAINST:
        return "likes"
    if mean <= min(_AGAINST, usual + 0.05):
        return "dislikes"
    return "mixed" if min(weight.liked, weight.disliked) >= 0.75 else ""


def _often(domain: DomainTally) -> tuple[str, ...]:
    weights = dict(_heaviest_first(domain))
    total = decayed(domain.overall, domain.num_events).taken
    usual = sum(weight.taken for weight in weights.values()) / max(len(weights), 1)
    return tuple(
        _spoken(key) for key, weight in weights.items() if weight.taken >= max(_MIN_OFTEN_EVENTS, total / 4, 2 * usual)
    )


def spoken_attributes(item: Item) -> tuple[str, ...]:
    """The item's attributes as :func:`levels` speaks of them, each once."""
    return tuple(dict.fromkeys(map(_spoken, _keys(item))))


def _spoken(key: str) -> str:
    """The attribute's value, with its name where the value alone says nothing: ``size M``, ``year 1994``."""
    name, _, value = key.partition(":")
    telling = sum(map(str.isalpha, value)) > 2 and value.lower() not in _SAYS_NOTHING
    return value if telling else f"{name} {value}".strip()


_DIGEST_WORDS = {
    "loves": "loved",
    "likes": "liked",
    "mixed": "mixed feelings",
    "dislikes": "disliked",
    "often": "chosen often",
    "favourites": "favourite",
    "did_not_enjoy": "not enjoyed",
    "searches": "searched for",
    "quotes": "wrote",
}
_DIGEST_KINDS = {word: kind for kind, word in _DIGEST_WORDS.items()}
_QUOTED_KINDS = frozenset({"favourites", "did_not_enjoy", "searches", "quotes"})


def digest(tally: Tally) -> str:
    """The tally in words, a claim a line, newest or most telling first: ``loved: drama``, ``favourite: "Fargo (1996)"``.

    Not in the sentences of a summary, so that a model that only copies can be told from one that writes.
    """
    lines = []
    for section in levels(tally).sections:
        lines.append(f"domain: {section.domain}")
        for kind in KINDS:
            quote = '"' if kind in _QUOTED_KINDS else ""
            lines += [f"{_DIGEST_WORDS[kind]}: {quote}{value}{quote}" for value in getattr(section, kind)]
    return "\n".join(lines)


def read_digest(text: str) -> Claims | None:
    """The claims of a digest: ``read_digest(digest(tally))`` equals ``levels(tally)``. None when the text is no digest."""
    domains: dict[str, dict[str, list[str]]] = {}
    claims: dict[str, list[str]] = {}
    for line in text.splitlines():
        word, _, value = line.partition(":")
        if word == "domain":
            claims = domains.setdefault(value.strip(), {})
        elif word in _DIGEST_KINDS and domains:
            claims.setdefault(_DIGEST_KINDS[word], []).append(value.strip().strip('"'))
        else:
            return None
    return Claims(
        tuple(
            Section(domain=domain, **{kind: tuple(values) for kind, values in claims.items()})
            for domain, claims in domains.items()
        )
    )
