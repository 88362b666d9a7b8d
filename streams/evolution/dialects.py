"""Dialects: how a model wants its prompt written, and what of its answer is the summary (dispatch → **dialect** → guards).

:mod:`streams.evolution.plain` is ours, in words that every chat model reads; a model that was trained on another prompt gets
that one (:mod:`streams.evolution.brief`, :mod:`streams.evolution.alignxplore`).
"""

from __future__ import annotations

from typing import Literal, Protocol

from streams.evolution.alignxplore import AlignXplore
from streams.evolution.brief import Brief
from streams.evolution.plain import Plain
from streams.evolution.records import Completion, Prompt, Update
from streams.evolution.sections import Sections

__all__ = ["Dialect", "DialectName", "Grammar", "Update", "dialect_of"]

DialectName = Literal["plain", "brief", "alignxplore"]
Grammar = Literal["", "sections"]


class Dialect(Protocol):
    """One way to write and to read."""

    @property
    def name(self) -> str:
        """Its name in a profile, and in the record of every summary it made."""

    @property
    def prompt_sha256(self) -> str:
        """Of the constant part: the same for every prompt that asks the same thing in the same way."""

    def write_prompt(self, update: Update) -> Prompt:
        """The prompt for one update, what is constant first; ``max_tokens`` leaves no room for a thought."""

    def read_answer(self, completion: Completion, update: Update) -> Completion:
        """The same answer with the summary alone as its text: what the guards judge.

        A thought is cut away; ``completion_tokens`` is 0 where the server's count is not the text's. A thought that never
        ended has the finish reason ``unterminated_thought``, and no text.
        """


def dialect_of(name: DialectName, grammar: Grammar = "") -> Dialect:
    """The dialect of this name, for answers in this grammar (empty: free text). Raises ValueError: there is none such."""
    match name, grammar:
        case "plain", "":
            return Plain()
        case "plain", "sections":
            return Sections()
        case "brief", "":
            return Brief()
        case "alignxplore", "":
            return AlignXplore()
        case _:
            raise ValueError(f"the dialect {name} has no grammar {grammar!r}")
