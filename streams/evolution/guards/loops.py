"""Loops: a model that says the same again and again (answer → **loops** → verdict).

Untuned SmolLM2 loops in nearly every answer: ``action, action, action``, or a line again and again. A title such as "Liar
Liar" is no loop, nor are titles that only a number tells apart (a title counts as one word), nor two domains about which the
same is said.
"""

from __future__ import annotations

from collections.abc import Sequence

from streams.evolution.guards.verdicts import Candidate, Rejected
from streams.evolution.guards.wording import words_and_titles
from streams.evolution.prose import parse

_LONGEST_UNIT = 12  # words; what is longer is found by the share that was said before
_NUM_TIMES = {1: 4, 2: 4}  # of a unit of so many words in a row, ...
_NUM_TIMES_LONG = 3  # ... and of a longer one
_MIN_LOOP_CHARS = 12  # of a script whose characters are words each, four are no loop
_RUN = 4
_MAX_REPEATED = 0.5  # of two equal halves the second is a repetition
_MIN_WORDS = 12  # of a text of fewer nothing can be said by its share


def goes_on(candidate: Candidate) -> Rejected | None:
    """Whether each part of the text says something of its own."""
    text = _beside_pins(candidate)
    words = words_and_titles(text)
    if period := _looped(words):
        return Rejected("repetition", f"{period} words again and again")
    share = _share_repeated([words_and_titles(part) for part in _domains(text)])
    if share > _MAX_REPEATED and len(words) >= _MIN_WORDS:
        return Rejected("repetition", f"{share:.0%} of the words were said before, in the same order")
    return None


def _beside_pins(candidate: Candidate) -> str:
    """The text without each pin, once: pins that are alike are what the person wants, and would make a loop of every text."""
    text = candidate.text
    for pin in sorted(candidate.pins, key=len, reverse=True):
        text = text.replace(pin, " ", 1)
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def _looped(words: Sequence[str]) -> int:
    """The number of words in the shortest unit that stands so often in a row; 0 where none does."""
    for period in range(1, _LONGEST_UNIT + 1):
        enough = period * (_NUM_TIMES.get(period, _NUM_TIMES_LONG) - 1)
        run = 0
        for index in range(period, len(words)):
            run = run + 1 if words[index] == words[index - period] else 0
            if run >= enough and sum(map(len, words[index - run - period + 1 : index + 1])) >= _MIN_LOOP_CHARS:
                return period
    return 0


def _domains(text: str) -> list[str]:
    """The lines of a text that makes claims about another domain in each, one of which may have no name; others as a whole."""
    lines = text.splitlines()
    return lines if len(lines) == len(parse(text).sections) else [text]


def _share_repeated(parts: Sequence[Sequence[str]]) -> float:
    """The share of the words that stand in a run of words that stood in the same part before."""
    num_words = sum(map(len, parts))
    return sum(map(_num_repeated, parts)) / num_words if num_words else 0.0


def _num_repeated(words: Sequence[str]) -> int:
    seen: set[tuple[str, ...]] = set()
    num_repeated = up_to = 0
    for index in range(len(words) - _RUN + 1):
        run = tuple(words[index : index + _RUN])
        if run in seen:
            num_repeated += index + _RUN - max(up_to, index)
            up_to = index + _RUN
        seen.add(run)
    return num_repeated
