"""Publishers ten times faster than the model: memory, backlog and freshness of a worker, and what a hot user costs the others.

Place: outside the flow. One real broker, one worker, a counting engine whose delay makes it as slow as is wanted. Two overloads
one after the other: with a hot user that publishes part of all events, and without. After the first one the publishers stop and
the engine gets faster, so that the drain can be waited for; nothing else is done to make it drain.

    python -m benchmarks.backpressure [--seconds 60] [--model-rate 200]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from urllib.request import urlopen

import matplotlib
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families
from rich.progress import Progress
from rich.table import Table

from benchmarks.stream import RESULTS, console, process, save
from deploy.kafka.broker import Broker
from deploy.kafka.node import free_port
from prefstream.admin import create_topics
from prefstream.topics import TopicNames, topic_specs

matplotlib.use("Agg")
from matplotlib import pyplot as plt

DESCRIPTION = """\
Publishers ten times faster than the model: memory, backlog and freshness of a worker, and what a hot user costs.

It starts a broker of its own, takes several minutes (two overloads of --seconds, and the drain), and replaces
backpressure.json, backpressure.txt and backpressure.png in benchmarks/results.
"""
EXAMPLES = """\
examples:
  python -m benchmarks.backpressure                as the results that are kept
  python -m benchmarks.backpressure --seconds 20   a first look
"""
NUM_PARTITIONS = 4
NUM_USERS = 200
FLUSH_EVENTS = 20
MODEL_CAPACITY = 4
OVERLOAD = 10
HOT = "hot"
HOT_SHARE = 0.3
FASTER = 20  # the engine in the drain, times the engine in the overload
PATIENCE_SECONDS = 420.0


class Sample(Struct, frozen=True):
    """One look at the worker. Seconds since the publishers began; RSS in MiB; the rest as its metrics say."""

    at_seconds: float
    published: int
    applied: float
    rss_mib: float
    pending_events: float
    unread_records: float
    oldest_age_seconds: float
    gates_closed: float


class Delays(Struct, frozen=True):
    """How long events took from being published to a durable summary, among those applied while publishers published."""

    num_published: int
    num_applied: int
    median_seconds: float
    p95_seconds: float


class Overload(Struct, frozen=True):
    """One run: what was seen, who waited how long, how evenly ordinary users were served (Jain's index, 1 is even)."""

    samples: list[Sample]
    publishing_seconds: float
    drain_seconds: float | None
    num_assignments: int
    ordinary: Delays
    hot: Delays | None
    jain_index: float


class Publishers:
    """Publishes at a rate until it is stopped; knows when each user's events were published."""

    def __init__(self, bootstrap_servers: str, topic: str, rates: dict[str, float]) -> None:
        self.published_at: defaultdict[str, list[float]] = defaultdict(list)
        self.num_published = 0
        self._producer = KafkaProducer(bootstrap_servers=bootstrap_servers, linger_ms=20)
        self._topic = topic
        self._rates = rates
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        """Every 50 ms each kind of user publishes what is due by now."""
        began, sent, users = time.monotonic(), dict.fromkeys(self._rates, 0), count()
        while not self._stopped.wait(0.05):
            for kind, rate in self._rates.items():
                while sent[kind] < (time.monotonic() - began) * rate:
                    sent[kind] += 1
                    self._publish(kind if kind == HOT else f"user-{next(users) % NUM_USERS}")

    def _publish(self, user: str) -> None:
        number = self.num_published = self.num_published + 1
        item = {"id": str(number % 1_700), "title": f"A Film With a Title {number % 1_700} (1994)"}
        event = {"type": "view", "user": user, "at": "2026-01-05T20:15:00Z", "domain": "films", "item": item}
        self._producer.send(self._topic, key=user.encode(), value=json.dumps(event).encode())
        self.published_at[user].append(time.time())

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Publish nothing more, and wait until all is."""
        self._stopped.set()
        self._thread.join()
        self._producer.flush()
        self._producer.close()


class Watch:
    """Looks at a worker once a second."""

    def __init__(self, pid: int, port: int, publishers: Publishers) -> None:
        self.samples: list[Sample] = []
        self._pid = pid
        self._port = port
        self._publishers = publishers
        self._began = time.monotonic()

    def look(self) -> Sample:
        """One look."""
        with urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=10) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        found: defaultdict[str, float] = defaultdict(float)
        for family in families:
            for sample in family.samples:
                found[sample.name] += sample.value
        status = Path(f"/proc/{self._pid}/status").read_text()
        rss_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        self.samples.append(
            Sample(
                time.monotonic() - self._began,
                self._publishers.num_published,
                found["prefstream_applied_events_total"],
                rss_kib / 1_024,
                found["prefstream_pending_events"],
                found["prefstream_unread_records"],
                found["prefstream_pending_oldest_age_seconds"],
                found["prefstream_gate_closed"],
            )
        )
        return self.samples[-1]


@contextmanager
def engine(port: int, delay_seconds: float) -> Iterator[None]:
    """A counting engine that answers after this delay."""
    command = [sys.executable, "-m", "model_server.counting", "--port", str(port), "--delay-seconds", str(delay_seconds)]
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        started.kill()
        started.wait()


def settings(bootstrap_servers: str, namespace: str, topic: str, directory: Path, max_pending_mib: int) -> dict[str, str]:
    """The worker's environment, without the addresses of its ports."""
    return {
        "PREFSTREAM_BOOTSTRAP_SERVERS": bootstrap_servers,
        "PREFSTREAM_NAMESPACE": namespace,
        "PREFSTREAM_SOURCES": f"{topic}=native",
        "PREFSTREAM_DATA_DIRECTORY": str(directory / namespace),
        "PREFSTREAM_FLUSH_EVENTS": str(FLUSH_EVENTS),
        "PREFSTREAM_MODEL_CAPACITY": str(MODEL_CAPACITY),
        "PREFSTREAM_MAX_PENDING_MIB": str(max_pending_mib),
    }


def overload(
    bootstrap_servers: str, directory: Path, arguments: argparse.Namespace, *, with_hot: bool, progress: Progress
) -> Overload:
    """Publish for so long at ten times the model's rate; with the hot user also wait for the drain."""
    namespace = f"bench-{uuid.uuid4().hex[:8]}"
    topic, log = f"{namespace}-source", directory / f"{namespace}.log"
    create_topics(bootstrap_servers, topic_specs(namespace, NUM_PARTITIONS, 1))
    with KafkaAdminClient(bootstrap_servers=bootstrap_servers) as admin:
        admin.create_topics({topic: {"num_partitions": NUM_PARTITIONS, "replication_factor": 1}})
    rate = OVERLOAD * arguments.model_rate
    rates = {"ordinary": rate * (1 - HOT_SHARE)} | ({HOT: rate * HOT_SHARE} if with_hot else {})
    delay_seconds = MODEL_CAPACITY * FLUSH_EVENTS / arguments.model_rate
    model_port, http_port = free_port(), free_port()
    environment = settings(bootstrap_servers, namespace, topic, directory, arguments.max_pending_mib) | {
        "PREFSTREAM_MODEL_URL": f"http://127.0.0.1:{model_port}",
        "PREFSTREAM_HTTP_PORT": str(http_port),
    }
    publishers = Publishers(bootstrap_servers, topic, rates)
    with process("agents", environment, log, None) as worker:
        await_ready(http_port)
        watch = Watch(worker.pid, http_port, publishers)
        with engine(model_port, delay_seconds):
            publishers.start()
            task = progress.add_task("overload " + ("with a hot user" if with_hot else "without"), total=arguments.seconds)
            while watch.look().at_seconds < arguments.seconds:
                progress.update(task, completed=watch.samples[-1].at_seconds)
                time.sleep(1)
            publishers.stop()
            stopped_at, stopped = time.time(), watch.look()
        drain_seconds = None
        if with_hot:
            with engine(model_port, delay_seconds / FASTER):
                drain_seconds = drain(watch, publishers.num_published, progress) - stopped.at_seconds
    delays = delays_by_user(bootstrap_servers, TopicNames(namespace).summaries, publishers, stopped_at)
    ordinary = {user: found for user, found in delays.items() if user != HOT}
    return Overload(
        samples=watch.samples,
        publishing_seconds=stopped.at_seconds,
        drain_seconds=drain_seconds,
        num_assignments=log.read_text().count("partitions restored"),
        ordinary=summed(list(ordinary), ordinary, publishers),
        hot=summed([HOT], delays, publishers) if with_hot else None,
        jain_index=jain_index([len(found) / len(publishers.published_at[user]) for user, found in ordinary.items()]),
    )


def await_ready(port: int) -> None:
    """Wait until the worker there is ready."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def drain(watch: Watch, num_published: int, progress: Progress) -> float:
    """Wait until everything that was published is in a summary. Returns when that was."""
    task = progress.add_task("drain", total=num_published)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (seen := watch.look()).applied < num_published:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{num_published - seen.applied:,.0f} events are left after {PATIENCE_SECONDS:g} s")
        progress.update(task, completed=seen.applied)
        time.sleep(1)
    return seen.at_seconds


def delays_by_user(bootstrap_servers: str, topic: str, publishers: Publishers, until: float) -> dict[str, list[float]]:
    """Seconds from publishing to the summary, of each user's events that were in one by then (seconds since 1970).

    A user's events lie in one partition of the source, in order: a summary of ``num_events`` has the first so many.
    """
    consumer = KafkaConsumer(bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest", group_id=None)
    partitions = [TopicPartition(topic, number) for number in range(NUM_PARTITIONS)]
    consumer.assign(partitions)
    ends = consumer.end_offsets(partitions)
    delays: dict[str, list[float]] = {user: [] for user in publishers.published_at}
    while any(consumer.position(partition) < end for partition, end in ends.items()):
        for records in consumer.poll(timeout_ms=500).values():
            for record in records:
                if record.timestamp / 1_000 <= until and record.value.startswith(b"{"):
                    summary = json.loads(record.value)
                    user, num_events = summary["user"], summary["num_events"]
                    covered = publishers.published_at[user][len(delays[user]) : num_events]
                    delays[user] += [record.timestamp / 1_000 - at for at in covered]
    consumer.close()
    return delays


def summed(users: Sequence[str], delays: dict[str, list[float]], publishers: Publishers) -> Delays:
    """The delays of these users together."""
    found = sorted(delay for user in users for delay in delays[user])
    return Delays(
        num_published=sum(len(publishers.published_at[user]) for user in users),
        num_applied=len(found),
        median_seconds=statistics.median(found),
        p95_seconds=found[int(0.95 * len(found))],
    )


def jain_index(shares: Sequence[float]) -> float:
    """How evenly something is shared out: 1 when everybody has the same, 1/n when one of n has all."""
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))


def report(hot: Overload, calm: Overload, arguments: argparse.Namespace) -> dict[str, object]:
    """Print the tables and return the same as data."""
    during = [sample for sample in hot.samples if sample.at_seconds <= hot.publishing_seconds]
    halves = [
        max(sample.rss_mib for sample in during if (sample.at_seconds > hot.publishing_seconds / 2) is is_second)
        for is_second in (False, True)
    ]
    facts = {
        "published events": f"{hot.samples[-1].published:,} in {hot.publishing_seconds:.0f} s",
        "events the model takes": f"{arguments.model_rate}/s",
        "most memory (RSS), first and second half of the overload": f"{halves[0]:.0f} and {halves[1]:.0f} MiB",
        "second half ÷ first half": f"{halves[1] / halves[0]:.2f}",
        "most events pending": f"{max(sample.pending_events for sample in hot.samples):,.0f}",
        "most records unread on their topics": f"{max(sample.unread_records for sample in hot.samples):,.0f}",
        "oldest pending event, at most": f"{max(sample.oldest_age_seconds for sample in hot.samples):.0f} s",
        "a gate was closed for": f"{sum(sample.gates_closed > 0 for sample in during) / len(during):.0%} of the overload",
        "assignments of partitions (1: never left the group)": str(hot.num_assignments),
        f"drained after, with an engine {FASTER} times as fast": f"{hot.drain_seconds:.0f} s",
    }
    table = Table("", "", title="overload, and drain")
    for name, value in facts.items():
        table.add_row(name, value)
    console.print(table)
    console.print(fairness(hot, calm))
    return {
        "command": f"python -m benchmarks.backpressure --seconds {arguments.seconds:g} --model-rate {arguments.model_rate} "
        f"--max-pending-mib {arguments.max_pending_mib}",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "rss_ratio": halves[1] / halves[0],
        "ordinary_applied_ratio": hot.ordinary.num_applied / calm.ordinary.num_applied,
        "ordinary_median_delay_ratio": hot.ordinary.median_seconds / calm.ordinary.median_seconds,
        "with_hot_user": hot,
        "without": calm,
    }


def fairness(hot: Overload, calm: Overload) -> Table:
    """What the hot user costs the others, and gets."""
    title = f"events applied during the overload; the hot user publishes {HOT_SHARE:.0%} of all, the others the same in both"
    table = Table("", "without", "with a hot user", "with ÷ without", title=title)
    one, other = calm.ordinary, hot.ordinary
    for name, before, after in (
        ("ordinary users' events applied", one.num_applied, other.num_applied),
        ("median delay (s)", one.median_seconds, other.median_seconds),
        ("95th percentile of the delay (s)", one.p95_seconds, other.p95_seconds),
        ("Jain's index over ordinary users", calm.jain_index, hot.jain_index),
    ):
        form = "{:,.0f}" if isinstance(before, int) else "{:.2f}"
        table.add_row(name, form.format(before), form.format(after), f"{after / before:.2f}")
    if hot.hot is not None:
        table.add_row("the hot user's events applied", "", f"{hot.hot.num_applied:,} of {hot.hot.num_published:,}", "")
    return table


def plot(run: Overload, path: Path) -> None:
    """Memory, backlog and age over time."""
    at = [sample.at_seconds for sample in run.samples]
    figure, (memory, events, age) = plt.subplots(3, sharex=True, figsize=(9, 8))
    memory.plot(at, [sample.rss_mib for sample in run.samples], color="tab:red")
    memory.set(ylabel="memory (RSS, MiB)", ylim=(0, None))
    for name, label in (
        ("published", "published"),
        ("applied", "in a summary"),
        ("pending_events", "pending"),
        ("unread_records", "unread"),
    ):
        events.plot(at, [getattr(sample, name) for sample in run.samples], label=label)
    events.set(ylabel="events")
    events.legend()
    age.plot(at, [sample.oldest_age_seconds for sample in run.samples], color="tab:purple")
    age.set(ylabel="oldest pending event (s)", xlabel="seconds; shaded: a gate is closed; dashed: the publishers stop")
    for axis in (memory, events, age):
        axis.axvline(run.publishing_seconds, linestyle="--", color="gray")
        closed = [sample.gates_closed > 0 for sample in run.samples]
        axis.fill_between(at, 0, 1, where=closed, transform=axis.get_xaxis_transform(), color="gray", alpha=0.15)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> int:
    """Run the benchmark and write its results."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.backpressure",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=60, help="how long publishers publish (default: %(default)s)")
    parser.add_argument("--model-rate", type=int, default=200, help="events a second the model takes (default: %(default)s)")
    parser.add_argument("--max-pending-mib", type=int, default=2, help="PREFSTREAM_MAX_PENDING_MIB (default: %(default)s)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, Progress(console=console, transient=True) as progress:
        directory = Path(name)
        with Broker.start(directory / "kafka") as broker:
            calm, hot = (
                overload(broker.bootstrap_servers, directory, arguments, with_hot=with_hot, progress=progress)
                for with_hot in (False, True)
            )
    save("backpressure", report(hot, calm, arguments))
    plot(hot, RESULTS / "backpressure.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
