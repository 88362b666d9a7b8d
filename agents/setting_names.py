"""Names of settings: what is meant by one that nobody reads, because a typing error would silently change nothing.

Place in the flow: below :mod:`agents.effective`.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nobody_reads(name: str, known: Iterable[str], prefix: str) -> str:
    """A sentence about a name, without its prefix, that is none of the known ones, which have it; with the nearest of them."""
    beginnings = _unique_beginnings(known, prefix)
    near = get_close_matches(name, beginnings, 1)
    return f"no setting has this name{f'; do you mean {beginnings[near[0]]}?' if near else ''}"


def _unique_beginnings(known: Iterable[str], prefix: str) -> dict[str, str]:
    """Which name is meant by so many of its first words, without the prefix: people leave out the unit."""
    meant: dict[str, list[str]] = {}
    for variable in sorted(known):
        words = variable.removeprefix(prefix).split("_")
        for count in range(1, len(words) + 1):
            meant.setdefault("_".join(words[:count]), []).append(variable)
    return {beginning: variables[0] for beginning, variables in meant.items() if len(variables) == 1}
