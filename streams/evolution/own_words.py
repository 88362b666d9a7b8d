"""Own words: what a person said themselves stands before what was counted, and where they disagree it is right.

Place: whoever has the claims of a new summary, the counting engine or an answer in a grammar, makes the text of it here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from streams.evolution.prose import KINDS, Claims, Section, parse, render
from streams.tokens import estimate_text_tokens


def summarise(sections: Iterable[Section], old_text: str, pins: Sequence[str], max_tokens: int) -> str:
    """A summary of at most ``max_tokens``: the pins word for word, the own words of the old text, then the claims.

    A claim about what a pin claims is left out. Own words have half of the budget; of the claims the least important give way.
    """
    pinned = parse("\n".join(pins))
    said = {value for section in pinned.sections for kind in KINDS for value in getattr(section, kind)}
    ended = tuple(pin if pin.endswith((".", "!", "?")) else pin + "." for pin in pins)
    own = _first_within(_unsaid(parse(old_text).others, ended), max_tokens // 2)
    return render(Claims(tuple(_without(section, said) for section in sections), ended + own), max_tokens)


def _without(section: Section, said: set[str]) -> Section:
    kept = {kind: tuple(value for value in getattr(section, kind) if value not in said) for kind in KINDS}
    return replace(section, **kept)


def _unsaid(sentences: Iterable[str], pins: Sequence[str]) -> list[str]:
    return [sentence for sentence in dict.fromkeys(sentences) if not any(sentence[:-1] in pin for pin in pins)]


def _first_within(sentences: list[str], max_tokens: int) -> tuple[str, ...]:
    """As many sentences from the first on as leave the rest of the budget to the tally."""
    tokens = 0
    for index, sentence in enumerate(sentences):
        tokens += estimate_text_tokens(sentence) + 1
        if tokens > max_tokens:
            return tuple(sentences[:index])
    return tuple(sentences)
