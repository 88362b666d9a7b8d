"""Subjects: what speaks of something that the person never wants inferred, and what is left without it.

Place in the flow: below the decisions, which clean text and tally, and below every step, which cleans its evidence.

A subject is found by its words, one after the other, without case, punctuation and invisible characters; inflections are other
words. What is taken out of the evidence is never counted, so no text can be made of it; the guards look at the text as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from msgspec.structs import replace

from prefstream.events import Item
from prefstream.summaries import DomainTally, Tally
from streams.evidence import Evidence, title_of
from streams.evolution.guards.sensitive import category_named, category_of_attribute
from streams.evolution.guards.wording import occurs, phrases_of, words_of
from streams.evolution.prose import KINDS, Claims, Section, parse, render

Speaks = Callable[[str], bool]


def speaks_of(subjects: Sequence[str]) -> Speaks:
    """Whether a text speaks of one of the subjects."""
    phrases = phrases_of(subjects)

    def speaks(text: str) -> bool:
        words = words_of(text)
        return any(occurs(phrase, words) for phrase in phrases)

    return speaks


def sentences_without(sentences: Iterable[str], speaks: Speaks) -> tuple[str, ...]:
    """The sentences without those that speak of it, alone or one after the other: a point in a name ends none ("Mr. Robot")."""
    left = list(sentences)
    while speaks(" ".join(left)):
        end = next(end for end in range(1, len(left) + 1) if speaks(" ".join(left[:end])))
        start = next(start for start in reversed(range(end)) if speaks(" ".join(left[start:end])))
        del left[start:end]
    return tuple(left)


def marks_of(subjects: Sequence[str]) -> Speaks:
    """Whether an attribute, ``name:value``, says that an item is of a subject; of a sensitive matter by any name it has."""
    speaks, matters = speaks_of(subjects), {category for one in subjects if (category := category_named(one))}
    return lambda key: speaks(key) or category_of_attribute(key) in matters


def text_without(text: str, speaks: Speaks, max_tokens: int) -> str:
    """The text without the claims and sentences that speak of it; the same text where none does."""
    if not speaks(text):
        return text
    told = parse(text)
    sections = tuple(_section_without(section, speaks) for section in told.sections)
    return render(Claims(sections, sentences_without(told.others, speaks)), max_tokens)


def _section_without(section: Section, speaks: Speaks) -> Section:
    if speaks(section.domain):
        return Section(domain=section.domain)
    return replace(section, **{kind: tuple(one for one in getattr(section, kind) if not speaks(one)) for kind in KINDS})


def tally_without(tally: Tally, speaks: Speaks) -> Tally:
    """The tally without the domains, attributes, titles and words that speak of it; what was counted beside them stays."""
    return replace(
        tally, domains={name: _domain_without(domain, speaks) for name, domain in tally.domains.items() if not speaks(name)}
    )


def _domain_without(domain: DomainTally, speaks: Speaks) -> DomainTally:
    return replace(
        domain,
        attributes={key: weight for key, weight in domain.attributes.items() if not speaks(key)},
        favourites=tuple(one for one in domain.favourites if not speaks(one.title)),
        dislikes=tuple(one for one in domain.dislikes if not speaks(one.title)),
        searches=tuple(one for one in domain.searches if not speaks(one)),
        quotes=tuple(one for one in domain.quotes if not speaks(one)),
    )


def evidence_without(evidence: Evidence, subjects: Sequence[str]) -> Evidence:
    """The event without what speaks of them: an item whole, by its title or any of its attributes, and words as a whole.

    It stays one piece of evidence, so that what a call covers is counted as before; what says nothing any more, or has lost
    what it was about, is worded as nothing.
    """
    speaks, marks = speaks_of(subjects), marks_of(subjects)
    chosen = _item_without(evidence.chosen, speaks, marks)
    rejected = tuple(item for one in evidence.rejected if (item := _item_without(one, speaks, marks)))
    query, quote = ("" if speaks(words) else words for words in (evidence.query, evidence.quote))
    lost_its_item = chosen is None and (evidence.chosen is not None or len(rejected) < len(evidence.rejected))
    if speaks(evidence.domain) or lost_its_item or not (chosen or rejected or query or quote):
        return replace(evidence, kind="message", strength=0.0, chosen=None, rejected=(), query="", quote="")
    return replace(evidence, chosen=chosen, rejected=rejected, query=query, quote=quote)


def _item_without(item: Item | None, speaks: Speaks, marks: Speaks) -> Item | None:
    if item is None or speaks(title_of(item)):
        return None
    is_of_it = any(marks(f"{name}:{value}") for name, values in item.attributes.items() for value in values)
    return None if is_of_it else item
