"""Losses: a model that forgets who it writes about (answer → **losses** → verdict).

A loss is explained by what the person never wants said, by new evidence against what the old text says, and by a budget that
the old text does not fit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from msgspec import Struct

from streams.evidence import Evidence, title_of
from streams.evolution.guards.verdicts import Candidate, Rejected, attributes_of
from streams.evolution.guards.wording import occurs, phrases_of, sentences_of, words_of
from streams.evolution.prose import parse

_MIN_AGAINST = 1.0  # of evidence: one event as strong as there is, or two weaker ones
_DISLIKES = ("Dislikes ", "Did not enjoy")


class _Contradicted(Struct, frozen=True):
    """The words of each attribute and title that the evidence is against, and of each that it is for."""

    against: list[list[str]]
    for_: list[list[str]]


def keeps_the_old(candidate: Candidate) -> Rejected | None:
    """Whether what the old text says is still there, as far as nothing explains its loss."""
    forbidden = phrases_of(candidate.forbidden)
    if _is_kept(candidate, _expected(candidate.old_text, forbidden, _Contradicted([], []))):
        return None
    old = _expected(candidate.old_text, forbidden, _contradicted(candidate.evidence))
    if _is_kept(candidate, old):
        return None
    kept, length = _kept(old, candidate.words)
    return Rejected("wiped", f"{kept:.0%} of the old words are kept, at {length:.0%} of the old length")


def _is_kept(candidate: Candidate, old: list[str]) -> bool:
    limits = candidate.limits
    if not old or len(old) < limits.min_old_words:
        return True
    # An old text beyond the budget (a person's long edit, a budget that shrank) has to shrink; a word is a token at least.
    room = min(1.0, limits.max_tokens / len(old))
    kept, length = _kept(old, candidate.words)
    return kept >= limits.min_kept * room and length >= limits.min_length * room


def _kept(old: list[str], new: list[str]) -> tuple[float, float]:
    return len(set(old) & set(new)) / len(set(old)), len(new) / len(old)


def _expected(old_text: str, forbidden: list[list[str]], contradicted: _Contradicted) -> list[str]:
    """The words of the old text, without the sentences that a ``never`` takes away and what is contradicted."""
    words: list[str] = []
    for sentence in sentences_of(old_text):
        said = words_of(sentence)
        if any(occurs(phrase, said) for phrase in forbidden):
            continue
        phrases = contradicted.for_ if sentence.lstrip().startswith(_DISLIKES) else contradicted.against
        words += _uncontradicted(sentence, said, phrases)
    return words


def _uncontradicted(sentence: str, said: list[str], phrases: list[list[str]]) -> list[str]:
    found = [phrase for phrase in phrases if occurs(phrase, said)]
    if found and parse(sentence).others:  # somebody's own words, of which a part says nothing
        return []
    gone = {word for phrase in found for word in phrase}
    return [word for word in said if word not in gone]


def _contradicted(evidence: Sequence[Evidence]) -> _Contradicted:
    strengths: defaultdict[str, float] = defaultdict(float)
    for one in evidence:
        for named in _named(one):
            strengths[named] += one.strength
    against = phrases_of([named for named, strength in strengths.items() if strength <= -_MIN_AGAINST])
    return _Contradicted(against, phrases_of([named for named, strength in strengths.items() if strength >= _MIN_AGAINST]))


def _named(evidence: Evidence) -> Iterable[str]:
    # What was left for something else was not rated: the strength is that of what was chosen.
    for item in (evidence.chosen,) if evidence.chosen else evidence.rejected:
        yield title_of(item)
        yield from attributes_of(item)
