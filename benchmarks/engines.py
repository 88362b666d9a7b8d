"""The engine under measurement: started from a profile or already running, its counters, its cache and its CPU time.

Place: beside the benchmarks that need a model. What is started here ends with the benchmark, however that ends.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families
from rich.progress import Progress

from benchmarks.stream import console, cpu_seconds, save
from deploy.kafka import tied
from deploy.kafka.node import free_port

REPOSITORY = Path(__file__).parents[1]
COUNTING = "counting"
ENGINE_PYTHON = REPOSITORY / ".venv-engine" / "bin" / "python"
START_SECONDS = 600.0
STOP_SECONDS = 60.0
CACHE_SECONDS = 60.0


class CannotMeasure(Exception):
    """What is needed for a measurement is not there; the message is a sentence for a person, with the fix."""


class Engine(Struct, frozen=True):
    """An OpenAI-compatible server: its root, the model it serves, its process if it is ours or was named."""

    url: str
    model: str
    pid: int | None

    def counters(self) -> dict[str, float]:
        """Its metrics by name, summed over their labels; empty where it has none."""
        try:
            return metrics_at(f"{self.url}/metrics")
        except HTTPError:
            return {}

    def max_model_len(self) -> int | None:
        """How many tokens prompt and answer may have together, None where it does not say."""
        length = _model_at(self.url).get("max_model_len")
        return int(length) if length else None

    def cpu_seconds(self) -> float:
        """User and system time so far of its process and all below it; 0 where nobody named the process."""
        return tree_cpu_seconds(self.pid) if self.pid is not None else 0.0

    def empty_cache(self) -> None:
        """Make it forget the prompts it has seen. One that serves no vLLM metrics has no such cache.

        Raises CannotMeasure where that is not allowed, or calls hold on to it for a minute.
        """
        if "vllm:num_requests_running" not in self.counters():
            return
        deadline = time.monotonic() + CACHE_SECONDS
        while not self._emptied():
            if time.monotonic() > deadline:
                raise CannotMeasure("The engine does not empty its prefix cache: somebody else's calls are running on it.")
            time.sleep(0.2)

    def _emptied(self) -> bool:
        try:
            with urlopen(Request(f"{self.url}/reset_prefix_cache", method="POST"), timeout=30) as answer:
                return bool(json.load(answer)["success"])
        except HTTPError as error:
            raise CannotMeasure(
                "The engine does not let its prefix cache be emptied between rounds, so the second would have it easier: "
                "start it with VLLM_SERVER_DEV_MODE=1."
            ) from error


def metrics_at(url: str) -> dict[str, float]:
    """Prometheus metrics by sample name, summed over labels."""
    with urlopen(url, timeout=30) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    found: defaultdict[str, float] = defaultdict(float)
    for family in families:
        for sample in family.samples:
            found[sample.name] += sample.value
    return dict(found)


def tree_cpu_seconds(root: int) -> float:
    """User and system time so far of a process and of all below it that still run."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            children[int(stat.read_text().rsplit(")", 1)[1].split()[1])].append(int(stat.parent.name))
        except (OSError, IndexError):  # it ended in between
            continue
    total, left = 0.0, [root]
    while left:
        pid = left.pop()
        left += children[pid]
        try:
            total += cpu_seconds(pid)
        except OSError:
            continue
    return total


@contextmanager
def tied_process(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process, all it prints in ``log``; asked to stop at the end, killed when it does not.

    Ctrl-C at the terminal is for the benchmark, which then stops its processes in order.
    """
    through = [sys.executable, "-I", "-S", str(tied.__file__), str(os.getpid())]
    with log.open("ab") as output:
        started = subprocess.Popen(
            [*through, *command],
            cwd=REPOSITORY,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say which engine is measured."""
    parser.add_argument("--engine", default=COUNTING, metavar="PROFILE", help="the profile to serve (default: %(default)s)")
    parser.add_argument("--url", help="an engine that serves the profile already, in place of one that is started")
    parser.add_argument("--engine-pid", type=int, metavar="PID", help="its process, for its CPU time; only with --url")
    parser.add_argument("--engine-python", default=ENGINE_PYTHON, help="the Python that has vLLM (default: make engine's)")
    parser.add_argument("--delay-seconds", type=float, default=0.5, help="of the counting engine (default: %(default)s)")


@contextmanager
def engine_of(arguments: argparse.Namespace, directory: Path, flags: Sequence[str] = ()) -> Iterator[Engine]:
    """The engine that the options name, ready; ``flags`` are vLLM's own, of one that is started.

    Raises CannotMeasure when it does not start or does not answer.
    """
    if arguments.url:
        url = arguments.url.rstrip("/")
        yield Engine(url, served_model(url), arguments.engine_pid)
        return
    url, log = f"http://127.0.0.1:{(port := free_port())}", directory / "engine.log"
    # In this mode the prefix cache can be emptied between rounds.
    with tied_process(_server(arguments, port, flags), {"VLLM_SERVER_DEV_MODE": "1"}, log) as started:
        # It says its address when it is ready.
        await_start(started, log, START_SECONDS, lambda: url in log.read_text(errors="replace").splitlines())
        yield Engine(url, served_model(url), started.pid)


def _server(arguments: argparse.Namespace, port: int, flags: Sequence[str]) -> list[str]:
    if arguments.engine == COUNTING:
        options = ["--port", str(port), "--delay-seconds", str(arguments.delay_seconds)]
        return [sys.executable, "-m", "model_server.counting", *options]
    if not Path(arguments.engine_python).exists():
        raise CannotMeasure(f"There is no {arguments.engine_python}: run make engine, or name one with --engine-python.")
    return [str(arguments.engine_python), "-m", "model_server.serve", "--port", str(port), arguments.engine, "--", *flags]


def served_model(url: str) -> str:
    """The name of the first model that is served there. Raises CannotMeasure when nobody answers."""
    try:
        return str(_model_at(url)["id"])
    except OSError as error:
        raise CannotMeasure(f"No model server answers at {url}: start one, or leave out --url.") from error


def _model_at(url: str) -> dict[str, Any]:
    with urlopen(f"{url}/v1/models", timeout=30) as answer:
        return dict(json.load(answer)["data"][0])


def await_start(process: subprocess.Popen[bytes], log: Path, seconds: float, has_started: Callable[[], bool]) -> None:
    """Return once it has. Raises CannotMeasure when the process ends before, or after so long."""
    deadline = time.monotonic() + seconds
    while not has_started():
        if process.poll() is not None or time.monotonic() > deadline:
            words = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
            raise CannotMeasure(f"{log.stem} does not start; the end of its log:\n{words}")
        time.sleep(0.1)


def answers(url: str) -> bool:
    """Whether ``url`` answers 200."""
    try:
        with urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def keep_results(name: str, look: bool, measure: Callable[[Path, Progress], Mapping[str, Any]]) -> int:
    """Measure in a folder of its own, with progress shown; keep what was found unless ``look``. Returns the exit status."""
    try:
        with tempfile.TemporaryDirectory() as folder, Progress(console=console, transient=True) as progress:
            found = measure(Path(folder), progress)
    except CannotMeasure as reason:
        console.print(str(reason), markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted; the results are as they were.")
        return 130
    if not look:
        save(name, dict(found))
    return 0
