"""AlignXplorePlus-SFT, ``sft.jsonl``, in TRL's form of prompt and completion: to and from examples (jsonl ↔ **examples**).

A line is ``{"prompt": [{"role": "system", "content": str}, {"role": "user", ...}], "completion": [{"role": "assistant",
"content": "<think>\\n...\\n</think>\\n\\n..."}]}``. A published line names no user. A person has two: the second continues the
summary that the first one ends with, so that summary tells which lines are one person's, wherever they stand in the file.

Written, a line also has ``user`` and ``source``, which the paper's scripts leave alone: so examples survive both ways.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from streams.evolution.alignxplore import NO_SUMMARY
from streams.evolution.records import Completion, Turn
from streams.evolution.thoughts import without_thought
from training.examples import Example

SOURCE = "AlignXplorePlus-SFT"
_PAST = re.compile(r"=====Past Preference Summary=====\n\n(.*?)\n\n=====Interaction History=====", re.DOTALL)


class SftRow(Struct, frozen=True, omit_defaults=True):
    """One line: the turns of a prompt, and the one turn that answers it."""

    prompt: Annotated[tuple[Turn, ...], Meta(min_length=1)]
    completion: Annotated[tuple[Turn, ...], Meta(min_length=1, max_length=1)]
    user: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        if self.prompt[-1].role != "user" or self.completion[0].role != "assistant":
            raise ValueError("role: a prompt ends with the user's turn, a completion is the assistant's")
        if not summary_of(self):
            raise ValueError("completion: no summary after the thought, or a thought without end")


def example_of(row: SftRow) -> Example:
    """The line as an example; the answer is learnt with its thought, as published."""
    return Example(row.user or _user_of(row), row.prompt, row.completion[0].content, row.source or SOURCE)


def without_thoughts(example: Example) -> Example:
    """The example with the summary alone to learn, for a model that does not think."""
    return replace(example, completion=_summary(example.completion))


def row_of(example: Example) -> SftRow:
    """The example as a line; ``example_of(row_of(e))`` equals ``e`` where it names its user and source."""
    return SftRow(example.turns, (Turn("assistant", example.completion),), example.user, example.source)


def summary_of(row: SftRow) -> str:
    """What follows the thought; empty where a thought does not end."""
    return _summary(row.completion[0].content)


def _summary(answer: str) -> str:
    return without_thought(Completion(answer, "stop")).text


def _user_of(row: SftRow) -> str:
    """The same for the two lines of a person: both know the first summary."""
    past = _PAST.search(row.prompt[-1].content)
    first = past[1].strip() if past and past[1].strip() != NO_SUMMARY else summary_of(row)
    return "by summary " + hashlib.sha256(first.encode(errors="replace")).hexdigest()[:16]
