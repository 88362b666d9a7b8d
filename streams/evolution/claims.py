"""Claims: what a text says of somebody, claim by claim, held against what was counted and met (text → **claims** → guards).

The tally is right about levels, and the last strong event about a title. A claim that the tally makes itself, in the words of
the prompt, is never held against a text: two domains whose names read the same, or two attributes that only their case tells
apart, make a tally that seems to contradict itself. Where a text does not say which domain it speaks of, any may be meant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

from prefstream.summaries import Tally
from streams.evidence import Evidence, title_of
from streams.evolution.plain import MAX_LINE_CHARS
from streams.evolution.prose import KINDS, MAX_ATTRIBUTE_CHARS, MAX_TITLE_CHARS, Section, as_data, quotable
from streams.tally import levels
from streams.weights import DEFAULT_POLICY, touches

OPINIONS = {"loves": 1, "likes": 1, "mixed": 0, "dislikes": -1}
"""The kinds of claim that give an attribute a level, strongest first, and the sign of each."""
SIDES = {"favourites": 1, "did_not_enjoy": -1}
"""The kinds of claim that name titles, and the side on which each puts them."""


class Claim(Struct, frozen=True):
    """One thing that a text says: ``value`` is an attribute, a title or the person's own words, by its kind."""

    domain: str
    kind: str
    value: str


class Known(Struct, frozen=True):
    """What is known of somebody: ``told`` is what the tally says, ``met`` how each title was met last, by domain.

    Strengths are those of evidence, -1 to +1; a strong one stands until the next strong one.
    """

    told: tuple[Section, ...]
    met: dict[str, dict[str, float]]


def known(tally: Tally, evidence: Iterable[Evidence] = ()) -> Known:
    """What the tally knows, and the evidence, which may be in the tally already; what it evicted is in the evidence alone."""
    met: dict[str, dict[str, _Met]] = {}
    for name, domain in tally.domains.items():
        mentions = reversed((*domain.favourites, *domain.dislikes))
        met[_shown(name)] = {shown_title(one.title): _Met(one.strength, one.last_day) for one in mentions}
    for one in evidence:
        titles = met.setdefault(_shown(quotable(one.domain, MAX_ATTRIBUTE_CHARS)), {})
        for touch in touches(one):
            title = shown_title(title_of(touch.item))
            titles[title] = _later(titles.get(title, _Met(0.0, 0)), _Met(touch.strength, touch.day))
    strengths = {name: {title: one.strength for title, one in titles.items()} for name, titles in met.items()}
    return Known(told(tally), strengths)


class _Met(Struct, frozen=True):
    strength: float
    day: int


def _later(before: _Met, coming: _Met) -> _Met:
    if coming.day < before.day or abs(coming.strength) < DEFAULT_POLICY.strong <= abs(before.strength):
        return before
    return coming


def told(tally: Tally) -> tuple[Section, ...]:
    """What the tally says, in the very words of a prompt."""
    return tuple(
        Section(
            domain=_shown(section.domain),
            **{kind: tuple(as_data(value, MAX_LINE_CHARS) for value in getattr(section, kind)) for kind in KINDS},
        )
        for section in levels(tally).sections
    )


def _shown(domain: str) -> str:
    return as_data(domain, MAX_ATTRIBUTE_CHARS)


def shown_title(title: str) -> str:
    """The title as a prompt quotes it, so as a text can."""
    return quotable(title, MAX_TITLE_CHARS)


def claims_of(sections: Iterable[Section]) -> list[Claim]:
    """The claims of the sections, in the order of the text."""
    return [Claim(one.domain, kind, value) for one in sections for kind in KINDS for value in getattr(one, kind)]


def domains_of(domain: str, names: Iterable[str]) -> list[str]:
    """Which of the domains ``names`` a text means that calls its own ``domain``: those that read so, else any."""
    everything = list(names)
    return [name for name in everything if same_domain(name, domain)] or everything


def same_domain(one: str, other: str) -> bool:
    """Whether two names of domains read the same: a tag at the beginning of a line has a capital."""
    return one[:1].lower() + one[1:] == other[:1].lower() + other[1:]


def strengths_of(claim: Claim, about: Known) -> list[float]:
    """How the claimed title was met last, in each domain that may be meant and has it; empty when it never was."""
    meant = (about.met[name] for name in domains_of(claim.domain, about.met))
    return [titles[claim.value] for titles in meant if claim.value in titles]


def opposed(claims: Sequence[Claim], about: Known) -> list[Claim]:
    """The claims that the tally or an event turns round: liked what it grades disliked, a favourite that was hated."""
    said = _domains_by_claim(about)
    return [claim for claim in claims if not _times_told(claim, said) and _is_opposed(claim, about)]


def _is_opposed(claim: Claim, about: Known) -> bool:
    if claim.kind in SIDES:
        strengths = strengths_of(claim, about)
        return bool(strengths) and all(SIDES[claim.kind] * met <= -DEFAULT_POLICY.strong for met in strengths)
    sections = {section.domain: section for section in about.told}
    meant = [sections[name] for name in domains_of(claim.domain, sections)]
    return bool(meant) and bool(OPINIONS.get(claim.kind)) and all(_turns_round(section, claim) for section in meant)


def _turns_round(section: Section, claim: Claim) -> bool:
    return any(claim.value in getattr(section, kind) and OPINIONS[claim.kind] * sign < 0 for kind, sign in OPINIONS.items())


def conflicting(claims: Sequence[Claim], about: Known) -> list[Claim]:
    """The claims that give an attribute a second level, or put a title on the other side too, unless the tally does both."""
    said = _domains_by_claim(about)
    first: dict[tuple[str, bool, str], Claim] = {}
    found = []
    for claim in claims:
        if claim.kind not in OPINIONS and claim.kind not in SIDES:
            continue
        other = first.setdefault((claim.domain, claim.kind in SIDES, claim.value), claim)
        if other.kind != claim.kind and not (_times_told(claim, said) and _times_told(other, said)):
            found.append(claim)
    return found


def repeated(claims: Sequence[Claim], about: Known) -> list[Claim]:
    """The claims that were made before, unless the tally makes them as often; "very, very slow films" makes none twice."""
    said, emphatic = _domains_by_claim(about), _emphatic(claims)
    made: Counter[Claim] = Counter()
    again = []
    for claim, is_emphatic in zip(claims, emphatic, strict=True):
        made[claim] += 1
        if made[claim] > max(1, _times_told(claim, said)) and not is_emphatic:
            again.append(claim)
    return again


def _emphatic(claims: Sequence[Claim]) -> list[bool]:
    """Of each claim whether it is a word of the one behind it: ``very`` before ``very slow films``."""
    emphatic = [False] * len(claims)
    for index in range(len(claims) - 2, -1, -1):
        claim, following = claims[index], claims[index + 1]
        emphatic[index] = following.value.startswith(f"{claim.value} ") or (following == claim and emphatic[index + 1])
    return emphatic


def _domains_by_claim(about: Known) -> dict[tuple[str, str], list[str]]:
    """In which domains the tally says it, by kind and value."""
    domains: dict[tuple[str, str], list[str]] = {}
    for claim in claims_of(about.told):
        domains.setdefault((claim.kind, claim.value), []).append(claim.domain)
    return domains


def _times_told(claim: Claim, said: dict[tuple[str, str], list[str]]) -> int:
    domains = said.get((claim.kind, claim.value), [])
    return sum(not claim.domain or same_domain(domain, claim.domain) for domain in domains)
