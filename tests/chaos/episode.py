"""An episode: a fresh namespace with a workload and one or two workers, in which one fault after the other is injected.

What the faults (tests/chaos/faults.py) act on is here: the fleet, the disks, the network, the broker, the model. After the
last one the publishers stop, the workers finish and stop, and the judge says what became of every event.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from kafka import KafkaAdminClient

from deploy.kafka.broker import Broker
from prefstream.topics import TopicNames, topic_specs
from tests.chaos.fleet import NoStop, Supervised
from tests.chaos.journal import Journal
from tests.chaos.judge import judge
from tests.chaos.judgement import Judgement
from tests.chaos.model import ScriptedModel
from tests.chaos.proxy import Proxy
from tests.chaos.workload import Workload
from tests.kafka.worker_process import SummaryFold

PATIENCE_SECONDS = 60.0
_OCCASION_SECONDS = 40.0
_CALM_SECONDS = 0.03  # how long the model takes when nothing is wrong with it: so that there are calls in flight


class Stalled(Exception):
    """What should have come did not, in a minute."""


class NotInjected(Exception):
    """The occasion for a fault did not come: it proves nothing."""


class Ground(NamedTuple):
    """What all episodes of a run share."""

    broker: Broker
    proxy: Proxy
    model: ScriptedModel
    directory: Path


class Load(NamedTuple):
    """How much is published, and for how many users."""

    events_per_second: float = 40.0
    num_users: int = 100


USUAL = Load()


class Episode:
    """One namespace, its workload and its workers. Use it as a context: whatever runs ends with it."""

    def __init__(self, ground: Ground, namespace: str, seed: int, *, num_workers: int = 1, load: Load = USUAL) -> None:
        self.broker, self.proxy, self.model, directory = ground
        self.namespace = namespace
        self.names = TopicNames(namespace)
        self.chance = random.Random(seed)
        self.fleet: list[Supervised] = []
        self.retired: list[Supervised] = []
        self.spared: list[Supervised] = []
        self.directory = directory / namespace
        self.directory.mkdir()
        self.workload = Workload(self.bootstrap_servers, namespace, seed, **load._asdict())
        self.summaries = SummaryFold(self.bootstrap_servers, self.names.summaries)
        self.calm_model()
        for _ in range(num_workers):
            self.join()

    @property
    def bootstrap_servers(self) -> str:
        """The broker, past the proxy: for everybody but the workers."""
        return self.broker.bootstrap_servers

    def begin(self) -> None:
        """Start to publish; return when the first summary is there."""
        self.workload.start()
        self.await_flow()

    def join(self, script: str = "") -> Supervised:
        """Start one more worker, with a script (tests/chaos/worker.py) for all its lives."""
        name = f"worker-{len(self.fleet) + len(self.retired)}"
        settings = {
            "bootstrap_servers": f"127.0.0.1:{self.proxy.port}",
            "namespace": self.namespace,
            "sources": ",".join(f"{topic}={adapter}" for topic, adapter in self.workload.adapters.items()),
            "model_url": self.model.url,
            "model_timeout_seconds": 3,
            "model_capacity": 8,
            "flush_events": 10,
            "flush_age_seconds": 0.5,
            "drain_seconds": 3,
            "session_timeout_seconds": 6,
        }
        self.fleet.append(Supervised(name, self.directory, settings, script))
        return self.fleet[-1]

    def retire(self, worker: Supervised) -> None:
        """It is not started again."""
        worker.hold()
        self.fleet.remove(worker)
        self.retired.append(worker)

    def victim(self) -> Supervised:
        """One of the workers that are not spared, by chance, once it is ready.

        What is done to one that only starts may be nothing.
        """
        victim = self.chance.choice([worker for worker in self.fleet if worker not in self.spared])
        self.await_ready(victim)
        return victim

    def await_ready(self, worker: Supervised) -> None:
        """Wait until the worker says that it is ready."""
        self.until(f"ready {worker.name}", lambda: worker.is_ready)

    def until(self, what: str, holds: Callable[[], object], within_seconds: float = PATIENCE_SECONDS) -> None:
        """Return as soon as ``holds`` does; meanwhile whoever is gone is started again. Raises :class:`Stalled`."""
        deadline = time.monotonic() + within_seconds
        while not holds():
            if time.monotonic() > deadline:
                raise Stalled(f"no {what} in {within_seconds:g} s")
            self.tend()
            time.sleep(0.02)

    def pass_time(self, seconds: float) -> None:
        """Let it be."""
        end = time.monotonic() + seconds
        self.until("end of time", lambda: time.monotonic() >= end, seconds + PATIENCE_SECONDS)

    def tend(self) -> None:
        """Start every worker again that is gone."""
        for worker in self.fleet:
            worker.tend()

    def await_flow(self) -> None:
        """Wait until a summary is published that was not there when this was called."""
        self.summaries.read_to_end()
        enough = self.summaries.num_records + 1
        self.until("summary", lambda: self.summaries.poll(0.01) >= enough)

    def await_fired(self, *armed: Supervised) -> None:
        """Wait until what one of these workers is armed with has happened. Raises :class:`NotInjected`."""
        try:
            self.until("occasion", lambda: any(worker.has_fired for worker in armed), _OCCASION_SECONDS)
        except Stalled:
            for worker in armed:
                worker.disarm()
            raise NotInjected(f"its occasion did not come in {_OCCASION_SECONDS:g} s") from None

    def await_calls(self) -> None:
        """Wait until the model is asked."""
        enough = self.model.num_calls() + 1
        self.until("call of the model", lambda: self.model.num_calls() >= enough)

    def calm_model(self) -> None:
        """Let the model answer as it should."""
        self.model.behave("delay", _CALM_SECONDS)

    def finish(self) -> Judgement:
        """Publish nothing more, let everything be applied, stop the workers in order, and judge.

        Raises :class:`Stalled` when it does not come to an end, and what :meth:`Workload.stop` raises.
        """
        journal = self.workload.stop()
        self._await_applied(journal)
        self._stop_all()
        return judge(self.bootstrap_servers, self.namespace, self.workload.sources, journal)

    def _await_applied(self, journal: Journal) -> None:
        """Wait until the summaries count so many events, or none comes any more: the judge says what is missing."""
        progress_at, seen = time.monotonic(), -1
        while (num_applied := sum(self.summaries.events_by_user.values())) < journal.num_events:
            if num_applied > seen:
                progress_at, seen = time.monotonic(), num_applied
            if time.monotonic() > progress_at + PATIENCE_SECONDS / 2:
                return
            self.summaries.poll(0.02)
            self.tend()

    def _stop_all(self) -> None:
        for worker in self.fleet:
            worker.disarm()
            worker.hold()
            worker.ask_to_stop()
        try:
            for worker in self.fleet:
                worker.stop()
        except NoStop as failure:
            raise Stalled(str(failure)) from None

    def delete_topics(self) -> None:
        """Remove what the episode left on the broker."""
        topics = [spec.name for spec in topic_specs(self.namespace)] + list(self.workload.adapters)
        with KafkaAdminClient(bootstrap_servers=self.bootstrap_servers) as admin:
            admin.delete_topics(topics)

    def __enter__(self) -> Episode:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self.fleet + self.retired:
            worker.end()
        self.workload.close()
        self.summaries.close()
