"""Contradictions: well-formed words that are false (answer → **contradictions** → verdict).

What the person pinned or said in their own words is right whatever was counted: a claim about anything that they name is left
alone. What the tally has no room for, and what nothing is known of, contradicts nothing.
"""

from __future__ import annotations

from streams.evolution.claims import Claim, claims_of, conflicting, known, opposed, repeated
from streams.evolution.guards.verdicts import Candidate, Rejected
from streams.evolution.guards.wording import phrases_of, words_of
from streams.evolution.prose import parse


def contradicts_nothing(candidate: Candidate) -> Rejected | None:
    """Whether the claims of the text agree with the tally, with the new evidence and with each other."""
    claims = _claims_of_the_model(candidate)
    if not claims:
        return None
    about = known(candidate.tally, candidate.evidence)
    for found, what in (
        (opposed(claims, about), "say the opposite of what was counted"),
        (conflicting(claims, about), "say the opposite of each other"),
        (repeated(claims, about), "are made twice"),
    ):
        if found:
            return Rejected("contradicted", f"{len(found)} of {len(claims)} claims {what}")
    return None


def _claims_of_the_model(candidate: Candidate) -> list[Claim]:
    """The claims of the text about what the person does not name."""
    claims = [(claim, tuple(words_of(claim.value))) for claim in claims_of(parse(candidate.text).sections)]
    own = phrases_of([*candidate.pins, *parse(candidate.old_text).others])
    lengths = {len(value) for _, value in claims}
    named = {tuple(words[i : i + length]) for words in own for length in lengths for i in range(len(words) - length + 1)}
    return [claim for claim, value in claims if value not in named]
