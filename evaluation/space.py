"""The preference space of 90 dimensions: what a 1 and a 0 say of each, in words, and back (space.toml → **space** → words).

The order is that of AlignX's vectors, the words are ours. A 0 means one of three things, and which one stands beside it:
*dislike* of the thing, the *opposite* way, or *indifference*. A 0.5 says nothing, so nothing is written of it: of somebody
about whom nothing is known the text is empty.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

NUM_DIMENSIONS = 90
UNKNOWN = 0.5

State = Literal[0, 1] | None
"""1, 0, or None where nothing is known."""


class Dimension(Struct, frozen=True, forbid_unknown_fields=True):
    """One dimension; a ``sensitive`` one is about who somebody is, and off unless it is asked for."""

    id: Annotated[str, Meta(min_length=1)]
    one: Annotated[str, Meta(min_length=1)]
    zero: Annotated[str, Meta(min_length=1)]
    zero_means: Literal["dislike", "opposite", "indifference"]
    sensitive: bool = False


class Space(Struct, frozen=True, forbid_unknown_fields=True):
    """All dimensions, in the order of the vectors."""

    name: str
    version: int
    dimensions: Annotated[tuple[Dimension, ...], Meta(min_length=NUM_DIMENSIONS, max_length=NUM_DIMENSIONS)]

    @property
    def sha256(self) -> str:
        """Of the meaning: another one is another space, whatever its version says."""
        return hashlib.sha256(msgspec.json.encode(self.dimensions)).hexdigest()


@cache
def load_space() -> Space:
    """The space of this release."""
    return msgspec.toml.decode((Path(__file__).parent / "space.toml").read_bytes(), type=Space)


def words_of(states: tuple[State, ...], space: Space, with_sensitive: bool = False) -> str:
    """What is known, in the order of the dimensions: ``prefers short answers, dislikes cars``; empty where nothing is."""
    known = zip(space.dimensions, states, strict=True)
    told = (
        (dimension, state) for dimension, state in known if state is not None and (with_sensitive or not dimension.sensitive)
    )
    return ", ".join(dimension.one if state else dimension.zero for dimension, state in told)


def states_in(text: str, space: Space) -> tuple[State, ...]:
    """What a text says in the words of the space, the longest words first; what it says both ways stays unknown."""
    said: list[set[Literal[0, 1]]] = [set() for _ in space.dimensions]
    for match in _labels(space).finditer(text):
        place, state = _meanings(space)[match[0].casefold()]
        said[place].add(state)
    return tuple(next(iter(states)) if len(states) == 1 else None for states in said)


@cache
def _labels(space: Space) -> re.Pattern[str]:
    longest_first = sorted(_meanings(space), key=len, reverse=True)
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, longest_first))})\b", re.IGNORECASE)


@cache
def _meanings(space: Space) -> dict[str, tuple[int, Literal[0, 1]]]:
    meanings: dict[str, tuple[int, Literal[0, 1]]] = {}
    for place, dimension in enumerate(space.dimensions):
        meanings[dimension.one.casefold()] = place, 1
        meanings[dimension.zero.casefold()] = place, 0
    return meanings
