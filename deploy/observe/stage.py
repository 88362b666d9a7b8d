"""The stage: Kafka, fresh topics, the model, two workers with names, and Prometheus; all end with the run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from deploy.demo.pace import FAST
from deploy.demo.processes import START_SECONDS, CannotRun, Child, answers
from deploy.demo.stage import Stage, clear_stage, set_stage
from deploy.kafka.broker import Broker, external_bootstrap_servers
from deploy.kafka.jars import say
from deploy.kafka.node import free_port
from deploy.observe.script import POISON, Script
from deploy.prometheus.server import Prometheus

WORKERS = ("worker-0", "worker-1")
JOB = "prefstream"
# Not the demo's haste, but what workers have in production.
_AS_BY_DEFAULT = {"PREFSTREAM_SESSION_TIMEOUT_SECONDS": "45"}
_ALL_IS_WELL = f"sum(prefstream_ready) == {len(WORKERS)} and sum(job:prefstream_unowned_partitions:sum) == 0"
_PORT = "{port}"
_PRICES = "prompt=0.4,cached=0.04,completion=1.6"


class Server:
    """A process that serves at one port, can be killed, and is started again there. Start it from the main thread."""

    def __init__(self, name: str, module: list[str], ready: str, directory: Path, environment: Mapping[str, str]) -> None:
        """``ready``: the path that answers 200 once it is; ``{port}`` in module and environment is its port."""
        self.port = free_port()
        self._name, self._log = name, directory / f"{name}.log"
        self._module = [word.replace(_PORT, str(self.port)) for word in module]
        self._environment = {key: value.replace(_PORT, str(self.port)) for key, value in environment.items()}
        self._ready = f"http://127.0.0.1:{self.port}{ready}"
        self.start()

    def start(self) -> None:
        """Start it, and do not wait."""
        self.should_run = True
        self._child = Child(self._name, self._module, self._log, self._environment)

    def await_ready(self) -> None:
        """Return once it is. Raises CannotRun."""
        self._child.await_start(lambda: answers(self._ready))

    def kill(self) -> None:
        """End it at once (SIGKILL): whoever connects from now on is refused."""
        self.should_run = False
        self._child.kill()

    def fault(self) -> str:
        """What is wrong with it, if it ended by itself; empty if nothing is."""
        if not self.should_run or self._child.exit_code is None:
            return ""
        return f"{self._name} ended by itself ({self._child.exit_code}); the end of its log:\n{self._child.last_words()}"

    def stop(self) -> None:
        """Let it finish what is in flight, and end."""
        self.should_run = False
        self._child.stop()


class Scene(NamedTuple):
    """Everything that runs."""

    stage: Stage
    model: Server
    workers: tuple[Server, ...]
    prometheus: Prometheus


def set_scene(stack: ExitStack, directory: Path, script: Script) -> Scene:
    """Start everything; what is started ends with ``stack``.

    Raises KafkaUnavailable, CannotRun, PrefstreamError and PrometheusUnavailable.
    """
    stage = _topics_on_a_broker(stack, directory)
    say("Starting the model, two workers and Prometheus ...")
    model = Server("model", ["deploy.observe.model", "--port", _PORT, "--refuses", POISON], "/health", directory, {})
    stack.callback(model.kill)
    told = stage.worker_environment(f"http://127.0.0.1:{model.port}", "counting", FAST, script.flush_age_seconds)
    workers = tuple(_worker(name, directory, told, stack) for name in WORKERS)
    for server in (model, *workers):
        server.await_ready()
    addresses = {f"127.0.0.1:{worker.port}": name for worker, name in zip(workers, WORKERS, strict=True)}
    prometheus = Prometheus.start(directory / "prometheus", {JOB: list(addresses)}, script.scrape_seconds, addresses)
    stack.callback(prometheus.stop)
    _await_scraped(prometheus)
    return Scene(stage, model, workers, prometheus)


def _await_scraped(prometheus: Prometheus) -> None:
    """Return once Prometheus has seen that every partition has an owner, and no alert is left of the start.

    Raises CannotRun after a minute.
    """
    deadline = time.monotonic() + START_SECONDS
    while not prometheus.query(_ALL_IS_WELL) or prometheus.alerts():
        if time.monotonic() > deadline:
            raise CannotRun("The workers do not share the partitions; their logs say why")
        time.sleep(0.2)


def _topics_on_a_broker(stack: ExitStack, directory: Path) -> Stage:
    address = external_bootstrap_servers()
    if address is None:
        say("Starting Kafka ...")
        return set_stage(stack.enter_context(Broker.start(directory / "kafka")).bootstrap_servers)
    say(f"Using the broker at {address}; what is made there is removed at the end.")
    stage = set_stage(address)
    stack.callback(clear_stage, stage)
    return stage


def _worker(name: str, directory: Path, told: Mapping[str, str], stack: ExitStack) -> Server:
    own = {
        "PREFSTREAM_INSTANCE": name,
        "PREFSTREAM_DATA_DIRECTORY": str(directory / name),
        "PREFSTREAM_HTTP_PORT": _PORT,
        "PREFSTREAM_PRICES": _PRICES,
    }
    worker = Server(name, ["agents"], "/readyz", directory, {**told, **_AS_BY_DEFAULT, **own})
    stack.callback(worker.kill)
    return worker
