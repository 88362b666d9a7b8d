"""AlignXplorePlus-RL: the pruned JSON lines, verl's Parquet made of them, and the benchmarks' form (jsonl ↔ **parquet** → upi).

A line is ``{"uid", "history": [triple, ...], "mid_position": int, "mid_record", "last_record": {"logprob1", "logprob2",
"signal"}, "signal_gap", "distance_to_end"}``. The first update sees ``history[:mid]`` and is asked about ``history[mid]``, the
second sees ``history[mid:-1]``, that target among it, and is asked about ``history[-1]``.

verl's table has ``prompt`` = [of the first, of the second, of all], each a user turn; its trainer puts the first summary
in place of every ``Not Provided.``. So our prompts have that once, and a history whose texts hold it too is refused. They are
those of the production dialect ``alignxplore``. A table read back has no signals: they are 0, as in the paper's own converter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import pyarrow
from msgspec import Meta, Struct

from evaluation.tasks.alignxplore import UpiRow
from evaluation.tasks.triples import Target, Triple, choices
from prefstream.summaries import Tally
from streams.evidence import evidence_of
from streams.evolution.alignxplore import NO_SUMMARY, AlignXplore
from streams.evolution.records import Update


class Signal(Struct, frozen=True):
    """How probable an event was to the model that knows the history (``logprob1``) and to the one that does not."""

    logprob1: float = 0.0
    logprob2: float = 0.0
    signal: float = 0.0


class RlRow(Struct, frozen=True):
    """A history with two targets in it, the later one at its end."""

    uid: str | int
    history: Annotated[tuple[Triple, ...], Meta(min_length=4)]
    mid_position: int
    mid_record: Signal = Signal()
    last_record: Signal = Signal()
    signal_gap: float = 0.0
    distance_to_end: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.mid_position < len(self.history) - 2:
            raise ValueError(f"mid_position: must be 1 to {len(self.history) - 3}, with events before, between and after")
        targets_of(self)


def targets_of(row: RlRow) -> tuple[Target, Target]:
    """What is asked after the first update and after the second. Raises ValueError where one has nothing to choose between."""
    middle, last = row.history[row.mid_position], row.history[-1]
    return _target(middle), _target(last)


def _target(triple: Triple) -> Target:
    return Target(chosen=triple.chosen, query=triple.query, rejected=triple.rejected)


def upi_rows(row: RlRow) -> Iterator[UpiRow]:
    """The two questions in the benchmarks' form; read back, they are one person's."""
    for known, target in zip((row.mid_position, len(row.history) - 1), targets_of(row), strict=True):
        yield UpiRow(row.uid, row.history[:known], target)


class RewardModel(Struct, frozen=True):
    """What verl's reward is about."""

    target1: Triple
    target2: Triple
    style: str = "rule"


class ExtraInfo(Struct, frozen=True):
    """The row that a table's row was made of, and its prompts again."""

    index: int
    userid: str
    prompt1: str
    prompt2: str
    full_prompt: str
    mid_position: int
    history: tuple[Triple, ...]
    split: str = "train"


class VerlRow(Struct, frozen=True):
    """One row of the table that verl's streaming trainer reads."""

    prompt: Annotated[tuple[str, ...], Meta(min_length=3, max_length=3)]
    reward_model: RewardModel
    extra_info: ExtraInfo
    data_source: str = "upi"
    ability: str = "personalization_alignment"


_TRIPLE = pyarrow.struct([(name, pyarrow.string()) for name in ("query", "chosen", "rejected")])
_TEXTS = pyarrow.list_(pyarrow.string())
_EXTRA = [
    *[("split", pyarrow.string()), ("index", pyarrow.int64())],
    *[(name, pyarrow.string()) for name in ("userid", "prompt1", "prompt2", "full_prompt")],
    *[("mid_position", pyarrow.int64()), ("history", pyarrow.list_(_TRIPLE))],
]
VERL_SCHEMA = pyarrow.schema(
    [
        *[("data_source", pyarrow.string()), ("prompt", _TEXTS), ("ability", pyarrow.string())],
        ("reward_model", pyarrow.struct([("style", pyarrow.string()), ("target1", _TRIPLE), ("target2", _TRIPLE)])),
        ("extra_info", pyarrow.struct(_EXTRA)),
    ]
)


def verl_row(row: RlRow, index: int, max_summary_tokens: int) -> VerlRow:
    """The row of verl's table. Raises ValueError where a text says ``Not Provided.``, which the trainer would replace."""
    parts = row.history[: row.mid_position], row.history[row.mid_position : -1], row.history[:-1]
    first, second, full = (_prompt(str(row.uid), part, max_summary_tokens) for part in parts)
    extra = ExtraInfo(index, str(row.uid), first, second, full, row.mid_position, row.history)
    return VerlRow((first, second, full), RewardModel(row.history[row.mid_position], row.history[-1]), extra)


def _prompt(user: str, history: tuple[Triple, ...], max_summary_tokens: int) -> str:
    evidence = tuple(map(evidence_of, choices(user, history)))
    update = Update("", Tally(), evidence, max_summary_tokens=max_summary_tokens)
    prompt = AlignXplore().write_prompt(update).turns[-1].content
    if prompt.count(NO_SUMMARY) != 1:
        raise ValueError(f"history: a text holds {NO_SUMMARY!r}, where verl's trainer would put the summary")
    return prompt


def rl_row(row: VerlRow) -> RlRow:
    """The pruned line that a row of the table was made of, without its signals."""
    extra = row.extra_info
    distance = len(extra.history) - 1 - extra.mid_position
    return RlRow(extra.userid, extra.history, extra.mid_position, distance_to_end=distance)
