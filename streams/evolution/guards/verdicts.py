"""Verdicts: what the guards look at, and what they say (answer → **verdict** → write back, metrics)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Literal

from msgspec import Struct

from prefstream.events import Item
from prefstream.summaries import Tally
from streams.evidence import Evidence
from streams.evolution.records import Prompt
from streams.sensitive_words import Category

RejectionReason = Literal[
    "finish_reason",
    "empty",
    "over_budget",
    "template_tokens",
    "leaked",
    "repetition",
    "prompt_copied",
    "echo",
    "language",
    "contradicted",
    "wiped",
    "pin_missing",
    "forbidden",
    "sensitive",
]


class GuardLimits(Struct, frozen=True):
    """How much is too much: ``max_tokens`` of a summary, and shares of words from 0 to 1.

    ``max_echoed`` is the share of the new text that may be copied from the prompt. ``min_kept`` is the share of the old
    text's distinct words that must still occur, ``min_length`` the new text's length over the old one's. Old texts of fewer
    than ``min_old_words`` are too short to be wiped.
    """

    max_tokens: int = 160
    max_echoed: float = 0.3
    min_kept: float = 0.1
    min_length: float = 0.3
    min_old_words: int = 12


class Accepted(Struct, frozen=True):
    """The text to store, whitespace normalised, and its tokens: as the server counted them, else an estimate."""

    text: str
    tokens: int


class Rejected(Struct, frozen=True):
    """Why the old version stays. ``message`` quotes neither the text nor the prompt, so it may be logged.

    ``is_too_long`` says that a shorter answer may be a good one.
    """

    reason: RejectionReason
    message: str
    is_too_long: bool = False


Judgement = Accepted | Rejected

_MAX_ATTRIBUTES = 100


def attributes_of(item: Item) -> Iterator[str]:
    """The values of the item's attributes; of one with more than a hundred the first, since no prompt names so many."""
    return islice(chain.from_iterable(item.attributes.values()), _MAX_ATTRIBUTES)


class Candidate(Struct, frozen=True):
    """An answer, its text normalised and in words, and what it is held against."""

    text: str
    words: list[str]
    tokens: int
    finish_reason: str
    prompt: Prompt
    old_text: str
    limits: GuardLimits
    pins: Sequence[str]
    forbidden: Sequence[str]
    evidence: Sequence[Evidence]
    tally: Tally
    off: frozenset[Category]
