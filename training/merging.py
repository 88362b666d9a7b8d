"""S2, generate, verify, merge: an answer to learn, made of what foresaw the choices that came next (moments → **S2** → SFT).

For each of four or five choices that a person made later, a teacher writes what it takes to matter there of all that is known.
It is kept if a reader, who sees that text and nothing else, then gives the right item more than half, in both orders. What was
kept is merged as a set, every claim of each text, within the budget; and the merged text has to be right on at least four
fifths of their choices again. The prompt that is learnt shows none of those choices.

Source: AlignXplore+, generate, verify, merge; there all three are one large model, here each is whatever has the interface.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from evaluation.records import Question
from prefstream.events import Item
from streams.evolution.prose import KINDS, Claims, Section, parse, render
from training.phrasings import PHRASINGS, Phrasing, phrase
from training.states import Moment


class Rules(Struct, frozen=True):
    """How many choices are aimed at, how many texts must pass, how well the merged one must do; tokens are estimates.

    ``pick_tokens`` is the budget of a teacher's text, ``max_tokens`` that of the merged one. The counts are AlignXplore+'s.
    """

    min_targets: int = 4
    max_targets: int = 5
    min_passed: int = 3
    least_right: float = 0.8
    pick_tokens: int = 80
    max_tokens: int = 160


class Case(Struct, frozen=True):
    """A person at a moment: the text before it, what may be said, and the choices that came later, those to aim at first."""

    moment: Moment
    old_text: str
    known: Claims
    targets: tuple[Question, ...]
    phrasing: Phrasing = PHRASINGS[0]


Teach = Callable[[Sequence[tuple[Case, tuple[Item, Item]]]], Sequence[str]]
"""Writes, for each case and the two items of a choice, what matters there; it is not told which one was taken."""
Verify = Callable[[Sequence[tuple[str, Question]]], Sequence[float]]
"""The probability that a reader of each text gives the right item, averaged over both orders of the two."""
Merge = Callable[[Sequence[tuple[Case, Sequence[str]]]], Sequence[str]]
"""One text for each case, of all that the kept ones say."""


class Teacher(Struct, frozen=True):
    """Somebody who writes; ``name`` as in the source of an example."""

    name: str
    teach: Teach


Fate = Literal["merged", "few_targets", "few_passed", "wrong_again"]


class Outcome(Struct, frozen=True):
    """What became of a case: the merged text, or why there is none. ``right`` is its share of the passed choices."""

    fate: Fate
    text: str = ""
    num_texts: int = 0
    num_passed: int = 0
    right: float = 0.0
    teachers: tuple[str, ...] = ()


class _Pick(Struct, frozen=True):
    teacher: str
    text: str
    target: Question


def merge_all(cases: Sequence[Case], teachers: Sequence[Teacher], verify: Verify, merge: Merge, rules: Rules) -> list[Outcome]:
    """What becomes of each case. A step is made for all cases together, so that a model is called in bulk."""
    picks = _picks(cases, teachers, rules)
    passed = _passed(picks, verify)
    enough = [place for place, kept in enumerate(passed) if len(kept) >= rules.min_passed]
    merged = merge([(cases[place], [pick.text for pick in passed[place]]) for place in enough])
    texts = dict(zip(enough, merged, strict=True))
    again = _passed(
        [[replace(pick, text=texts[place]) for pick in kept] if place in texts else [] for place, kept in enumerate(passed)],
        verify,
    )
    return [
        _outcome(texts.get(place, ""), picks[place], passed[place], len(again[place]), rules) for place in range(len(cases))
    ]


def _picks(cases: Sequence[Case], teachers: Sequence[Teacher], rules: Rules) -> list[list[_Pick]]:
    """A text for each target, the teachers taking turns; none for a case with too few targets."""
    aimed = [case.targets[: rules.max_targets] if len(case.targets) >= rules.min_targets else () for case in cases]
    picks: list[list[_Pick]] = [[] for _ in cases]
    for turn, teacher in enumerate(teachers):
        places = [(place, target) for place, targets in enumerate(aimed) for target in targets[turn :: len(teachers)]]
        texts = teacher.teach([(cases[place], _hidden(target)) for place, target in places])
        for (place, target), text in zip(places, texts, strict=True):
            picks[place].append(_Pick(teacher.name, text, target))
    return picks


def _hidden(target: Question) -> tuple[Item, Item]:
    """The two items, in an order that says nothing."""
    first, second = sorted((target.chosen, target.rejected), key=lambda item: (item.id, item.title))
    return first, second


def _passed(picks: Sequence[Sequence[_Pick]], verify: Verify) -> list[list[_Pick]]:
    chances = iter(verify([(pick.text, pick.target) for of_case in picks for pick in of_case]))
    return [[pick for pick in of_case if next(chances) > 0.5] for of_case in picks]


def _outcome(text: str, picks: Sequence[_Pick], kept: Sequence[_Pick], num_right: int, rules: Rules) -> Outcome:
    teachers = tuple(dict.fromkeys(pick.teacher for pick in kept))
    if not picks:
        return Outcome("few_targets")
    if not text:
        return Outcome("few_passed", "", len(picks), len(kept), 0.0, teachers)
    right = num_right / len(kept)
    if right < rules.least_right:
        return Outcome("wrong_again", "", len(picks), len(kept), right, teachers)
    return Outcome("merged", text, len(picks), len(kept), right, teachers)


def merge_claims(rules: Rules) -> Merge:
    """The merger by code: exactly the union of the claims, as far as the budget goes, in the phrasing of the case."""
    return lambda asked: [
        phrase(union([parse(text) for text in texts], case.known), case.phrasing, rules.max_tokens) for case, texts in asked
    ]


def union(said: Sequence[Claims], known: Claims) -> Claims:
    """Every claim that any of these texts makes and that is known, in the order of ``known``: nothing is added."""
    claimed = {claim for claims in said for claim in _told(named_as(claims, known))}
    return among(known, claimed)


def named_as(claims: Claims, known: Claims) -> Claims:
    """The claims with the domain that a text about a single one does not name."""
    if len(known.sections) != 1:
        return claims
    return Claims(tuple(replace(one, domain=one.domain or known.sections[0].domain) for one in claims.sections))


def among(claims: Claims, allowed: Collection[tuple[str, str, str]]) -> Claims:
    """Those of the claims that are allowed: (domain, kind, value)."""

    def kept(section: Section, kind: str) -> tuple[str, ...]:
        return tuple(value for value in getattr(section, kind) if (section.domain, kind, value) in allowed)

    sections = (replace(one, **{kind: kept(one, kind) for kind in KINDS}) for one in claims.sections)
    return Claims(tuple(one for one in sections if one != Section(domain=one.domain)))


def _told(claims: Claims) -> list[tuple[str, str, str]]:
    return [(one.domain, kind, value) for one in claims.sections for kind in KINDS for value in getattr(one, kind)]


Pick = Callable[[Claims, tuple[Item, Item]], Claims]
"""Of the known claims those that matter for choosing between two items."""


def picking(name: str, pick: Pick, rules: Rules) -> Teacher:
    """A teacher by code: its text is what it picks, within the budget."""
    return Teacher(name, lambda asked: [render(pick(case.known, items), rules.pick_tokens) for case, items in asked])
