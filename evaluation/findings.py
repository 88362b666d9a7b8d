"""Findings: everything that one run of the evaluation measured, as one record (answers → **findings** → tables, page, JSON)."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from evaluation.intervals import Interval

PRIOR = "prior alone"
CEILING = "numeric ceiling"
"""Names of rows that no summary has a part in; they frame all others."""


class Cost(Struct, frozen=True):
    """What the texts of a setting took, from the first event on; tokens are the model's own count.

    ``text_tokens`` and their 99th percentile are of the texts that were read; prompt and completion tokens, seconds and calls
    are means of an update. ``rejected`` is the share of calls whose answer the guards refused, 0 to 1.
    """

    num_texts: int
    text_tokens: float
    text_tokens_p99: float
    num_updates: int
    prompt_tokens: float
    completion_tokens: float
    seconds: float
    calls: float
    rejected: float


class Score(Struct, frozen=True):
    """How often one reader is right in one task, told of the person by one setting; a row of a table.

    ``events`` are those known at the question, ``summariser`` who wrote the texts, empty where nobody did. ``over_prior``: the
    same questions, less the prior. ``cost`` is None where no text was made.
    """

    task: str
    events: int
    summariser: str
    setting: str
    reader: str
    seed: int
    accuracy: Interval
    over_prior: Interval
    cost: Cost | None = None


class Point(Struct, frozen=True):
    """A point of a curve: right answers to the questions behind so many updates, and the tokens of their texts."""

    task: str
    summariser: str
    setting: str
    seed: int
    updates: int
    events: float
    accuracy: Interval
    over_prior: Interval
    text_tokens: float


class Truth(Struct, frozen=True):
    """How faithful the texts of a setting are: each share (0 to 1, tokens: a mean) with its n, by its name."""

    summariser: str
    setting: str
    events: int
    shares: dict[str, tuple[float | None, int]]


class Check(Struct, frozen=True):
    """Something that must hold: what was ``measured`` and what it is held to, in words; an empty ``bound``: only reported."""

    name: str
    measured: str
    bound: str
    held: bool


class Findings(Struct, frozen=True):
    """All of a run. ``command`` makes it again; ``seconds`` is what this run of it took."""

    command: str
    started_at: str
    seconds: float
    num_people: int
    num_events: int
    seeds: tuple[int, ...]
    summarisers: dict[str, str]
    scores: tuple[Score, ...] = ()
    points: tuple[Point, ...] = ()
    truths: tuple[Truth, ...] = ()
    checks: tuple[Check, ...] = ()
    num_left_out: int = 0

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that do not hold."""
        return tuple(check for check in self.checks if not check.held)


def encode_findings(findings: Findings) -> bytes:
    """The findings as JSON, for people too."""
    return msgspec.json.format(msgspec.json.encode(findings), indent=1)


decode_findings = msgspec.json.Decoder(Findings).decode
