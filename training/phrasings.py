"""Phrasings: the claims of a summary in one of six forms that code reads back (claims → **text** → example).

What varies is the order of the sentences and whether each has a line. The sentences themselves are those of the prose: its
grammar has one wording for each kind of claim, and a text that another wording makes unreadable cannot be checked any more.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from streams.evolution.prose import KINDS, Claims, Section, parse, render
from streams.tokens import estimate_text_tokens

_TITLES = ("favourites", "did_not_enjoy", "searches", "quotes")
_AGAINST = ("dislikes", "did_not_enjoy")
_WHOLE = 1_000_000


class Phrasing(Struct, frozen=True):
    """The kinds of claims in the order of their sentences, and whether each sentence has a line of its own."""

    order: tuple[str, ...]
    lines: bool


_ORDERS = (
    KINDS,
    (*_TITLES, *(kind for kind in KINDS if kind not in _TITLES)),
    (*_AGAINST, *(kind for kind in KINDS if kind not in _AGAINST)),
)
PHRASINGS = tuple(Phrasing(order, lines) for lines in (False, True) for order in _ORDERS)
"""The first one is how the prose itself is written."""


def phrase(claims: Claims, phrasing: Phrasing, max_tokens: int) -> str:
    """The claims in this phrasing, the least important left out as :func:`streams.evolution.prose.render` leaves them out."""
    room = max_tokens
    while True:
        text = _write(parse(render(claims, room)), phrasing)
        excess = estimate_text_tokens(text) - max_tokens
        if excess <= 0 or room <= 1:
            return text
        room = max(1, room - excess)


def _write(claims: Claims, phrasing: Phrasing) -> str:
    if not claims.sections:
        return render(claims, _WHOLE)
    lines = [" ".join(claims.others)] if claims.others else []
    return "\n".join([*lines, *(line for section in claims.sections for line in _lines(section, claims, phrasing))])


def _lines(section: Section, claims: Claims, phrasing: Phrasing) -> Iterator[str]:
    tag = _tag(section, claims)
    present = (Section(**{kind: values}) for kind in phrasing.order if (values := getattr(section, kind)))
    sentences = [render(Claims((one,)), _WHOLE) for one in present]
    yield from (tag + line for line in (sentences if phrasing.lines else [" ".join(sentences)]))


def _tag(section: Section, claims: Claims) -> str:
    """What the section's line starts with: its domain, where there are several."""
    if len(claims.sections) < 2:
        return ""
    sentences = render(Claims((replace(section, domain=""),)), _WHOLE)
    written = render(Claims(claims.sections), _WHOLE).splitlines()
    return written[claims.sections.index(section)].removesuffix(sentences)
