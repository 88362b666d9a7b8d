"""The short version of ``make soak``: half a minute on a real broker, under faults, watched and accounted for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.chaos.run import ground
from tests.soak.looks import Sample
from tests.soak.run import Befallen, Wanted, soak
from tests.soak.table import sentence
from tests.soak.verdicts import of_worker, problems, unaccounted

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]


class Follower:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.samples: Sequence[Sample] = ()
        self.num_ended = 0

    def watched(self, samples: Sequence[Sample]) -> None:
        self.samples = samples

    def begins(self, what: str) -> None:
        """Not kept."""

    def ended(self, befallen: Befallen) -> None:
        self.num_ended += 1


def test_a_soak_watches_every_worker_and_accounts_for_everything(tmp_path: Path) -> None:
    """Seed 4: commits refused first, then a network that drops everything for a moment."""
    follower = Follower()
    wanted = Wanted(minutes=0.25, seed=4, leak_files=36_000)
    with ground(tmp_path) as shared:
        run = soak(shared, wanted, follower, command="", machine="")
    assert problems(run) == []
    assert "too short" in sentence(run)
    assert (run.faults != (), len(run.faults)) == (True, follower.num_ended)
    assert run.samples == tuple(follower.samples)
    assert {look.worker for sample in run.samples for look in sample.looks} == {"worker-0", "worker-1"}
    assert len({look.pid for sample in run.samples for look in sample.looks if look.worker == run.stays}) == 1
    assert len(unaccounted(run.samples)) >= 3
    assert run.samples[-1].num_unread is not None
    assert run.accounts is not None
    assert run.accounts.fates["applied"] > 0
    assert run.accounts.fates["lost"] == run.accounts.fates["pending"] == 0
    handles = [point.value for point in of_worker(run.samples, run.stays, lambda look: look.num_handles)]
    assert handles[-1] - handles[0] > 50, "ten files a second were left open on purpose"
