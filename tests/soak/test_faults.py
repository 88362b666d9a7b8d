"""What a soak injects: every fault of the catalogue is decided on, and a seed is one order."""

from __future__ import annotations

from collections import Counter
from itertools import islice

from tests.chaos.faults import CATALOGUE
from tests.soak.faults import KINDS, LEFT_OUT, chosen, endless


def test_every_fault_of_the_catalogue_is_injected_or_left_out_for_a_reason() -> None:
    for fault in CATALOGUE:
        found = [start for start in (*KINDS, *LEFT_OUT) if fault.name.startswith(start)]
        assert len(found) == 1, fault.name
    names = [fault.name for fault in CATALOGUE]
    assert [start for start in (*KINDS, *LEFT_OUT) if not any(name.startswith(start) for name in names)] == []


def test_whoever_is_ended_is_not_the_worker_that_stays() -> None:
    ends = {one.fault.name for one in chosen() if one.ends_a_worker}
    assert {"kill -9, disk lost", "stopped with calls in flight", "paused while others take over"} <= ends
    assert not ends & {"paused for a moment", "the broker is killed", "the network is cut for long", "the model hangs"}


def test_one_seed_is_one_order() -> None:
    faults = chosen()
    first, again, other = (list(islice(endless(faults, seed), 50)) for seed in (1, 1, 2))
    assert first == again != other


def test_every_kind_comes_equally_often_and_every_fault_of_a_kind() -> None:
    faults = chosen()
    kinds = Counter(one.kind for one in faults)
    drawn = list(islice(endless(faults, 3), len(kinds) * max(kinds.values())))
    assert set(Counter(one.kind for one in drawn).values()) == {max(kinds.values())}
    for kind, num_faults in kinds.items():
        times = Counter(one.fault.name for one in drawn if one.kind == kind)
        assert len(times) == num_faults
        assert max(times.values()) - min(times.values()) <= 1
