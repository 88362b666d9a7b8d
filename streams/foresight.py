"""Foresight: what the summary in force says of choices that it has not learnt from yet (step → **verdicts** → metrics).

Each clear choice first tests the summary, then trains it: so quality is measured on live events, with nobody's help and at no
call. The plainest reader is asked, :mod:`streams.lexical`: its verdicts tell how quality moves, not how good a summary is. Of a
text in no format that it knows it hears nothing: all is silent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal

from prefstream.events import Item
from streams.evidence import Evidence
from streams.evolution.prose import Claims, parse
from streams.lexical import lean

Verdict = Literal["told", "mistaken", "silent"]

FIRM = 0.5
"""Felt about so strongly, liked and disliked are told apart clearly."""

_Choice = tuple[Item, tuple[Item, ...], str]  # what was chosen, what was not, the domain


def verdicts(text: str, evidence: Sequence[Evidence]) -> Counter[Verdict]:
    """What ``text`` says of the clear choices among the evidence: leans to what was chosen, to what was not, or to neither.

    Clear are a ``choice``, and of the rest one item liked firmly beside one of its domain disliked firmly, each taken once. A
    user without a text is not tested.
    """
    if not text:
        return Counter()
    found = list(_choices(evidence))
    claims = parse(text) if found else Claims()
    return Counter(_verdict(claims, choice) for choice in found)


def _choices(evidence: Sequence[Evidence]) -> Iterator[_Choice]:
    yield from ((one.chosen, one.rejected, one.domain) for one in evidence if one.chosen is not None and one.rejected)
    for domain in dict.fromkeys(one.domain for one in evidence):
        felt = [one for one in evidence if one.domain == domain and one.kind != "choice"]
        liked = [one.chosen for one in felt if one.strength >= FIRM and one.chosen is not None]
        disliked = [item for one in felt if one.strength <= -FIRM for item in one.rejected]
        yield from ((chosen, (rejected,), domain) for chosen, rejected in zip(liked, disliked, strict=False))


def _verdict(claims: Claims, choice: _Choice) -> Verdict:
    chosen, rejected, domain = choice
    leaning = sum(lean(claims, chosen, other, domain) for other in rejected)
    return "silent" if leaning == 0 else "told" if leaning > 0 else "mistaken"
