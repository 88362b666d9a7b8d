"""What is deployed works: the commands and environments of compose.yaml and of the manifests, as processes of this machine.

No container engine is needed: a process gets the files that its image's Dockerfile copies, its command and environment, and
nothing else of ours. What only a network of containers gives, names of hosts and mounted files, is put in their place.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.check.compose import COMPOSE, read_compose
from deploy.check.dockerfiles import IMAGES, ROOT, Image, read_image
from deploy.check.kubernetes import K8S, read_folder
from deploy.kafka.node import free_port
from tests.kafka.fortress import PASSWORD, USER, Fortress
from tests.kafka.worker_process import TIED, status_of, until

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]

EVENT = {"type": "rating", "at": "2026-01-05T20:15:00Z", "domain": "films", "value": 5}
ITEM = {"id": "1", "title": "Fargo (1996)", "attributes": {"genre": ["crime", "drama"]}}


class Machine:
    """Stands for an engine that runs images: ``places`` are texts of the environment that mean something else here."""

    def __init__(self, folder: Path, places: Mapping[str, str], processes: ExitStack) -> None:
        self._folder = folder
        self._places = places
        self._processes = processes
        self.image = read_image((IMAGES / "worker.Dockerfile").read_text())
        self._copy(self.image)

    def _copy(self, image: Image) -> None:
        text = (IMAGES / "worker.Dockerfile").read_text()
        installed = [line.split()[1] for line in text.split("FROM", 2)[1].splitlines() if line.startswith("COPY prefstream")]
        assert installed == ["prefstream"]
        for source, target in (*image.copies, ("prefstream", "prefstream")):
            place = self._folder / ("site" if source == "prefstream" else "app") / target
            shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))

    def environment(self, given: Mapping[str, str | None]) -> dict[str, str]:
        """The image's, then what it is given and nothing for None; the interpreter and its packages are the tests'."""
        held = {**self.image.environment, **{name: value for name, value in given.items() if value is not None}}
        for name, value in held.items():
            for place, here in self._places.items():
                held[name] = value = value.replace(place, here)
        return held | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(self._folder / "site"),
            "PREFSTREAM_HTTP_HOST": "127.0.0.1",
        }

    def start(self, command: Sequence[str], given: Mapping[str, str], log: str) -> subprocess.Popen[bytes]:
        """The process of a container, in the folder of its image."""
        output = (self._folder / log).open("wb")
        self._processes.callback(output.close)
        tied = [sys.executable, "-I", "-S", TIED, str(os.getpid()), *command]
        environment = self.environment(given)
        process = subprocess.Popen(tied, cwd=self._folder / "app", env=environment, stdout=output, stderr=subprocess.STDOUT)
        self._processes.callback(process.wait)
        self._processes.callback(process.kill)
        return process

    def run(self, command: Sequence[str], given: Mapping[str, str]) -> str:
        """What a container that ends printed; it has to end well."""
        done = subprocess.run(
            command, cwd=self._folder / "app", env=self.environment(given), capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def log(self, name: str) -> str:
        """The end of what a process printed."""
        return (self._folder / name).read_text()[-4_000:]


@pytest.fixture
def processes() -> Iterator[ExitStack]:
    with ExitStack() as processes:
        yield processes


def events(folder: Path, num_users: int) -> Path:
    path = folder / "events.jsonl"
    path.write_text("".join(json.dumps(EVENT | {"item": ITEM, "user": f"person-{n}"}) + "\n" for n in range(num_users)))
    return path


def settled(machine: Machine, connection: Mapping[str, str], num_events: int) -> bool:
    told = json.loads(machine.run(["prefstream", "audit", "--json"], connection))
    return bool(sum(partition["applied"] for partition in told["partitions"]) == num_events)


def answers(port: int, path: str) -> bool:
    return status_of(port, path) == 200


def stop(process: subprocess.Popen[bytes], within_seconds: float) -> int:
    process.terminate()
    return process.wait(within_seconds)


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def test_compose_starts_what_works(bootstrap_servers: str, namespace: str, tmp_path: Path, processes: ExitStack) -> None:
    engine_port, worker_port = free_port(), free_port()
    places = {
        "kafka:9092": bootstrap_servers,
        "engine:8000": f"127.0.0.1:{engine_port}",
        "/var/lib/prefstream": str(tmp_path / "volume"),
    }
    services: dict[str, Any] = read_compose(COMPOSE.read_text(), {"PREFSTREAM_FLUSH_AGE_SECONDS": "1"})["services"]
    machine = Machine(tmp_path, places, processes)
    ours = {"PREFSTREAM_NAMESPACE": namespace}
    connection = services["prefstream"]["environment"] | ours
    machine.run(services["topics"]["command"], services["topics"]["environment"] | ours)
    engine = [*services["engine"]["command"][:-1], str(engine_port)]
    machine.start(engine, {}, "engine.log")
    environment = services["worker"]["environment"] | ours | {"PREFSTREAM_HTTP_PORT": str(worker_port)}
    worker = machine.start(machine.image.command, environment, "worker.log")
    until("worker", lambda: status_of(worker_port, "/readyz") == 200, explain=lambda: machine.log("worker.log"))
    machine.run([*services["prefstream"]["entrypoint"], "publish", str(events(tmp_path, 20))], connection)
    until("summaries", lambda: settled(machine, connection, 20), explain=lambda: machine.log("worker.log"))
    assert stop(worker, seconds(services["worker"]["stop_grace_period"])) == 0


def test_the_manifests_start_what_works(fortress: Fortress, namespace: str, tmp_path: Path, processes: ExitStack) -> None:
    folder = read_folder(K8S / "worker")
    (stateful,) = folder.of_kind("StatefulSet")
    (model,) = read_folder(K8S / "models" / "counting").of_kind("Deployment")
    (job,) = read_folder(K8S / "topics").of_kind("Job")
    engine_port, worker_port = free_port(), free_port()
    places = {
        "kafka-bootstrap.kafka.svc:9094": fortress.address("SASL_SSL"),
        "model-counting:8000": f"127.0.0.1:{engine_port}",
        "/etc/prefstream/tls/ca.crt": str(fortress.authority.trusted),
        "/var/lib/prefstream": str(tmp_path / "volume"),
    }
    machine = Machine(tmp_path, places, processes)
    ours = {"PREFSTREAM_NAMESPACE": namespace, "PREFSTREAM_FLUSH_AGE_SECONDS": "1"}
    topics = only_container(job)
    # One broker holds one replica, and 48 partitions would be opened one after another.
    small = {"--partitions": "4", "--replication-factor": "1"}
    command = [small.get(before, word) for before, word in zip(["", *topics["command"]], topics["command"], strict=False)]
    machine.run(command, variables(topics, folder.maps) | ours)
    machine.start([*only_container(model)["command"][:-1], str(engine_port)], {}, "engine.log")
    worker_container = only_container(stateful)
    environment = variables(worker_container, folder.maps) | ours | {"PREFSTREAM_HTTP_PORT": str(worker_port)}
    worker = machine.start(machine.image.command, environment, "worker.log")
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        path = worker_container[probe]["httpGet"]["path"]
        until(probe, partial(answers, worker_port, path), explain=lambda: machine.log("worker.log"))
    connection = variables(topics, folder.maps) | ours
    machine.run(["prefstream", "publish", str(events(tmp_path, 20))], connection)
    until("summaries", lambda: settled(machine, connection, 20), explain=lambda: machine.log("worker.log"))
    assert stop(worker, stateful["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]) == 0
    assert PASSWORD not in machine.log("worker.log")


def only_container(manifest: Mapping[str, Any]) -> dict[str, Any]:
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    return dict(container)


def variables(container: Mapping[str, Any], maps: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """What Kubernetes would put into the environment; a secret that is optional is not there."""
    secrets = {
        ("prefstream-kafka", "username"): USER,
        ("prefstream-kafka", "password"): PASSWORD,
        ("prefstream-forget", "key"): "0123456789abcdef",
    }
    held = {name: value for source in container["envFrom"] for name, value in maps[source["configMapRef"]["name"]].items()}
    for variable in container["env"]:
        source = variable["valueFrom"]
        if "fieldRef" in source:
            held[variable["name"]] = "prefstream-worker-0"
        elif not source["secretKeyRef"].get("optional"):
            held[variable["name"]] = secrets[source["secretKeyRef"]["name"], source["secretKeyRef"]["key"]]
    return held


def test_the_healthcheck_asks_where_the_worker_serves() -> None:
    """The image's, by the port that the settings have by default."""
    text = (IMAGES / "worker.Dockerfile").read_text()
    port = yaml.safe_load((ROOT / "deploy/k8s/worker/service.yaml").read_text())["spec"]["ports"][0]["port"]
    assert f"127.0.0.1:{port}/healthz" in text
    assert f"EXPOSE {port}" in text
