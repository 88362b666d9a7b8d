"""The run of a soak: a steady workload, faults one after the other for so many minutes, and a watch over all of it.

The users are few and always the same, so what is kept of them is soon as much as it will be: what grows after the warm-up
grows without a reason. The workers' memtables are small for the same reason: ours, 16 MiB each, and up to two for each table
and partition, would fill for the whole run at this load, and look like a leak.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

from kafka.errors import KafkaError
from msgspec import Struct

from tests.chaos.episode import Episode, Ground, Load, Stalled
from tests.chaos.judgement import Judgement
from tests.chaos.run import inject
from tests.soak.faults import Chosen, Kind, chosen, endless
from tests.soak.looks import MIB, Sample
from tests.soak.watch import Watch

LOAD = Load(events_per_second=50.0, num_users=20)
WARM_UP = 1 / 3  # of the run
_MEMTABLE_BYTES = MIB
_CALM_SECONDS = (4.0, 14.0)  # after the flow goes on, until the next fault
_HOUR_SECONDS = 3_600


class Wanted(Struct, frozen=True, kw_only=True):
    """What is to be run. ``leak_mib`` and ``leak_files`` an hour are planted in the worker that stays, to see them found."""

    minutes: float
    seed: int
    leak_mib: float = 0.0
    leak_files: float = 0.0

    @property
    def script(self) -> str:
        """What the worker that stays has to do beside its work (tests/chaos/worker.py)."""
        leaks = [f"leak={self.leak_mib * MIB / _HOUR_SECONDS:.0f}"] if self.leak_mib else []
        leaks += [f"leak_file={_HOUR_SECONDS / self.leak_files:g}"] if self.leak_files else []
        return ",".join([f"memtables={_MEMTABLE_BYTES}", *leaks])


class Befallen(Struct, frozen=True, array_like=True):
    """One fault: when it began and when the flow went on; ``problem`` if it was not injected, or the flow did not go on."""

    at_seconds: float
    until_seconds: float
    kind: Kind
    fault: str
    problem: str = ""


class Accounts(Struct, frozen=True):
    """What the judge found on the topics when all was done: where every event went, and what should not be."""

    fates: dict[str, int]
    findings: tuple[str, ...]


class Run(Struct, frozen=True, kw_only=True):
    """Everything that is known of a run; the pictures and the verdicts are made of it alone.

    ``ends`` counts the exit codes of the workers that were ended, ``stayed_ends`` those of the one that should not have.
    """

    wanted: Wanted
    command: str
    began_at: datetime
    machine: str
    stays: str
    samples: tuple[Sample, ...]
    faults: tuple[Befallen, ...]
    ends: dict[int, int]
    stayed_ends: tuple[int, ...]
    accounts: Accounts | None = None
    problem: str = ""
    is_interrupted: bool = False

    @property
    def seconds(self) -> float:
        """How long it was watched."""
        return self.samples[-1].at_seconds if self.samples else 0.0

    @property
    def warm_up_seconds(self) -> float:
        """The part that counts for nothing."""
        return WARM_UP * self.wanted.minutes * 60


class Audience(Protocol):
    """Who follows a run while it goes on."""

    def watched(self, samples: Sequence[Sample]) -> None:
        """The watch begins; ``samples`` grows from now on."""

    def begins(self, what: str) -> None:
        """A fault, or the accounting after the last one, begins."""

    def ended(self, befallen: Befallen) -> None:
        """The flow goes on after a fault, or does not."""


def soak(ground: Ground, wanted: Wanted, audience: Audience, *, command: str, machine: str) -> Run:
    """Run it. Ctrl-C, and a flow that does not go on, end it before its time: then it tells what it has."""
    began_at = datetime.now(UTC)
    soaking = _Soaking(ground, wanted, audience)
    problem, is_interrupted = "", False
    try:
        soaking.run()
    except (Stalled, KafkaError, TimeoutError) as failure:
        problem = f"{type(failure).__name__}: {failure}"
    except KeyboardInterrupt:
        is_interrupted = True
    return Run(
        wanted=wanted,
        command=command,
        began_at=began_at,
        machine=machine,
        stays=soaking.stays,
        samples=tuple(soaking.samples),
        faults=tuple(soaking.faults),
        ends=dict(soaking.ends),
        stayed_ends=tuple(soaking.stayed_ends),
        accounts=soaking.accounts,
        problem=problem,
        is_interrupted=is_interrupted,
    )


class _Soaking:
    """A run while it goes on: what is known of it so far."""

    def __init__(self, ground: Ground, wanted: Wanted, audience: Audience) -> None:
        self.stays = ""
        self.samples: list[Sample] = []
        self.faults: list[Befallen] = []
        self.ends: Counter[int] = Counter()
        self.stayed_ends: list[int] = []
        self.accounts: Accounts | None = None
        self._ground = ground
        self._wanted = wanted
        self._audience = audience

    def run(self) -> None:
        """From the first worker to the accounts."""
        wanted, namespace = self._wanted, f"soak-{uuid.uuid4().hex[:6]}"
        with Episode(self._ground, namespace, wanted.seed, num_workers=0, load=LOAD) as episode:
            stays = episode.join(wanted.script)
            self.stays = stays.name
            # One other: while both are there, each owns half of the partitions, and its handles and tables can be compared.
            episode.join(f"memtables={_MEMTABLE_BYTES}")
            try:
                self._inject(episode)
            finally:
                self.stayed_ends = list(stays.ends)
                self.ends = Counter(code for worker in episode.fleet if worker is not stays for code in worker.ends)
            self._audience.begins("the accounts")
            self.accounts = _accounts(episode.finish())

    def _inject(self, episode: Episode) -> None:
        (stays, *_) = episode.fleet
        self._audience.begins("the first summary")
        episode.begin()
        with Watch(episode, self._ground.directory / "kafka") as watch:
            self.samples = watch.samples
            self._audience.watched(watch.samples)
            for one in endless(chosen(), self._wanted.seed):
                self._audience.begins("nothing, for a while")
                episode.pass_time(min(episode.chance.uniform(*_CALM_SECONDS), max(0.0, self._left_seconds(watch))))
                if self._left_seconds(watch) <= 0:
                    return
                episode.spared = [stays] if one.ends_a_worker else []
                self._audience.begins(one.fault.name)
                self.faults.append(_befall(episode, one, watch))
                self._audience.ended(self.faults[-1])
                if stays.ends or not stays.is_running:
                    raise Stalled(f"the worker that nobody ends ended: {stays.log}")

    def _left_seconds(self, watch: Watch) -> float:
        return 60 * self._wanted.minutes - watch.now_seconds


def _befall(episode: Episode, one: Chosen, watch: Watch) -> Befallen:
    began = watch.now_seconds
    injected = inject(episode, one.fault)
    if injected.is_stalled:
        raise Stalled(f"after {one.fault.name}: {injected.problem}")
    return Befallen(round(began, 1), round(watch.now_seconds, 1), one.kind, one.fault.name, injected.problem)


def _accounts(judgement: Judgement) -> Accounts:
    findings = [f"{one.crime} {one.count}: {'; '.join(one.examples)}" for one in judgement.findings]
    findings += [] if judgement.is_settled else [f"{judgement.counts['pending']} events still wait"]
    return Accounts(dict(judgement.counts.items()), tuple(findings))
