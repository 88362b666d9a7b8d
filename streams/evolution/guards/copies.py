"""Copies: a model that gives its prompt back (answer → **copies** → verdict).

What it was told to do is nobody's preference, so eight words of it in a row are enough. Of the rest of the prompt a summary may
well name what is there: claims in the format of the prose are no echo, quoted titles never are, nor is what stood in the old
text or in a pin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

from streams.evolution.guards.verdicts import Candidate, Rejected
from streams.evolution.guards.wording import unquoted, words_of
from streams.evolution.prose import parse

_RUN = 6
_LONG_RUN = 12  # longer than a title, shorter than what people write
_TELLTALE_RUN = 8

Split = Callable[[str], list[str]]


def keeps_the_prompt_to_itself(candidate: Candidate) -> Rejected | None:
    """Whether the text is not made of the constant part of the prompt."""
    constant = [turn.content for turn in candidate.prompt.turns if turn.role == "system"]
    copied = _runs([candidate.words], _TELLTALE_RUN) & _telltale(tuple(constant))
    if copied - _runs(map(words_of, _allowed(candidate)), _TELLTALE_RUN):
        return Rejected("prompt_copied", f"{_TELLTALE_RUN} words of the instructions in a row")
    share = _share_copied(candidate, candidate.text, constant, words_of)
    # The example's first claims are also those of whoever loves just that.
    if share <= candidate.limits.max_echoed or share * len(candidate.words) < _TELLTALE_RUN:
        return None
    return Rejected("prompt_copied", f"{share:.0%} of the words are copied from the instructions or their example")


def is_no_echo(candidate: Candidate) -> Rejected | None:
    """Whether the text is not made of the tally and the evidence in the prompt."""
    # A claim may well list what a line of evidence lists; only what is no claim can be copied from there. Of what stands in
    # quotes there, titles and the person's words, a summary is free to name the one, and not to repeat the other.
    strangers = unquoted("\n".join(parse(candidate.text).others))
    of_user = [turn.content for turn in candidate.prompt.turns if turn.role != "system"]
    named = _share_copied(candidate, strangers, of_user, words_of, _LONG_RUN)
    share = max(named, _share_copied(candidate, strangers, of_user, _unquoted_words))
    if share <= candidate.limits.max_echoed:
        return None
    return Rejected("echo", f"{share:.0%} of the words are copied from the prompt")


@lru_cache(maxsize=8)
def _telltale(constant: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    # Without the example, whose claims may well be somebody's.
    rules = [sentence for content in constant for sentence in parse(content).others]
    return frozenset(_runs([words_of("\n".join(rules))], _TELLTALE_RUN))


def _allowed(candidate: Candidate) -> list[str]:
    return [candidate.old_text, "\n".join(candidate.pins)]


def _unquoted_words(text: str) -> list[str]:
    return words_of(unquoted(text))


def _share_copied(candidate: Candidate, part: str, told: list[str], split: Split, length: int = _RUN) -> float:
    """The words of ``part`` in runs of words that were told and not allowed, as a share of the words of the whole text."""
    words, num_words = split(part), len(split(candidate.text))
    runs = _runs(map(split, told), length) - _runs(map(split, _allowed(candidate)), length)
    copied = {i + k for i in range(len(words)) if tuple(words[i : i + length]) in runs for k in range(length)}
    return len(copied) / num_words if num_words else 0.0


def _runs(texts: Iterable[list[str]], length: int) -> set[tuple[str, ...]]:
    return {tuple(words[i : i + length]) for words in texts for i in range(len(words) - length + 1)}
