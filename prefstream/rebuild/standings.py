"""Standings: how a user's summary in a shadow stands to the one that is published, and what may be done with it.

Both are made of one topic, so places in it are the same for both: equal positions are equal evidence, and equal command
positions are the same wishes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from hashlib import blake2b
from typing import Literal

from msgspec import Struct

from prefstream.history import is_kept
from prefstream.summaries import ModelUsed, Summary

Standing = Literal[
    "ready",  # of the same events and wishes, in other words: it can be promoted
    "same",  # the published text is the shadow's, or the shadow's model wrote it
    "behind",  # one of the two covers events or wishes that the other does not cover yet
    "fewer",  # the shadow knows less of the events than is asked for: older ones are gone from the topic
    "taken_back",  # the person went back to an earlier version, which the shadow does not have
    "absent",  # the shadow has no summary
]

_UNWRITTEN = ModelUsed()


def standing_of(live: Summary, shadow: Summary | None, took_back: bool, min_known: float) -> Standing:
    """How the two stand. ``min_known`` is the share of the published summary's events that the shadow has to know."""
    if shadow is None:
        return "absent"
    if live.text == shadow.text or (live.model == shadow.model != _UNWRITTEN):
        return "same"
    if took_back:
        return "taken_back"
    if (live.position, live.command_position) != (shadow.position, shadow.command_position):
        return "behind"
    return "ready" if shadow.num_events >= min_known * live.num_events else "fewer"


def is_in_share(key: bytes, share: float) -> bool:
    """Whether a user is among this share of all (0 to 1). Who is in a smaller share is in every larger one."""
    return rank_of(key) < share


def rank_of(key: bytes) -> float:
    """Where in an order by chance, the same at all times, a user stands (0 to 1)."""
    return int.from_bytes(blake2b(key, digest_size=8, person=b"rebuild share").digest()) / 2**64


REWORDING = frozenset({"adopt", "give_back", "edit", "roll_back", "unpin"})
"""Commands behind which an older text is not simply what was there before: it may say what somebody took out."""


class Reworded(Struct, frozen=True):
    """A kept version that such a command made."""

    version: int
    command: str = ""
    model: ModelUsed = ModelUsed()


def version_before(reworded: Iterable[Reworded], models: Collection[ModelUsed], current: int) -> int | None:
    """The version from before a text of one of these models was adopted; ``None`` where it is to stay, or is not kept any more.

    Of several such promotions in a row the first counts. What was given back already is not given back again, and what the
    person has reworded since is theirs.
    """
    first: Reworded | None = None
    for one in sorted(reworded, key=lambda one: -one.version):
        if one.version > current:
            continue  # never published
        if one.command != "adopt" or one.model not in models:
            break
        first = one
    return first.version - 1 if first and is_kept(first.version - 1, current) else None
