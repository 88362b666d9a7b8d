"""AlignX's training table: to the benchmarks' form, and to pairs of answers for DPO (parquet → **upi** or **preferences**).

A row is one of :mod:`evaluation.tasks.alignx`; it names no user, so it is a person of its own. Preferences have TRL's form,
``{"prompt": [turn, ...], "chosen": [turn], "rejected": [turn]}``, for its DPOTrainer (sigmoid, beta 0.1). The prompt says first
what is known of the person and last what to answer, and where it is too long the oldest of the history is left out: so no
truncation from the left can take the task away, as it does in the published evaluation.

Vectors are in neither (see the loader), but for preferences *by direction*: there the prompt has, instead of the history, what
its vectors come to in the words of the space. The row's own vector is that of the pair to be learnt, and is never among them.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow
from msgspec import Struct

from evaluation.directions import Counted, count, states_of
from evaluation.space import load_space, words_of
from evaluation.tasks.alignx import AlignXRow
from evaluation.tasks.alignxplore import UpiRow
from evaluation.tasks.triples import Target, Triple
from streams.evolution.records import Turn

MAX_PROMPT_CHARS = 24_000
"""About 6,000 tokens: it fits 8,192 together with an answer."""

SYSTEM = "Answer the last post as this person would like it answered, going by what is known of them."

_TEXT, _DIRECTION = pyarrow.string(), ("Preference Direction", pyarrow.list_(pyarrow.float64()))
_SAID = pyarrow.struct([("prompt", _TEXT), ("comment", _TEXT), _DIRECTION])
_TAKEN = pyarrow.struct([("prompt", _TEXT), ("chosen", _TEXT), ("rejected", _TEXT), _DIRECTION])
ALIGNX_SCHEMA = pyarrow.schema(
    [
        *[("prompt", _TEXT), ("chosen", _TEXT), ("rejected", _TEXT), _DIRECTION, ("Demographic Information", _TEXT)],
        *[("User-Generated Content", pyarrow.list_(_SAID)), ("Pair-wise Comparative Feedback", pyarrow.list_(_TAKEN))],
    ]
)


class Preference(Struct, frozen=True):
    """Two answers to one prompt."""

    prompt: tuple[Turn, ...]
    chosen: tuple[Turn]
    rejected: tuple[Turn]
    user: str = ""


def upi_row(row: AlignXRow, user: str) -> UpiRow:
    """The pairs as a history, the row's own pair as the target. Raises ValueError where there are no pairs."""
    if not row.pairs:
        raise ValueError("Pair-wise Comparative Feedback: empty; the benchmarks' form has nothing but choices")
    history = tuple(Triple(chosen=pair.chosen, query=pair.prompt, rejected=pair.rejected) for pair in row.pairs)
    return UpiRow(user, history, Target(chosen=row.chosen, query=row.prompt, rejected=row.rejected))


def preference_of(row: AlignXRow, user: str, max_chars: int = MAX_PROMPT_CHARS) -> Preference:
    """The row's two answers, to a prompt of at most ``max_chars`` that tells the history.

    Raises ValueError where post and description alone are longer.
    """
    return _preference(row, user, _known_then_asked(row, max_chars - len(SYSTEM)))


def preference_by_direction(row: AlignXRow, user: str) -> Preference:
    """The row's two answers, to a prompt that tells what the history's vectors come to.

    Raises ValueError where the history has no vectors.
    """
    vectors = [part.direction for part in (*(row.comments or ()), *(row.pairs or ())) if part.direction]
    if not vectors:
        raise ValueError("Preference Direction: neither a comment nor a pair has one")
    told = words_of(states_of(count(Counted(), vectors)), load_space()) or "nothing"
    return _preference(row, user, f"What is known of the person: {told}.\n\nThe post to answer:\n{row.prompt}")


def _preference(row: AlignXRow, user: str, text: str) -> Preference:
    prompt = (Turn("system", SYSTEM), Turn("user", text))
    return Preference(prompt, (Turn("assistant", row.chosen),), (Turn("assistant", row.rejected),), user)


def _known_then_asked(row: AlignXRow, max_chars: int) -> str:
    history, description = list(_history(row)), [f"About the person:\n{row.description}"] if row.description else []
    while True:
        text = "\n\n".join([*description, *history, f"The post to answer:\n{row.prompt}"])
        if len(text) <= max_chars:
            return text
        if not history:
            raise ValueError(f"prompt: post and description take {len(text)} characters; at most {max_chars} fit")
        del history[0]


def _history(row: AlignXRow) -> Iterator[str]:
    for said in row.comments or ():
        yield f"On the post:\n{said.prompt}\nthe person wrote:\n{said.comment}"
    for pair in row.pairs or ():
        yield f"On the post:\n{pair.prompt}\nthe person liked:\n{pair.chosen}\nbetter than:\n{pair.rejected}"
