"""Discretion: evidence, tally and text without what they say of the person on a matter that is off.

Place in the flow: with the subjects somebody forbids (:mod:`streams.subjects`), where a step is made of events, so neither
prompt, tally nor guards see it. A sentence of a post is left out, the rest of it stays; a search is left out whole; of an item
the attributes that are named for such a matter. Titles, genres and what stands in quotes speak of works, and stay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from msgspec.structs import replace

from prefstream.events import Item
from prefstream.summaries import DomainTally, Tally
from streams.evidence import Evidence
from streams.evolution.guards.sensitive import Voice, category_of_attribute, spoken_of
from streams.evolution.guards.wording import words_of
from streams.evolution.prose import Claims, Section, parse, render, sentences
from streams.sensitive_words import Category
from streams.tokens import estimate_text_tokens

Off = frozenset[Category]


def discreet_evidence(evidence: Evidence, off: Off) -> tuple[Evidence, Counter[Category]]:
    """The event without what is off, and how many passages of each category that were."""
    pen = _Pen(off)
    is_search = evidence.kind in ("search", "choice")
    query = pen.search(evidence.query) if is_search else pen.words(evidence.query)
    quote = query if evidence.kind == "search" else pen.words(evidence.quote)
    chosen = pen.item(evidence.chosen) if evidence.chosen else None
    rejected = tuple(map(pen.item, evidence.rejected))
    if not pen.left_out:
        return evidence, pen.left_out
    return replace(evidence, query=query, quote=quote, chosen=chosen, rejected=rejected), pen.left_out


class _Pen:
    """Leaves out of one event what is off, and counts it."""

    def __init__(self, off: Off) -> None:
        self._off = off
        self.left_out: Counter[Category] = Counter()

    def words(self, text: str) -> str:
        """What somebody wrote, without the sentences."""
        if not spoken_of(text, "own", self._off):
            return text
        return " ".join(sentence for sentence in sentences(text) if not self._speaks(sentence, "own"))

    def search(self, text: str) -> str:
        """A search, or nothing."""
        return "" if self._speaks(text, "searched") else text

    def item(self, item: Item) -> Item:
        """The item without the attributes."""
        named = {name: category_of_attribute(f"{name}:") for name in item.attributes}
        told = {name for name, category in named.items() if category in self._off}
        if not told:
            return item
        self.left_out.update(category for name, category in named.items() if category and name in told)
        return replace(item, attributes={name: values for name, values in item.attributes.items() if name not in told})

    def _speaks(self, text: str, voice: Voice) -> bool:
        spoken = spoken_of(text, voice, self._off)
        self.left_out.update(spoken)
        return bool(spoken)


def discreet_tally(tally: Tally, off: Off) -> Tally:
    """The tally without the attributes, searches and quotes; what was counted beside them stays."""
    domains = {name: _discreet_domain(domain, off) for name, domain in tally.domains.items()}
    return replace(tally, domains=domains)


def _discreet_domain(domain: DomainTally, off: Off) -> DomainTally:
    return replace(
        domain,
        attributes={key: weight for key, weight in domain.attributes.items() if category_of_attribute(key) not in off},
        searches=_without(domain.searches, "searched", off),
        quotes=_without(domain.quotes, "own", off),
    )


def _without(texts: Iterable[str], voice: Voice, off: Off) -> tuple[str, ...]:
    return tuple(text for text in texts if not spoken_of(text, voice, off))


def discreet_text(text: str, off: Off, kept: Iterable[str] = ()) -> str:
    """The text without the sentences, and the quotes and searches it claims; the same text where there are none.

    What the person wants ``kept`` is theirs to say.
    """
    told = parse(text)
    words_kept = {tuple(words_of(one)) for one in kept}
    sections = tuple(_discreet_section(section, off) for section in told.sections)
    others = tuple(one for one in told.others if tuple(words_of(one)) in words_kept or not spoken_of(one, "told", off))
    if (sections, others) == (told.sections, told.others):
        return text
    return render(Claims(sections, others), estimate_text_tokens(text))


def _discreet_section(section: Section, off: Off) -> Section:
    return replace(
        section,
        searches=_without(section.searches, "searched", off),
        quotes=_without(section.quotes, "own", off),
    )
