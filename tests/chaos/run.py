"""The runner: plays the episodes of a schedule one after the other on one broker, and says what came of each fault."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from kafka.errors import KafkaError

from deploy.kafka.broker import Broker
from deploy.kafka.node import Detour, free_port
from tests.chaos.episode import Episode, Ground, NotInjected, Stalled
from tests.chaos.faults import Fault
from tests.chaos.judgement import Judgement
from tests.chaos.model import ScriptedModel
from tests.chaos.outcomes import Injected, Outcome
from tests.chaos.proxy import Proxy
from tests.chaos.schedule import Plan


class Audience(Protocol):
    """Who follows a run while it goes on."""

    def begins(self, plan: Plan, fault: str) -> None:
        """A fault, or the accounting after the last one, begins."""

    def ended(self, injected: Injected) -> None:
        """The flow goes on after a fault, or does not."""


@contextmanager
def ground(directory: Path) -> Iterator[Ground]:
    """A broker that the workers reach through a proxy, and a model; both end with the run."""
    detour = Detour(free_port(), free_port())
    with (
        Broker.start(directory / "kafka", detour=detour) as broker,
        Proxy(detour.advertised_port, detour.port) as proxy,
        ScriptedModel(directory) as model,
    ):
        yield Ground(broker, proxy, model, directory)


def play(ground: Ground, plan: Plan, faults: Mapping[str, Fault], audience: Audience, *, keep: bool = False) -> Outcome:
    """Play one episode. With ``keep``, or when something was found, its topics stay.

    It ends with the first fault after which nothing goes on: what came then would prove nothing. Ctrl-C ends it too.
    """
    started = time.monotonic()
    namespace = f"chaos-{plan.number}-{uuid.uuid4().hex[:6]}"
    injected: list[Injected] = []
    judgement: Judgement | None = None
    problem, is_interrupted = "", False
    with Episode(ground, namespace, plan.seed, num_workers=plan.num_workers) as episode:
        try:
            episode.begin()
            for name in plan.faults:
                audience.begins(plan, name)
                injected.append(inject(episode, faults[name]))
                audience.ended(injected[-1])
                if injected[-1].is_stalled:
                    break
            audience.begins(plan, "the accounts")
            judgement = episode.finish()
            if not judgement.is_settled:
                problem = f"{judgement.counts['pending']} events still wait"
        except (Stalled, KafkaError) as failure:
            problem = f"{type(failure).__name__}: {failure}"
        except KeyboardInterrupt:
            is_interrupted = True
        outcome = Outcome(
            plan=plan,
            injected=tuple(injected),
            findings=judgement.findings if judgement else (),
            num_judged=sum(judgement.counts.values()) if judgement else 0,
            seconds=time.monotonic() - started,
            ends=dict(Counter(code for worker in episode.fleet + episode.retired for code in worker.ends)),
            problem=problem and f"{namespace}: {problem}",
            is_interrupted=is_interrupted,
        )
        if not (keep or is_interrupted or outcome.problems):
            episode.delete_topics()
    return outcome


def inject(episode: Episode, fault: Fault) -> Injected:
    """Inject one fault, and wait until the flow visibly goes on."""
    started, num_sent = time.monotonic(), episode.workload.num_sent
    problem, is_stalled = "", False
    try:
        fault.inject(episode)
        episode.await_flow()
    except NotInjected as failure:
        problem = str(failure)
    except Stalled as failure:
        problem, is_stalled = str(failure), True
    return Injected(fault.name, episode.workload.num_sent - num_sent, time.monotonic() - started, problem, is_stalled)
