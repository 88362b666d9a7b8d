"""Faithfulness: what a text claims against the person's events and the tally (summary → **faithfulness** → report, reward).

Every claim of the prose gets a verdict. Claims are held against all of the person's events so far, so one that was only handed
down from summary to summary, without an event, is unsupported. Sentences that are no claims are counted and not judged: they
are the person's own words, or what no code can check. Counts add up over texts; a share of nothing is not a number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from msgspec import Struct
from msgspec.structs import asdict

from prefstream.summaries import Tally
from streams.evidence import Evidence
from streams.evolution.claims import (
    OPINIONS,
    SIDES,
    Claim,
    Known,
    claims_of,
    conflicting,
    domains_of,
    known,
    opposed,
    repeated,
    strengths_of,
)
from streams.evolution.plain import MAX_LINE_CHARS
from streams.evolution.prose import MAX_ATTRIBUTE_CHARS, Claims, as_data, parse, quotable, render
from streams.tally import Grade, grades
from streams.tokens import estimate_text_tokens
from streams.weights import DEFAULT_POLICY

Verdict = Literal["right", "near", "wrong", "unsupported"]
"""``right``: as it was counted, or met. ``near``: another level of the same sign, or a title met with no feeling. ``wrong``:
the other way round. ``unsupported``: nothing that was counted or met says it."""
TOP_TOKENS = 160
"""The claims that a text should cover are those that fit a summary of so many tokens, the most important first."""


class Judged(Struct, frozen=True):
    """A claim with its verdict and, for an attribute, the tally's ``level``, empty where it says none."""

    claim: Claim
    verdict: Verdict
    level: str = ""


class Faithfulness(Struct, frozen=True):
    """Counts over one text or several.

    Titles are those of favourites and of what was not enjoyed, levels the attributes that are loved, liked, mixed or disliked;
    ``others`` are attributes chosen often, searches and quotes. Of titles ``met`` are in the person's events, ``right`` on the
    right side; of levels ``signed`` have the tally's sign, ``exact`` its level. ``opposed`` claims are turned round by the
    tally or an event, as the guard ``contradicted`` sees it. ``top`` claims are those a text should cover.
    """

    num_texts: int = 0
    num_titles: int = 0
    num_titles_met: int = 0
    num_titles_right: int = 0
    num_levels: int = 0
    num_levels_signed: int = 0
    num_levels_exact: int = 0
    num_others: int = 0
    num_others_right: int = 0
    num_repeated: int = 0
    num_conflicting: int = 0
    num_opposed: int = 0
    num_top: int = 0
    num_top_covered: int = 0
    num_unjudged_sentences: int = 0
    num_tokens: int = 0

    def __add__(self, other: Faithfulness) -> Faithfulness:
        """Both together."""
        return Faithfulness(**{name: count + getattr(other, name) for name, count in asdict(self).items()})

    @property
    def num_claims(self) -> int:
        """All claims that have a verdict."""
        return self.num_titles + self.num_levels + self.num_others

    @property
    def score(self) -> float:
        """How true and how complete, 0 to 1: the harmonic mean of precision and coverage, a reward for one text.

        A right claim counts 1, a level of the right sign a half, a claim made again or against another none.
        """
        if not self.num_claims or not self.num_top:
            return float(self.num_claims == self.num_top)  # nothing is right where nothing can be said
        worth = self.num_titles_right + (self.num_levels_signed + self.num_levels_exact) / 2 + self.num_others_right
        precision = max(0.0, worth - self.num_repeated - self.num_conflicting) / self.num_claims
        coverage = self.num_top_covered / self.num_top
        return 2 * precision * coverage / (precision + coverage) if precision + coverage else 0.0

    def shares(self) -> dict[str, tuple[float, int]]:
        """What a report shows: each share with its n, that of which it is one; not a number where n is 0."""
        return {
            "titles in events": _share(self.num_titles_met, self.num_titles),
            "titles on the right side": _share(self.num_titles_right, self.num_titles_met),
            "levels of the right sign": _share(self.num_levels_signed, self.num_levels),
            "levels exact": _share(self.num_levels_exact, self.num_levels),
            "other claims right": _share(self.num_others_right, self.num_others),
            "top claims covered": _share(self.num_top_covered, self.num_top),
            "claims made twice": _share(self.num_repeated, self.num_claims),
            "claims against each other": _share(self.num_conflicting, self.num_claims),
            "claims against the tally": _share(self.num_opposed, self.num_claims),
            "tokens of a text": _share(self.num_tokens, self.num_texts),
        }


def _share(part: int, whole: int) -> tuple[float, int]:
    return (part / whole if whole else math.nan), whole


def faithfulness(text: str, tally: Tally, evidence: Iterable[Evidence]) -> Faithfulness:
    """The counts of one text about somebody who has this tally after all this evidence."""
    evidence = tuple(evidence)
    about, said = known(tally, evidence), parse(text)
    judged = judged_claims(text, tally, evidence)
    claims = [one.claim for one in judged]
    titles = [one for one in judged if one.claim.kind in SIDES]
    levels = [one for one in judged if one.claim.kind in OPINIONS]
    others = [one for one in judged if one.claim.kind not in SIDES and one.claim.kind not in OPINIONS]
    num_top, num_top_covered = _coverage(claims, about)
    return Faithfulness(
        num_texts=1,
        num_titles=len(titles),
        num_titles_met=sum(one.verdict != "unsupported" for one in titles),
        num_titles_right=_num_right(titles),
        num_levels=len(levels),
        num_levels_signed=sum(one.verdict in ("right", "near") for one in levels),
        num_levels_exact=_num_right(levels),
        num_others=len(others),
        num_others_right=_num_right(others),
        num_repeated=len(repeated(claims, about)),
        num_conflicting=len(conflicting(claims, about)),
        num_opposed=len(opposed(claims, about)),
        num_top=num_top,
        num_top_covered=num_top_covered,
        num_unjudged_sentences=len(said.others),
        num_tokens=estimate_text_tokens(text),
    )


def _num_right(judged: Iterable[Judged]) -> int:
    return sum(one.verdict == "right" for one in judged)


def judged_claims(text: str, tally: Tally, evidence: Iterable[Evidence]) -> list[Judged]:
    """Every claim of the text with its verdict, in the order of the text."""
    evidence = tuple(evidence)
    about, words = known(tally, evidence), _own_words(evidence)
    counted = {as_data(name, MAX_ATTRIBUTE_CHARS): _as_shown(graded) for name, graded in grades(tally).items()}
    return [_judged(claim, about, counted, words) for claim in claims_of(parse(text).sections)]


def _own_words(evidence: Iterable[Evidence]) -> set[str]:
    return {_beginning(words) for one in evidence for words in (one.query, one.quote) if words}


def _beginning(words: str) -> str:
    # A long quote is cut where it is told, so that a text can repeat its beginning only.
    return quotable(words, MAX_LINE_CHARS).removesuffix("…")


def _as_shown(graded: dict[str, Grade]) -> dict[str, Grade]:
    return {as_data(value, MAX_LINE_CHARS): grade for value, grade in reversed(graded.items())}


def _judged(claim: Claim, about: Known, counted: dict[str, dict[str, Grade]], words: set[str]) -> Judged:
    if claim.kind in SIDES:
        return Judged(claim, _title_verdict(claim, about))
    if claim.kind not in OPINIONS and claim.kind != "often":
        return Judged(claim, "right" if any(said.startswith(_beginning(claim.value)) for said in words) else "unsupported")
    meant = (counted[name] for name in domains_of(claim.domain, counted))
    found = [graded[claim.value] for graded in meant if claim.value in graded]
    # Where several domains may be meant, the one that supports the text most.
    verdicts = [Judged(claim, _attribute_verdict(claim.kind, grade), grade.level) for grade in found]
    return min(verdicts, key=lambda one: _ORDER.index(one.verdict), default=Judged(claim, "unsupported"))


_ORDER: tuple[Verdict, ...] = ("right", "near", "unsupported", "wrong")


def _title_verdict(claim: Claim, about: Known) -> Verdict:
    met = [SIDES[claim.kind] * strength for strength in strengths_of(claim, about)]
    if not met:
        return "unsupported"
    return "right" if max(met) > 0 else "near" if max(met) == 0 else "wrong"


def _attribute_verdict(kind: str, grade: Grade) -> Verdict:
    if kind == "often":
        return "right" if grade.is_often else "unsupported"
    if kind == grade.level:
        return "right"
    if _has_sign(OPINIONS[kind], grade):
        return "near"
    return "wrong" if grade.level and OPINIONS[kind] * OPINIONS[grade.level] < 0 else "unsupported"


def _has_sign(sign: int, grade: Grade) -> bool:
    """Whether what was counted is for (1), against (-1) or both (0): by its level, or by what was said where it has none."""
    if grade.level:
        return OPINIONS[grade.level] == sign
    if sign == 0:
        return min(grade.liked, grade.disliked) >= DEFAULT_POLICY.strong
    return sign * (grade.liked - grade.disliked) > 0


def _coverage(claims: Iterable[Claim], about: Known) -> tuple[int, int]:
    """How many claims of the tally come first under the budget, and how many of them the text makes, a level by its sign."""
    top = claims_of(parse(render(Claims(about.told), TOP_TOKENS)).sections)
    made = {(_side(claim), claim.value) for claim in claims}
    return len(top), sum((_side(claim), claim.value) in made for claim in top)


def _side(claim: Claim) -> str:
    return f"level {OPINIONS[claim.kind]}" if claim.kind in OPINIONS else claim.kind
