"""A real Kafka broker: ``Broker.start`` for tests and the demo, ``python -m deploy.kafka.broker up`` for a developer."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from deploy.kafka.jars import KafkaUnavailable, cache_folder, prepare, say
from deploy.kafka.node import Detour, Node, free_port, is_free, serves
from deploy.kafka.secured import Secured
from model_server.locks import locked

STOP_SECONDS = 20.0
ANSWER_SECONDS = 10.0
_STOPPED_ANSWER_SECONDS = 1.0
USUAL_PORT = 9092
ADDRESS_VARIABLE = "PREFSTREAM_BOOTSTRAP_SERVERS"


class Broker:
    """One running node that belongs to this process and ends with it, however it ends. Start it with ``Broker.start``."""

    def __init__(self, node: Node, process: subprocess.Popen[bytes]) -> None:
        self._node = node
        self._process = process

    @classmethod
    def start(
        cls, directory: Path, port: int | None = None, detour: Detour | None = None, secured: Secured | None = None
    ) -> Self:
        """Format ``directory`` if it is new, start a node on 127.0.0.1, on a free port unless one is given, and wait for it.

        With ``detour`` it can also be reached through whatever forwards that address to its second port;
        with ``secured`` at listeners that ask for more.

        Raises KafkaUnavailable, with a sentence for a person, when Kafka cannot run here.
        """
        node = Node(prepare(), directory, port or free_port(), detour, secured)
        node.format()
        process = node.start(tied=True)
        node.await_serving(process)
        return cls(node, process)

    @property
    def bootstrap_servers(self) -> str:
        """The address for clients, the same after a restart."""
        return self._node.bootstrap_servers

    @property
    def pid(self) -> int:
        """The process id of the node, a new one after a restart."""
        return self._process.pid

    def stop(self) -> None:
        """Stop the node in order, or kill it when that takes longer than 20 seconds. Its data stays."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End the node at once, as a crash would (SIGKILL). Its data stays."""
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        """Stop the node if it runs and start it on the same port and data: about 3 seconds, 5 after ``kill``."""
        self.stop()
        self._process = self._node.start(tied=True)
        self._node.await_serving(self._process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


def external_bootstrap_servers() -> str | None:
    """The broker that ``PREFSTREAM_BOOTSTRAP_SERVERS`` names, which must answer, or None when it names none.

    A terminal that was given our own broker's address still has it when that broker is stopped: then it names none.
    """
    address = os.environ.get(ADDRESS_VARIABLE)
    if not address:
        return None
    was_ours = address == _stopped_address()
    if serves(address, _STOPPED_ANSWER_SECONDS if was_ours else ANSWER_SECONDS):
        return address
    if not was_ours:
        raise KafkaUnavailable(f"No broker answers at {address}: start it, or unset {ADDRESS_VARIABLE} to have one started.")
    say(f"The broker at {address} is stopped, so the address in {ADDRESS_VARIABLE} does not count.")
    return None


@dataclass(frozen=True)
class Background:
    """The node that `up` left running, or has left: its process id and its address, kept in a file."""

    pid: int
    bootstrap_servers: str


def up() -> None:
    """Start a broker in the background unless one runs, and print its address as a line that a shell can evaluate."""
    address = external_bootstrap_servers()
    if address:
        say(f"Using the broker that {ADDRESS_VARIABLE} names.")
    else:
        with locked(_folder().with_suffix(".lock")):
            address = _running_address() or _start_background()
    print(f"export {ADDRESS_VARIABLE}={address}")


def down() -> None:
    """Stop the background broker, if one runs. Its data stays for the next `up`."""
    with locked(_folder().with_suffix(".lock")):
        background = _background()
        if background is None:
            say("No background broker is running.")
            return
        _end(background.pid)
        say(f"Stopped the broker at {background.bootstrap_servers}.")


def status() -> None:
    """Say whether the background broker runs; the exit status is 1 when it does not."""
    background = _background()
    if background is None:
        raise KafkaUnavailable("No background broker is running.")
    print(f"The broker at {background.bootstrap_servers} is running, process {background.pid}.")


def fetch() -> None:
    """Fetch Kafka, so that the first broker starts at once; nothing to do for a broker of your own."""
    if not os.environ.get(ADDRESS_VARIABLE):
        prepare()


def main() -> int:
    """The command line: one word. Returns the exit status."""
    commands = {"up": up, "down": down, "status": status, "fetch": fetch}
    parser = argparse.ArgumentParser(prog="python -m deploy.kafka.broker", description="A Kafka broker for development.")
    parser.add_argument("command", choices=commands)
    try:
        commands[parser.parse_args().command]()
    except KafkaUnavailable as reason:
        say(str(reason))
        return 1
    except KeyboardInterrupt:
        say("Interrupted.")
        return 128 + signal.SIGINT
    return 0


def _folder() -> Path:
    return cache_folder() / "dev"


def _state_file() -> Path:
    return _folder() / "broker.json"


def _start_background() -> str:
    node = Node(prepare(), _folder(), USUAL_PORT if is_free(USUAL_PORT) else free_port())
    say(f"Starting Kafka at {node.bootstrap_servers} ...")
    node.format()
    process = node.start(tied=False)
    # Before the wait, so that `down` finds the node even if this run ends here.
    _state_file().write_text(json.dumps(asdict(Background(process.pid, node.bootstrap_servers))))
    node.await_serving(process)
    return node.bootstrap_servers


def _running_address() -> str | None:
    background = _background()
    if background is None:
        return None
    if not serves(background.bootstrap_servers, ANSWER_SECONDS):
        raise KafkaUnavailable(f"The background broker, process {background.pid}, does not answer: run `make down` first.")
    return background.bootstrap_servers


def _background() -> Background | None:
    """What `up` left, if it still runs."""
    background = _last_background()
    return background if background and _runs(background.pid) else None


def _stopped_address() -> str | None:
    """Where the node was that `up` left, if it runs no more."""
    background = _last_background()
    return background.bootstrap_servers if background and not _runs(background.pid) else None


def _last_background() -> Background | None:
    try:
        return Background(**json.loads(_state_file().read_text()))
    except FileNotFoundError:
        return None


def _runs(pid: int) -> bool:
    """Whether that process is our node: ids are used again, and a dead process can stay listed, without a command line."""
    if sys.platform == "linux":
        try:
            command = Path(f"/proc/{pid}/cmdline").read_text()
        except FileNotFoundError:
            return False
    else:
        command = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True).stdout
    return str(_folder() / "server.properties") in command


def _end(pid: int) -> None:
    """Stop a node that is no child of ours: in order, or killed after 20 seconds."""
    deadline = time.monotonic() + STOP_SECONDS
    os.kill(pid, signal.SIGTERM)
    while _runs(pid):
        if time.monotonic() > deadline:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
