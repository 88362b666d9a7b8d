"""Tally: the evidence counted by code, beside the text (evidence → **tally** → prompt, and the check on a model's claims).

Folding is exact: events folded in any chunks, with the tally stored in between or not, give the same bytes. So every bound
is kept per event, numbers are rounded as they are stored, and an entry decays only when it is touched, by the events since.
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


class TallyPolicy(Struct, frozen=True):
    """How long evidence counts and how much is kept; strengths are shares of the strongest evidence.

    After ``half_life_events`` further events of its domain evidence counts half. An item felt about with ``strong`` (above 0)
    or more is a favourite or a dislike, and gives way to one felt about half as strongly after ``title_half_life_events``
    further events; what was left for a choice counts ``left`` times as much as the choice, all of it together.
    ``max_attributes`` is at least ``max_attributes_per_item``; a quote has ``min_quote_words`` or is not worth repeating.
    """

    half_life_events: float = 50.0
    title_half_life_events: float = 30.0
    strong: float = 0.5
    left: float = 0.5
    max_domains: int = 8
    max_attributes: int = 48
    max_attributes_per_item: int = 12
    max_favourites: int = 12
    max_dislikes: int = 6
    max_searches: int = 3
    max_quotes: int = 2
    min_quote_words: int = 4
    max_words_chars: int = 100


DEFAULT_POLICY = TallyPolicy()
_MAX_KEY_CHARS = 2 * MAX_ATTRIBUTE_CHARS
_MAX_ITEM_ID_CHARS = 120
_MAX_REJECTED = 20


class Touch(Struct, frozen=True):
    """What one event says about one item; ``share`` is the part of an event it counts for."""

    item: Item
    strength: float
    share: float
    taken: bool


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
    domain = replace(domain, num_events=domain.num_events + 1)
    if event.kind in ("search", "choice") and event.query:
        domain = replace(domain, searches=_newest_first(event.query, domain.searches, policy.max_searches, policy))
    elif len(event.quote.split()) >= policy.min_quote_words:
        domain = replace(domain, quotes=_newest_first(event.quote, domain.quotes, policy.max_quotes, policy))
    if event.kind == "purchase" and event.chosen is None:
        domain = reduce(lambda before, item: _without_purchase(before, item, policy), event.rejected, domain)
    return reduce(lambda before, touch: _count_touch(before, touch, policy), touches(event, policy), domain)


def _without_purchase(domain: DomainTally, item: Item, policy: TallyPolicy) -> DomainTally:
    """The domain as if what is returned had not been bought, if that is remembered."""
    bought = next((one for one in domain.favourites if one.item == item.id[:_MAX_ITEM_ID_CHARS]), None)
    if bought is None or bought.strength != PURCHASE_STRENGTH:
        return domain
    attributes = {
        key: _less(weight, bought, domain.num_events, policy) if key in _kept_keys(item, policy) else weight
        for key, weight in domain.attributes.items()
    }
    overall = _less(domain.overall, bought, domain.num_events, policy)
    favourites = tuple(one for one in domain.favourites if one is not bought)
    return replace(domain, overall=overall, attributes=attributes, favourites=favourites)


def _less(weight: Weight, bought: Mention, now: int, policy: TallyPolicy) -> Weight:
    """The weight without a purchase, which has faded as much since."""
    faded = decayed(weight, now, policy)
    kept = 0.5 ** ((now - bought.at_event) / policy.half_life_events)
    return Weight(
        liked=_rounded(max(0.0, faded.liked - bought.strength * kept)),
        disliked=_rounded(faded.disliked),
        met=_rounded(max(0.0, faded.met - kept)),
        taken=_rounded(max(0.0, faded.taken - kept)),
        at_event=now,
    )


def _newest_first(text: str, before: tuple[str, ...], most: int, policy: TallyPolicy) -> tuple[str, ...]:
    words = quotable(text, policy.max_words_chars)
    if not words:
        return before
    return (words, *(other for other in before if other.casefold() != words.casefold()))[:most]


def touches(event: Evidence, policy: TallyPolicy = DEFAULT_POLICY) -> list[Touch]:
    """What the event says about each of its items, of those that were left about the first twenty."""
    # Evidence already halves the strength of what the platform put forward itself.
    share = 0.5 if event.recommended else 1.0
    rejected = event.rejected[:_MAX_REJECTED]
    if event.chosen is None:
        return [Touch(item, event.strength, share, False) for item in rejected]
    chosen = Touch(event.chosen, event.strength, share, not event.recommended)
    part = policy.left / len(rejected) if rejected else 0.0
    return [chosen, *(Touch(item, -part * event.strength, part * share, False) for item in rejected)]


def _count_touch(domain: DomainTally, touch: Touch, policy: TallyPolicy) -> DomainTally:
    now = domain.num_events
    keys = _kept_keys(touch.item, policy)
    attributes = domain.attributes | {key: _touched(domain.attributes.get(key, Weight()), touch, now, policy) for key in keys}
    _evict_lightest(attributes, set(keys), now, policy)
    counted = replace(domain, overall=_touched(domain.overall, touch, now, policy), attributes=attributes)
    return _remember(counted, touch, policy)


def _kept_keys(item: Item, policy: TallyPolicy) -> list[str]:
    return _keys(item)[: policy.max_attributes_per_item]


def _keys(item: Item) -> list[str]:
    keys = (_key(name, value) for name, values in item.attributes.items() for value in values)
    return [key for key in dict.fromkeys(keys) if key.partition(":")[2]]


def _key(name: str, value: str) -> str:
    # The first colon ends the name, so the name has none.
    return f"{quotable(name, MAX_ATTRIBUTE_CHARS).replace(':', ' ')}:{quotable(value, MAX_ATTRIBUTE_CHARS)}"


def _touched(weight: Weight, touch: Touch, now: int, policy: TallyPolicy) -> Weight:
    faded = decayed(weight, now, policy)
    return Weight(
        liked=_rounded(faded.liked + max(touch.strength, 0.0)),
        disliked=_rounded(faded.disliked + max(-touch.strength, 0.0)),
        met=_rounded(faded.met + touch.share),
        taken=_rounded(faded.taken + (touch.share if touch.taken else 0.0)),
        at_event=now,
    )


def decayed(weight: Weight, now: int, policy: TallyPolicy = DEFAULT_POLICY) -> Weight:
    """The weight as it counts at the domain's event number ``now``."""
    kept = 0.5 ** ((now - weight.at_event) / policy.half_life_events)
    return Weight(weight.liked * kept, weight.disliked * kept, weight.met * kept, weight.taken * kept, now)


def _rounded(value: float) -> float:
    return round(value, 4)


def _evict_lightest(attributes: dict[str, Weight], newest: set[str], now: int, policy: TallyPolicy) -> None:
    while len(attributes) > policy.max_attributes:
        # What the event itself brought stays, or nothing new could ever enter a full tally.
        candidates = attributes.keys() - newest
        del attributes[min(candidates, key=lambda key: (decayed(attributes[key], now, policy).met, key))]


def _remember(domain: DomainTally, touch: Touch, policy: TallyPolicy) -> DomainTally:
    title = quotable(touch.item.title, MAX_TITLE_CHARS)
    if abs(touch.strength) < policy.strong or not title:
        return domain
    mention = Mention(touch.item.id[:_MAX_ITEM_ID_CHARS], title, _rounded(touch.strength), domain.num_events)
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
    return tuple(other for other in mentions if other.item != mention.item and other.title != mention.title)


# Levels need this many events, and count with that many more like the user's average, so that one event more changes little.
_MIN_EVENTS = 2.5
_PRIOR_EVENTS = 3.0
_MOST = {"loves": 4, "likes": 5, "mixed": 3, "dislikes": 4}
_MAX_OFTEN = 2
_MIN_OFTEN_EVENTS = 5.0
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
    mean = _mean(weight, usual, _PRIOR_EVENTS)
    if mean >= max(0.4, min(usual + 0.1, 0.75)):
        return "loves"
    if mean >= max(0.15, min(usual - 0.05, 0.4)):
        return "likes"
    if mean <= -0.1:
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
