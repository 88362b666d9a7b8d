"""Which faults of the catalogue a soak injects, and to whom.

A process that is killed every minute shows no leak. So one worker is never ended: it lives through the whole run, with every
fault that a worker survives. The others are ended in every way there is, and what they leave to the one that stays, its
partitions coming and going, is part of its load.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from tests.chaos.faults import CATALOGUE, Fault

Kind = Literal["worker ends", "worker stands still", "broker", "network", "model", "publisher"]

# By how their names begin; whatever is not here is in LEFT_OUT.
KINDS: dict[str, Kind] = {
    "crash at lane.": "worker ends",
    "crash at call.": "worker ends",
    "crash at commit.": "worker ends",
    "crash at drain.": "worker ends",
    "crash at recovery.": "worker ends",
    "kill -9, ": "worker ends",
    "kill -9 with unacknowledged writes": "worker ends",
    "paused while others take over": "worker ends",
    "a send ": "worker ends",
    "the disk is full": "worker ends",
    "stopped ": "worker ends",
    "paused for a moment": "worker stands still",
    "a commit is refused": "worker stands still",
    "the broker is ": "broker",
    "the network is ": "network",
    "the model ": "model",
    "aborted source transactions": "publisher",
}
LEFT_OUT: dict[str, str] = {
    "crash at poison.": "arms every worker, also the one that stays",
    "crash at revoke.": "a worker joins, or leaves for good",
    "a worker joins or leaves": "for good",
    "a worker is lost for good": "for good",
    "kill -9 of every worker": "also of the one that stays",
    "a source created again": "ends every worker, and the lag begins anew",
    "an old disk comes back after compaction": "changes the settings of a topic",
    "the clock jumps": "an age is no age then",
    "a clock is 2 h": "an age is no age then",
}


class Chosen(Struct, frozen=True):
    """A fault, and what it befalls."""

    fault: Fault
    kind: Kind

    @property
    def ends_a_worker(self) -> bool:
        """Whether its victim's process ends: then it is not for the one that stays."""
        return self.kind == "worker ends"


def chosen(catalogue: Sequence[Fault] = CATALOGUE) -> tuple[Chosen, ...]:
    """The faults of a soak, in the order of the catalogue."""
    found = ((fault, next((KINDS[start] for start in KINDS if fault.name.startswith(start)), None)) for fault in catalogue)
    return tuple(Chosen(fault, kind) for fault, kind in found if kind is not None)


def endless(faults: Sequence[Chosen], seed: int) -> Iterator[Chosen]:
    """One after the other for ever, the same for the same seed: every kind as often, and of each kind every fault as often.

    Killing has sixty names and the broker two: drawn by name, the worker that stays would see little but rebalances.
    """
    chance = random.Random(seed)
    by_kind: dict[Kind, list[Chosen]] = {}
    for one in faults:
        by_kind.setdefault(one.kind, []).append(one)
    left: dict[Kind, list[Chosen]] = {kind: [] for kind in by_kind}
    while True:
        for kind in chance.sample(list(by_kind), len(by_kind)):
            left[kind] = left[kind] or chance.sample(by_kind[kind], len(by_kind[kind]))
            yield left[kind].pop()
