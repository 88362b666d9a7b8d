"""Examples: what a prompt of production should have been answered with (people → **examples** → a stage of training).

A file of examples is JSON lines, one example each, read and written one at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from streams.evolution.records import Turn
from training.lines import write_lines


class Example(Struct, frozen=True):
    """The turns of one prompt, as a dialect wrote them, and the answer to learn; ``user`` so that no fold mixes people.

    ``source`` says who answered: a teacher's name, a model's.
    """

    user: str
    turns: tuple[Turn, ...]
    completion: str
    source: str = ""


class InvalidExamples(Exception):
    """A file of examples is not one; the message names the file, the line and the field."""


def write_examples(path: Path, examples: Iterable[Example]) -> int:
    """Writes the examples, complete or not at all, and returns how many they are."""
    return write_lines(path, examples)


def read_examples(path: Path) -> Iterator[Example]:
    """The examples in order. Raises :class:`InvalidExamples` at the first line that is none."""
    decode = msgspec.json.Decoder(Example).decode
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield decode(line)
            except msgspec.MsgspecError as error:
                raise InvalidExamples(f"{path}, line {number}: {error}") from error
