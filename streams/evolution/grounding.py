"""Grounding: of an answer in the prose of summaries, what the model was offered (answer → **grounding** → own words → guards).

A small model copies nearly right: it leaves out a full stop, lets a title end in the middle, makes a sentence of an order that
stood in a domain's name. So of what it says only the claims are taken that it was offered, each in the words in which it was
offered, and each once. Which of them are worth saying, and in what order, is the model's.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from streams.evolution.claims import Claim, claims_of, same_domain
from streams.evolution.prose import KINDS, Section

_CUT = ("…", "...")
"""How words end that were cut."""
_MIN_CUT_LETTERS = 8


def grounded(said: Iterable[Section], offered: Sequence[Section]) -> tuple[Section, ...]:
    """Of each section offered what was said of it, in the order in which it was said; what was not offered is left out.

    What is said without a domain is about the first that it can be about: a text about one domain does not name it.
    """
    taken: list[dict[str, list[str]]] = [{kind: [] for kind in KINDS} for _ in offered]
    for claim in claims_of(said):
        for section, values in zip(offered, taken, strict=True):
            meant = _meant(claim, section)
            if meant is not None:
                values[claim.kind].append(meant)
                break
    return tuple(
        replace(section, **{kind: tuple(dict.fromkeys(of_kind)) for kind, of_kind in values.items()})
        for section, values in zip(offered, taken, strict=True)
    )


def _meant(claim: Claim, section: Section) -> str | None:
    """The value of the section that the claim stands for."""
    if claim.domain and not same_domain(claim.domain, section.domain):
        return None
    return _find(claim.value, getattr(section, claim.kind))


def _find(words: str, offered: Sequence[str]) -> str | None:
    """The very words, or the only value of the same letters, or the only one that begins as words do that were cut."""
    if words in offered:
        return words
    letters = _letters(words)
    found = [value for value in offered if letters and _letters(value) == letters]
    if not found and words.endswith(_CUT) and len(letters) >= _MIN_CUT_LETTERS:
        found = [value for value in offered if _letters(value).startswith(letters)]
    return found[0] if len(found) == 1 else None


def _letters(text: str) -> str:
    """The letters, marks and digits alone, whatever their case."""
    return "".join(filter(_is_telling, unicodedata.normalize("NFC", text.casefold())))


def _is_telling(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"
