"""Titles: those that a new `never` takes along, as a tally does not tell what they are of (change → **titles** → version).

A favourite is kept as a title, without attributes. Where the tally of a domain counts something of the subject, any title may
be of it; where the tally is full, what was counted of the subject may have given way. So all titles of such a domain go, as
naming one that is forbidden is worse than to wait for new ones. What is learnt behind the `never` was looked at item by item.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from prefstream.summaries import DomainTally, Tally
from streams.evolution.guards.wording import occurs, phrases_of, quoted_in, words_of
from streams.evolution.prose import Claims, Section, parse, render
from streams.subjects import Speaks, marks_of
from streams.weights import DEFAULT_POLICY


def without_titles(text: str, tally: Tally, subjects: Sequence[str], max_tokens: int) -> tuple[str, Tally]:
    """Text and tally of before a `never` of these subjects, without the titles that may be of one; most lose none."""
    marks = marks_of(subjects)
    doubtful = {name: domain for name, domain in tally.domains.items() if _is_doubtful(domain, marks)}
    if not doubtful:
        return text, tally
    cleared = {name: replace(domain, favourites=(), dislikes=()) for name, domain in doubtful.items()}
    titles = [one.title for domain in doubtful.values() for one in (*domain.favourites, *domain.dislikes)]
    left = _text_without(text, {name.casefold() for name in doubtful}, phrases_of(titles), max_tokens)
    return left, replace(tally, domains=tally.domains | cleared)


def _is_doubtful(domain: DomainTally, marks: Speaks) -> bool:
    return len(domain.attributes) >= DEFAULT_POLICY.max_attributes or any(map(marks, domain.attributes))


def _text_without(text: str, domains: set[str], titles: list[list[str]], max_tokens: int) -> str:
    told = parse(text)
    sections = tuple(_section_without(section, domains, titles) for section in told.sections)
    others = tuple(one for one in told.others if not _names_one(one, titles))
    if (sections, others) == (told.sections, told.others):
        return text
    return render(Claims(sections, others), max_tokens)


def _section_without(section: Section, domains: set[str], titles: list[list[str]]) -> Section:
    # Where there is one domain, the text does not name it.
    if not section.domain or section.domain.casefold() in domains:
        return replace(section, favourites=(), did_not_enjoy=())
    favourites, did_not_enjoy = (
        tuple(one for one in named if words_of(one) not in titles) for named in (section.favourites, section.did_not_enjoy)
    )
    return replace(section, favourites=favourites, did_not_enjoy=did_not_enjoy)


def _names_one(sentence: str, titles: list[list[str]]) -> bool:
    """Whether one of the titles is in it: in quotes, or of several words ("It" and "Heat" are words like others)."""
    quoted, words = quoted_in(sentence), words_of(sentence)
    return any(title in quoted or (len(title) > 1 and occurs(title, words)) for title in titles)
