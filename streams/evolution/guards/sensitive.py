"""Sensitive: whether a text speaks of somebody's health, faith or another of seven matters that are off by default.

Place in the flow: below :mod:`streams.discretion`, which leaves such passages out of evidence, tally and text, and below
the guard that rejects an answer with one. It knows words, no meaning: a term of :mod:`streams.sensitive_words` counts if what
stands before it makes the sentence one about a person ("I am ...", "suffers from ..."), and not where a work follows ("Muslim
cinema").
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Literal, NamedTuple

from streams.evolution.guards.wording import sentences_of, unquoted, words_of
from streams.evolution.prose import sentences
from streams.sensitive_words import (
    ATTRIBUTES,
    CATEGORIES,
    FILLERS,
    NAMES,
    OWN_CUES,
    SEEKS,
    SUBJECTS,
    TERMS,
    TOLD_CUES,
    WORKS,
    Category,
    Group,
)

ALL = frozenset(CATEGORIES)
Voice = Literal["own", "told", "searched"]
"""Who speaks: the person themselves, a text about them, or a search, which is of words alone."""

_MAX_FILLERS = 4
_GOES_ON = frozenset({"who", "and", "qui", "et", "que", "y", "der", "die", "und"})
_WORD = re.compile(r"\w+")


def _words(listed: str) -> frozenset[str]:
    return frozenset(words_of(listed))


def _phrases(listed: str) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(words_of(phrase)) for phrase in listed.split(",")) - {()}


class _Term(NamedTuple):
    """Words in a row; ``at`` is the place among them of the word by which they are looked up."""

    words: tuple[str, ...]
    at: int
    category: Category
    group: Group


def _by_word() -> Mapping[str, tuple[_Term, ...]]:
    """The terms by their longest word: few texts hold one, so most are looked at no further."""
    found: dict[str, list[_Term]] = defaultdict(list)
    for category, groups in TERMS.items():
        for group, listed in groups.items():
            for words in sorted(_phrases(listed)):
                at = words.index(max(words, key=len))
                found[words[at]].append(_Term(words, at, category, group))
    return {word: tuple(terms) for word, terms in found.items()}


_TERMS = _by_word()
_KEYS = frozenset(_TERMS)
_CUES: Mapping[Voice, Mapping[Group, frozenset[tuple[str, ...]]]] = {
    "own": {group: _phrases(listed) for group, listed in OWN_CUES.items()},
    "told": {group: _phrases(listed) for group, listed in TOLD_CUES.items()},
}
_SUBJECTS, _FILLERS, _WORKS, _SEEKS = map(_words, (SUBJECTS, FILLERS, WORKS, SEEKS))
_MAX_CUE = max(len(cue) for cues in _CUES.values() for group in cues.values() for cue in group)
_NAMED = {name: category for category, listed in NAMES.items() for name in _phrases(listed)} | {
    tuple(words_of(category)): category for category in CATEGORIES
}
_ATTRIBUTE_NAMES = _NAMED | {name: category for category, listed in ATTRIBUTES.items() for name in _phrases(listed)}


def category_named(subject: str) -> Category | None:
    """The category that somebody calls by this name, if any: ``religion``, ``sexual orientation``, ``Gesundheit``."""
    return _NAMED.get(tuple(words_of(subject)))


@lru_cache(maxsize=4_096)
def category_of_attribute(key: str) -> Category | None:
    """The category that an attribute ``name:value`` tells by its name: ``religion:Sikh``. A genre tells of works."""
    name = key.partition(":")[0]
    return _ATTRIBUTE_NAMES.get(tuple(words_of(name))) if name else None


def off_for(allowed: Iterable[Category], allows: Iterable[str], nevers: Iterable[str]) -> frozenset[Category]:
    """What is off for a person: all but what the operator or the person allows, and what the person forbids in any case."""
    forbidden = {category for subject in nevers if (category := category_named(subject))}
    return frozenset((ALL - {*allowed, *allows}) | forbidden)


def spoken_of(text: str, voice: Voice, off: frozenset[Category] = ALL) -> frozenset[Category]:
    """The categories, of those that are ``off``, of which the text speaks as somebody's own.

    What stands in quotes is a title, or somebody else's words: it is not looked at.
    """
    if not off or not _is_suspect(text):
        return frozenset()
    if voice == "searched":
        return off & _searched(words_of(text))
    spoken = chain.from_iterable(_in_sentence(words_of(sentence), voice) for sentence in sentences_of(unquoted(text)))
    return off.intersection(spoken)


def told_in(text: str, off: frozenset[Category], kept: Iterable[str] = ()) -> frozenset[Category]:
    """What a text about somebody says on a matter that is off, beside what they want ``kept``."""
    if not spoken_of(text, "told", off):
        return frozenset()
    words_kept = {tuple(words_of(sentence)) for one in kept for sentence in sentences(one)}
    others = (one for one in sentences(text) if tuple(words_of(one)) not in words_kept)
    return frozenset(chain.from_iterable(spoken_of(one, "told", off) for one in others))


def _is_suspect(text: str) -> bool:
    words = _WORD.findall(text.lower()) if text.isascii() else words_of(text)
    return not _KEYS.isdisjoint(words)


class _Met(NamedTuple):
    """A term that stands in a sentence, from the place ``start`` on."""

    term: _Term
    start: int
    words: Sequence[str]

    @property
    def end(self) -> int:
        """Where what follows it begins."""
        return self.start + len(self.term.words)


def _met(words: Sequence[str]) -> Iterator[_Met]:
    """The terms in a sentence, but those that a work follows."""
    for place, word in enumerate(words):
        for term in _TERMS.get(word, ()):
            met = _Met(term, place - term.at, words)
            if met.start < 0 or tuple(words[met.start : met.end]) != term.words:
                continue
            if met.end == len(words) or words[met.end] not in _WORKS:
                yield met


def _in_sentence(words: Sequence[str], voice: Voice) -> set[Category]:
    # A text about somebody may also say "I am".
    voices: tuple[Voice, ...] = ("told", "own") if voice == "told" else ("own",)
    return {met.term.category for met in _met(words) if any(_is_ones_own(met, voice) for voice in voices)}


def _is_ones_own(met: _Met, voice: Voice) -> bool:
    if met.term.group == "lone":
        return True
    end, first = met.start, max(0, met.start - _MAX_FILLERS)
    while not _is_led_in(met, end, voice):
        if end == first or met.words[end - 1] not in _FILLERS:
            return False
        end -= 1
    return True


def _is_led_in(met: _Met, end: int, voice: Voice) -> bool:
    """Whether what stands in front of the place ``end`` makes the term somebody's own."""
    if voice == "told" and _needs_no_cue(met, end):
        return True
    cues = _CUES[voice].get(met.term.group, frozenset())
    beginnings = (end - length for length in range(1, min(end, _MAX_CUE) + 1) if tuple(met.words[end - length : end]) in cues)
    return any(voice == "own" or _begins(beginning, met.words) for beginning in beginnings)


def _needs_no_cue(met: _Met, end: int) -> bool:
    """ "Goes to church", or a sentence that is no more than "A devout Catholic"."""
    if met.term.group == "does":
        return _begins(end, met.words)
    is_all = met.end == len(met.words) or met.words[met.end] in _GOES_ON
    return met.term.group == "is" and end == 0 and is_all


def _begins(place: int, words: Sequence[str]) -> bool:
    """Whether a statement about the person begins here."""
    return place == 0 or words[place - 1] in _SUBJECTS


def _searched(words: Sequence[str]) -> set[Category]:
    """What is searched for as one's own: by what one says of oneself, or beside a word that looks for help or company."""
    found = _in_sentence(words, "own")
    for met in _met(words):
        rest = [*words[: met.start], *words[met.end :]]
        if met.term.group in ("is", "has", "joins") and not _SEEKS.isdisjoint(rest):
            found.add(met.term.category)
    return found
