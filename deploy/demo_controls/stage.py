"""The stage: Kafka, fresh topics, the counting engine and one worker; all of it ends with the demo."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from kafka import KafkaAdminClient
from rich.console import Console

from deploy.demo.engines import Engine
from deploy.demo.processes import Worker
from deploy.kafka.broker import Broker, external_bootstrap_servers
from deploy.kafka.jars import say
from model_server.profiles import load_profile
from prefstream.admin import create_topics
from prefstream.topics import TopicNames, topic_specs

EVENTS_EACH = 10  # of one step: as many as make a user due
_NUM_PARTITIONS = 2


class Stage(NamedTuple):
    """The broker's address, the names of our topics, and where the worker keeps its tables."""

    address: str
    names: TopicNames
    tables: Path


def set_stage(stack: ExitStack, console: Console) -> Stage:
    """Start everything; what is started ends with ``stack``.

    Raises KafkaUnavailable, CannotRun and PrefstreamError.
    """
    directory = Path(stack.enter_context(TemporaryDirectory(prefix="prefstream-demo-controls-")))
    names = TopicNames(f"controls-{uuid.uuid4().hex[:6]}")
    address = _topics_on_a_broker(names, directory, stack)
    say("Starting the counting engine and a worker ...")
    engine = Engine(load_profile("counting"), directory)
    stack.callback(engine.end)
    engine.await_ready(console)
    worker = Worker(directory, _environment(address, names.namespace, engine.url))
    stack.callback(worker.end)
    worker.await_ready()
    return Stage(address, names, worker.state)


def _topics_on_a_broker(names: TopicNames, directory: Path, stack: ExitStack) -> str:
    address = external_bootstrap_servers()
    if address is None:
        say("Starting Kafka ...")
        address = stack.enter_context(Broker.start(directory / "kafka")).bootstrap_servers
    else:
        say(f"Using the broker at {address}; what the demo makes there is removed at the end.")
        stack.callback(_clear, address, names)
    create_topics(address, topic_specs(names.namespace, _NUM_PARTITIONS))
    return address


def _clear(address: str, names: TopicNames) -> None:
    """Remove the topics and the group: the broker is somebody else's."""
    with KafkaAdminClient(bootstrap_servers=address) as admin:
        admin.delete_topics([spec.name for spec in topic_specs(names.namespace, _NUM_PARTITIONS)], raise_errors=False)
        admin.delete_groups([names.namespace])


def _environment(address: str, namespace: str, model_url: str) -> dict[str, str]:
    return {
        "PREFSTREAM_BOOTSTRAP_SERVERS": address,
        "PREFSTREAM_NAMESPACE": namespace,
        "PREFSTREAM_MODEL_URL": model_url,
        "PREFSTREAM_FLUSH_EVENTS": str(EVENTS_EACH),
        "PREFSTREAM_FLUSH_AGE_SECONDS": "5",
        "PREFSTREAM_SESSION_TIMEOUT_SECONDS": "6",
    }
