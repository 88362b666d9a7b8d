"""Events per second through intake and collect of one worker, against a stock no-op Faust agent on the same topic.

Place: outside the flow. One real broker on one core, one process at a time on the other, the two in turn, so that a machine
whose speed drifts treats both alike. Durable means: the pending row is acknowledged by Kafka, which is when it counts here.
No model is called: the flush thresholds are out of reach.

    python -m benchmarks.stream [--events 60000] [--pairs 3]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
import timeit
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from msgspec import Struct
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from agents.stamps import Changelog
from agents.store import Shard
from deploy.kafka.broker import Broker
from prefstream.admin import create_topics
from prefstream.topics import HOUR_MS, TopicNames, topic_specs
from streams.adapters import RawRecord
from streams.adapters.native import native
from streams.flush import FlushPolicy
from streams.pending import Known, PendingIndex
from streams.records import decode_arrival
from streams.routing import Forward, route

DESCRIPTION = """\
Events a second through intake and collect of one worker, against a stock no-op Faust agent on the same topic.

It starts a broker of its own, takes a few minutes (a run of each of the two for every pair), and replaces
stream.json and stream.txt in benchmarks/results.
"""
EXAMPLES = """\
examples:
  python -m benchmarks.stream                            as the results that are kept
  python -m benchmarks.stream --events 20000 --pairs 1   a first look
"""
NUM_PARTITIONS = 4
NUM_USERS = 5_000
RESULTS = Path(__file__).parent / "results"
TIMEOUT_SECONDS = 300.0
NEVER = {
    "PREFSTREAM_FLUSH_EVENTS": "1000000000",
    "PREFSTREAM_FLUSH_TOKENS": "1000000000",
    "PREFSTREAM_FLUSH_AGE_SECONDS": "1e9",
}

console = Console(width=110, record=True)


class Run(Struct, frozen=True):
    """One process over the whole topic: events per second of wall time, and its own CPU microseconds per event."""

    events_per_second: float
    cpu_us_per_event: float


def example(number: int) -> bytes:
    """A rating in prefstream's own JSON, about 250 bytes."""
    item = {
        "id": str(number % 1_700),
        "title": f"A Film With a Title {number % 1_700} (1994)",
        "attributes": {"genre": ["drama", "war"]},
    }
    rating = {"type": "rating", "user": f"user-{random.randrange(NUM_USERS)}", "at": "2026-01-05T20:15:00Z", "domain": "films"}
    return json.dumps(rating | {"item": item, "value": number % 5 + 1}).encode()


def fill(bootstrap_servers: str, topic: str, num_events: int) -> None:
    """Create the source topic and publish the events."""
    with KafkaAdminClient(bootstrap_servers=bootstrap_servers) as admin:
        admin.create_topics({topic: {"num_partitions": NUM_PARTITIONS, "replication_factor": 1}})
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers, linger_ms=20)
    for number in range(num_events):
        producer.send(topic, key=str(number).encode(), value=example(number))
    producer.flush()
    producer.close()


@contextmanager
def process(module: str, environment: dict[str, str], log: Path, core: int | None) -> Iterator[subprocess.Popen[str]]:
    """A Python process on one core, stopped by its process id at the end."""
    command = [sys.executable, "-m", module]
    if core is not None:
        command = ["taskset", "-c", str(core), *command]
    with log.open("w") as errors:
        started = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            yield started
        finally:
            started.terminate()
            started.wait(60)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(pid: int, count: Callable[[], int], num_events: int) -> Run:
    """Time from the first events counted to the last."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not (first := count()):
        wait_a_little(deadline)
    started, cpu = time.monotonic(), cpu_seconds(pid)
    while count() < num_events:
        wait_a_little(deadline)
    measured = num_events - first
    return Run(measured / (time.monotonic() - started), (cpu_seconds(pid) - cpu) / measured * 1e6)


def wait_a_little(deadline: float) -> None:
    """Between two looks at a counter that another process moves."""
    if time.monotonic() > deadline:
        raise TimeoutError("the process under measurement did not finish; its log is in the benchmark's directory")
    time.sleep(0.02)


def run_noop(bootstrap_servers: str, topic: str, num_events: int, directory: Path, core: int | None) -> Run:
    """The stock no-op agent."""
    app = f"noop-{uuid.uuid4().hex[:8]}"
    environment = {
        "BENCH_BOOTSTRAP_SERVERS": bootstrap_servers,
        "BENCH_TOPIC": topic,
        "BENCH_APP": app,
        "BENCH_STATE": str(directory / app),
    }
    with process("benchmarks.noop_agent", environment, directory / "noop.log", core) as worker:
        assert worker.stdout is not None
        numbers = (int(line) for line in worker.stdout if line.strip().isdigit())
        return measure(worker.pid, lambda: next(numbers), num_events)


def run_worker(bootstrap_servers: str, topic: str, num_events: int, directory: Path, core: int | None) -> Run:
    """Our worker: intake and collect, counted where the pending rows are durable."""
    namespace = f"bench-{uuid.uuid4().hex[:8]}"
    create_topics(bootstrap_servers, topic_specs(namespace, NUM_PARTITIONS, 1))
    pending = [TopicPartition(TopicNames(namespace).pending, number) for number in range(NUM_PARTITIONS)]
    environment = NEVER | {
        "PREFSTREAM_BOOTSTRAP_SERVERS": bootstrap_servers,
        "PREFSTREAM_NAMESPACE": namespace,
        "PREFSTREAM_SOURCES": f"{topic}=native",
        "PREFSTREAM_DATA_DIRECTORY": str(directory / namespace),
        "PREFSTREAM_HTTP_PORT": "0",
        "PREFSTREAM_LOG_LEVEL": "WARNING",
    }
    consumer = KafkaConsumer(bootstrap_servers=bootstrap_servers)
    try:
        with process("agents", environment, directory / "worker.log", core) as worker:
            # Each partition begins with the owner's barrier record.
            return measure(worker.pid, lambda: max(0, sum(consumer.end_offsets(pending).values()) - NUM_PARTITIONS), num_events)
    finally:
        consumer.close()


def stages(directory: Path) -> dict[str, float]:
    """Microseconds per event of the parts that are ours, each alone, in this process."""
    record = RawRecord(topic="t", partition=0, offset=0, key=b"k", value=example(1), headers=(), timestamp_ms=0)
    decoded = native(record)
    routed = route(record, decoded, "topic-id", 0)
    assert isinstance(routed, tuple)
    forward: Forward = routed[0]
    index = PendingIndex(FlushPolicy(max_events=10**9, max_tokens=10**9, max_age_seconds=1e9))
    shard = Shard(directory / "stages", Changelog("topic-id", HOUR_MS))
    offsets = iter(range(10**9))

    def admit() -> None:
        offset = next(offsets)
        arrival = decode_arrival(forward.value)
        index.admit(b"user-%d" % (offset % NUM_USERS), offset, arrival, Known())

    def store() -> None:
        shard.apply([(b"e%d" % next(offsets), forward.value) for _ in range(50)], 0)

    timed = {
        "intake: decode and validate JSON": (lambda: native(record), 1),
        "intake: route (estimate tokens, encode)": (lambda: route(record, decoded, "topic-id", 0), 1),
        "collect: decode and admit": (admit, 1),
        "store: RocksDB batch of 50, per row": (store, 50),
    }
    return {
        name: min(timeit.repeat(stage, number=2_000 // per, repeat=5)) / 2_000 * 1e6 for name, (stage, per) in timed.items()
    }


def report(noops: list[Run], workers: list[Run], parts: dict[str, float], arguments: argparse.Namespace) -> dict[str, object]:
    """Print the tables and return the same as data."""
    ratios = [ours.events_per_second / noop.events_per_second for noop, ours in zip(noops, workers, strict=True)]
    cpu = {
        name: statistics.median(run.cpu_us_per_event for run in runs) for name, runs in (("noop", noops), ("worker", workers))
    }
    table = Table("", *(f"pair {number + 1}" for number in range(len(ratios))), "median", title="intake + collect, durable")
    for name, values, form in (
        ("no-op agent, events/s", [run.events_per_second for run in noops], "{:,.0f}"),
        ("prefstream, events/s", [run.events_per_second for run in workers], "{:,.0f}"),
        ("ratio", ratios, "{:.2f}"),
        ("no-op agent, CPU µs/event", [run.cpu_us_per_event for run in noops], "{:.0f}"),
        ("prefstream, CPU µs/event", [run.cpu_us_per_event for run in workers], "{:.0f}"),
    ):
        table.add_row(name, *(form.format(value) for value in values), form.format(statistics.median(values)))
    console.print(table)
    console.print(where_the_time_goes(parts, cpu["worker"]))
    return {
        "command": f"python -m benchmarks.stream --events {arguments.events} --pairs {arguments.pairs}",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "noop": noops,
        "prefstream": workers,
        "ratios": ratios,
        "median_ratio": statistics.median(ratios),
        "stages_us_per_event": parts,
    }


def where_the_time_goes(parts: dict[str, float], total: float) -> Table:
    """Our own parts, and what is left: Faust's two hops, aiokafka's fetching and sending."""
    table = Table("part", "µs/event", "share", title="where the worker's CPU time goes")
    for name, microseconds in parts.items():
        table.add_row(name, f"{microseconds:.1f}", f"{microseconds / total:.0%}")
    rest = total - sum(parts.values())
    table.add_row("Faust, two hops; aiokafka, fetch and send; the rest", f"{rest:.1f}", f"{rest / total:.0%}")
    return table


def main() -> int:
    """Run the benchmark and write its results."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.stream",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--events", type=int, default=60_000, help="events in the topic (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=3, help="runs of each, in turn (default: %(default)s)")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    worker_core = cores[-1] if len(cores) > 1 else None
    noops: list[Run] = []
    workers: list[Run] = []
    with tempfile.TemporaryDirectory() as name, Progress(console=console, transient=True) as progress:
        directory, topic = Path(name), f"bench-source-{uuid.uuid4().hex[:8]}"
        task = progress.add_task("starting Kafka", total=2 * arguments.pairs)
        with Broker.start(directory / "kafka") as broker:
            if worker_core is not None:
                os.sched_setaffinity(broker.pid, {cores[0]})
            progress.update(task, description="filling the topic")
            fill(broker.bootstrap_servers, topic, arguments.events)
            for runs, run, what in ((noops, run_noop, "no-op agent"), (workers, run_worker, "prefstream")) * arguments.pairs:
                progress.update(task, description=what)
                runs.append(run(broker.bootstrap_servers, topic, arguments.events, directory, worker_core))
                progress.advance(task)
        parts = stages(directory)
    save("stream", report(noops, workers, parts, arguments))
    return 0


def save(name: str, result: dict[str, object]) -> None:
    """Write the printed tables as text and the result as JSON."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=2) + b"\n")
    (RESULTS / f"{name}.txt").write_text(console.export_text())
    console.print(f"written to benchmarks/results/{name}.json and {name}.txt")


if __name__ == "__main__":
    sys.exit(main())
