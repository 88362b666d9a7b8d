"""One KRaft node as a process: its folder, its ports, and the wait until it serves. broker.py keeps it alive or stops it."""

from __future__ import annotations

import base64
import os
import random
import socket
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from string import Template

from deploy.kafka.jars import FOLDER, KafkaUnavailable
from deploy.kafka.secured import Secured

START_SECONDS = 60.0
# Below the range that systems give to outgoing connections: while a node restarts, a client that retries its address
# could otherwise be given that very port, connect to itself, and keep the node out.
PORTS = range(20_000, 32_000)
JAVA = ("java", "-XX:+UseSerialGC", f"-Dlog4j2.configurationFile={FOLDER / 'log4j2.properties'}")

# A tied node dies with the *thread* that started it, so that thread must live as long as the process.
_PARENT = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kafka-parent")


@dataclass(frozen=True)
class Detour:
    """A second way to the node: it listens on ``port``, and tells whoever comes there to come to ``advertised_port``."""

    port: int
    advertised_port: int


@dataclass(frozen=True)
class Node:
    """A node's jars, its own directory (properties, log and data) and its port on 127.0.0.1."""

    jars: Path
    directory: Path
    port: int
    detour: Detour | None = None
    secured: Secured | None = None

    @property
    def bootstrap_servers(self) -> str:
        """The address for clients."""
        return f"127.0.0.1:{self.port}"

    @property
    def properties(self) -> Path:
        """The node's own settings, absolute: it also tells this node's process from any other."""
        return self.directory.resolve() / "server.properties"

    @property
    def log(self) -> Path:
        """What the node printed, over all its starts."""
        return self.directory / "broker.log"

    def format(self) -> None:
        """Write the settings, and format the data directory unless an earlier start did."""
        data = self.directory.resolve() / "data"
        data.mkdir(parents=True, exist_ok=True)
        template = Template((FOLDER / "server.properties").read_text())
        controller_port = free_port(other_than=self.port)
        detour, secured = self.detour, self.secured
        self.properties.write_text(
            template.substitute(
                port=self.port,
                controller_port=controller_port,
                log_directory=data,
                detour_listener=f",DETOUR://127.0.0.1:{detour.port}" if detour else "",
                detour_address=f",DETOUR://127.0.0.1:{detour.advertised_port}" if detour else "",
                secured_listeners=secured.listeners if secured else "",
                secured_properties=secured.properties if secured else "",
            )
        )
        if not (data / "meta.properties").exists():
            self._run_format()

    def start(self, tied: bool) -> subprocess.Popen[bytes]:
        """Start the process, without waiting. ``tied``: it is killed when this Python process ends, in whatever way."""
        command = [*self._java("-Xmx512m"), "kafka.Kafka", str(self.properties)]
        if tied:
            command = [sys.executable, "-I", "-S", str(FOLDER / "tied.py"), str(os.getpid()), *command]
        return _PARENT.submit(self._spawn, command).result()

    def await_serving(self, process: subprocess.Popen[bytes]) -> None:
        """Return once the node serves.

        Raises KafkaUnavailable when it stops, or does not serve within 60 seconds; nothing is left running then.
        """
        try:
            self._await_answer(process)
        except BaseException:
            process.kill()
            process.wait()
            raise

    def _java(self, *options: str) -> list[str]:
        return [*JAVA, *options, "-cp", f"{self.jars}/*"]

    def _run_format(self) -> None:
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        tool = ["kafka.tools.StorageTool", "format", "--config", str(self.properties), f"--cluster-id={cluster_id}"]
        tool += self.secured.format_options if self.secured else []
        # Short-lived: the first compiler tier alone is faster.
        done = subprocess.run([*self._java("-XX:TieredStopAtLevel=1"), *tool], capture_output=True, text=True)
        if done.returncode != 0:
            raise KafkaUnavailable(f"Kafka could not format {self.directory}:\n{done.stdout}{done.stderr}")

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C at the terminal is for us, who then stop the node in order.
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def _await_answer(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise KafkaUnavailable(f"Kafka stopped while starting; {self._last_words()}")
            if _is_open(self.port):
                break
            time.sleep(0.05)
        if not serves(self.bootstrap_servers, max(1.0, deadline - time.monotonic())):
            raise KafkaUnavailable(f"Kafka does not answer at {self.bootstrap_servers}; {self._last_words()}")

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-20:]
        return "\n".join([f"the end of {self.log}:", *lines])


def serves(bootstrap_servers: str, within_seconds: float) -> bool:
    """Whether a cluster with a live broker answers there, at the latest after ``within_seconds``."""
    # Imported here, because stopping a broker and cleaning up must work before anything is installed.
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    deadline = time.monotonic() + within_seconds
    patience = {"bootstrap_timeout_ms": int(within_seconds * 1000), "reconnect_backoff_max_ms": 200}
    try:
        with KafkaAdminClient(bootstrap_servers=bootstrap_servers, **patience) as admin:
            # A node answers shortly before its controller lets it serve.
            while not admin.describe_cluster()["brokers"]:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.05)
    except KafkaError:
        return False
    return True


def free_port(other_than: int = 0) -> int:
    """A port of 127.0.0.1 that nothing listens on now."""
    ports = random.sample(PORTS, k=100)
    return next(port for port in ports if port != other_than and is_free(port))


def is_free(port: int) -> bool:
    """Whether a server can listen on this port of 127.0.0.1."""
    with socket.socket() as listener:
        # As Kafka does: a port whose last connections are still fading is free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _is_open(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1.0)
        return client.connect_ex(("127.0.0.1", port)) == 0
