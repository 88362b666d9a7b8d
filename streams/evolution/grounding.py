"""Grounding: of an answer in the prose of summaries, what the model was shown (answer → **grounding** → own words → guards).

A small model copies nearly right: it leaves out a full stop, lets a title end in the middle, makes a sentence of an order that
stood in a domain's name. So of what it says only the claims are taken that it was offered, each in the words in which it was
offered, and each once. Which of them are worth saying, and in what order, is the model's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from streams.evolution.claims import same_domain
from streams.evolution.prose import KINDS, Section

_CUT = ("…", "...")
"""How words end that were cut."""


def grounded(said: Sequence[Section], offered: Sequence[Section]) -> tuple[Section, ...]:
    """Of each section offered what was said of it, in the order in which it was said; what was not offered is left out.

    A section that names no domain is about the only one, where there is only one.
    """
    return tuple(_taken(section, _about(section, said, len(offered) == 1)) for section in offered)


def _about(offered: Section, said: Iterable[Section], is_only: bool) -> Iterator[Section]:
    return (section for section in said if (is_only and not section.domain) or same_domain(section.domain, offered.domain))


def _taken(offered: Section, said: Iterable[Section]) -> Section:
    whole = list(said)
    return replace(
        offered,
        **{
            kind: _meant((value for section in whole for value in getattr(section, kind)), getattr(offered, kind))
            for kind in KINDS
        },
    )


def _meant(said: Iterable[str], offered: Sequence[str]) -> tuple[str, ...]:
    """Those of the values that the words stand for, each once."""
    meant = (_find(words, offered) for words in said)
    return tuple(dict.fromkeys(value for value in meant if value is not None))


def _find(words: str, offered: Sequence[str]) -> str | None:
    """The value with the same letters and digits, or, for words that end in dots, the one that begins with them."""
    letters, is_cut = _letters(words), words.endswith(_CUT)
    for value in offered:
        if value == words or _letters(value) == letters or (is_cut and letters and _letters(value).startswith(letters)):
            return value
    return None


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))
