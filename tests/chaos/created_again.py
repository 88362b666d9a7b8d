"""A source topic is deleted and created again, and the operator decides where the workers ask for it.

What was sent to it has been read by then, so that each record has to have become something, and the judge is told what there
was: it can never see it again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Literal

from kafka import KafkaAdminClient
from kafka.errors import NoError

from tests.chaos.episode import Episode, NotInjected
from tests.chaos.exhibits import is_read, read_former
from tests.chaos.journal import Former

Meanwhile = Literal["workers run", "none runs", "none runs, its offsets stay"]

_REFUSED = 2
_PREFSTREAM = (sys.executable, "-c", "from prefstream.cli import main; main()")
_COMMAND_SECONDS = 60.0


def created_again(meanwhile: Meanwhile, *, loses_disk: bool) -> Callable[[Episode], None]:
    """The fault; every worker keeps or loses its disk when it ends because of it."""

    def inject(episode: Episode) -> None:
        topic = episode.chance.choice(list(episode.workload.adapters))
        with episode.workload.silence():
            former = _read_by_all(episode, topic)
            if meanwhile != "workers run":
                _stop(episode)
            num_ends = {worker.name: len(worker.ends) for worker in episode.fleet}
            for worker in episode.fleet:
                worker.loses_disk = loses_disk
            offsets = _offsets(episode, topic)
            _create_again(episode, former)
            if meanwhile == "none runs, its offsets stay":
                episode.until("end of its offsets", lambda: not _offsets(episode, topic))
                episode.until("old offsets", lambda: _commit(episode, offsets))
        num_refused = _start(episode, topic, num_ends)
        if meanwhile == "none runs, its offsets stay" and not num_refused:
            raise NotInjected(f"no worker asked what to do about {topic}")

    return inject


def _read_by_all(episode: Episode, topic: str) -> Former:
    """What is on the topic, all of it read, and all workers ready."""
    for worker in episode.fleet:
        episode.await_ready(worker)
    found: list[Former] = []

    def is_shown() -> bool:
        found[:] = [former for former in [read_former(episode.bootstrap_servers, topic)] if former]
        return bool(found)

    episode.until("end of transactions", is_shown)
    episode.until("end of what is to be read", lambda: is_read(episode.bootstrap_servers, episode.namespace, found[0]))
    return found[0]


def _stop(episode: Episode) -> None:
    for worker in episode.fleet:
        worker.hold()
        worker.ask_to_stop()
    episode.until("end of the workers", lambda: not any(worker.is_running for worker in episode.fleet))


def _create_again(episode: Episode, former: Former) -> None:
    episode.workload.delete(former)
    with KafkaAdminClient(bootstrap_servers=episode.bootstrap_servers) as admin:
        episode.until("end of the topic", lambda: former.topic not in admin.list_topics())
    episode.workload.create_again(former.topic)


def _offsets(episode: Episode, topic: str) -> dict[Any, Any]:
    """What the group has committed there."""
    with KafkaAdminClient(bootstrap_servers=episode.bootstrap_servers) as admin:
        found = admin.list_group_offsets({episode.namespace: None})[episode.namespace]
    return {partition: position for partition, position in found.items() if partition.topic == topic}


def _commit(episode: Episode, offsets: dict[Any, Any]) -> bool:
    """Commit as a worker would that ran a moment too long; False while the group still has a member that was killed."""
    with KafkaAdminClient(bootstrap_servers=episode.bootstrap_servers) as admin:
        answers = admin.alter_group_offsets(episode.namespace, offsets)
    return all(error is NoError for error in answers.values())


def _start(episode: Episode, topic: str, num_ends: dict[str, int]) -> int:
    """Return when every worker has ended and is ready again: how many starts were refused. Each is answered by a decision."""
    num_answered = 0

    def num_refused() -> int:
        return sum(worker.ends[num_ends[worker.name] :].count(_REFUSED) for worker in episode.fleet)

    def all_go_on() -> bool:
        nonlocal num_answered
        if num_refused() > num_answered:
            num_answered = num_refused()
            _accept(episode, topic)
        return all(len(worker.ends) > num_ends[worker.name] and worker.is_ready for worker in episode.fleet)

    for worker in episode.fleet:
        worker.release()
    episode.until("worker that goes on", all_go_on)
    return num_answered


def _accept(episode: Episode, topic: str) -> None:
    """The operator's command. It is refused while somebody works: then whoever does not start asks again."""
    own = {"PREFSTREAM_BOOTSTRAP_SERVERS": episode.bootstrap_servers, "PREFSTREAM_NAMESPACE": episode.namespace}
    command = [*_PREFSTREAM, "sources", "accept", topic, "--from", "beginning"]
    with (episode.directory / "operator.log").open("ab") as log:
        subprocess.run(command, env=os.environ | own, stdout=log, stderr=log, timeout=_COMMAND_SECONDS)
