"""The short version of ``make chaos``: different faults in one seeded episode; and that a run can fail."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator

import pytest
from kafka import KafkaProducer

from tests.chaos.episode import Episode, Ground
from tests.chaos.faults import CATALOGUE, Fault
from tests.chaos.outcomes import Injected, rows
from tests.chaos.run import ground, play
from tests.chaos.schedule import Plan
from tests.kafka.worker_process import read_all

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

SEED_VARIABLE = "CHAOS_SEED"
FAULTS = {fault.name: fault for fault in CATALOGUE}
NUM_CRASHES = 4
# Of each kind those that are over soon: a worker that dies costs its session, which is most of the time.
OTHERS = (
    "kill -9, disk lost",
    "a send fails while a commit flushes",
    "a commit is refused",
    "aborted source transactions",
    "a source created again while none runs, its offsets stay, disk lost",
    "the network is cut for a moment",
    "the model answers 500",
    "the model aborts",
    "stopped with calls in flight",
    "a clock is 2 h ahead for a life",
)


class Quiet:
    """Nobody follows; what was injected is printed when the test fails."""

    def begins(self, plan: Plan, fault: str) -> None:
        """Not told."""

    def ended(self, injected: Injected) -> None:
        """In the test's output."""
        sys.stdout.write(f"{injected.fault}: {injected.stall_seconds:.1f} s {injected.problem}\n")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground(tmp_path_factory.mktemp("chaos")) as shared:
        yield shared


def short_plan(seed: int) -> Plan:
    chance = random.Random(seed)
    crashes = [name for name in FAULTS if name.startswith("crash") and "poison" not in name]
    chosen = [*chance.sample(crashes, NUM_CRASHES), *OTHERS]
    chance.shuffle(chosen)
    return Plan(1, seed, 1, tuple(chosen))


def test_nothing_is_lost_doubled_or_out_of_order_whatever_happens(stage: Ground) -> None:
    """Play a failure again with CHAOS_SEED=(the seed that was printed)."""
    seed = int(os.environ.get(SEED_VARIABLE) or random.SystemRandom().randrange(1_000_000))
    sys.stdout.write(f"{SEED_VARIABLE}={seed}\n")
    plan = short_plan(seed)
    assert len(set(plan.faults)) >= 12
    outcome = play(stage, plan, FAULTS, Quiet())
    assert outcome.problems == []
    assert outcome.num_judged > 0


def test_every_short_version_is_made_of_faults_that_there_are() -> None:
    assert set(OTHERS) <= set(FAULTS)


def _delete_what_waits(episode: Episode) -> None:
    """What no worker would do: the rows of waiting events are deleted from the log, and the worker loses its disk."""
    episode.model.behave("hang")
    waiting: list[tuple[int, bytes]] = []

    def waits() -> bool:
        rows = {record.key: record for record in read_all(episode.bootstrap_servers, episode.names.pending)}
        waiting[:] = [(row.partition, key) for key, row in rows.items() if key[:1] == b"e" and row.value is not None]
        return len(waiting) > 20

    try:
        episode.until("waiting events", waits)
        with KafkaProducer(bootstrap_servers=episode.bootstrap_servers) as producer:
            for partition, key in waiting:
                producer.send(episode.names.pending, key=key, value=None, partition=partition)
        (victim,) = episode.fleet
        victim.loses_disk = True
        victim.kill()
    finally:
        episode.calm_model()


def test_a_planted_loss_is_found_and_told(stage: Ground) -> None:
    fault = Fault("rows are deleted", "behind the worker's back", _delete_what_waits)
    outcome = play(stage, Plan(1, 1, 1, (fault.name,)), {fault.name: fault}, Quiet())
    (row,) = rows([outcome])
    assert (row.times_injected, row.lost > 0) == (1, True)
    assert any(problem.startswith("lost ") for problem in outcome.problems)
