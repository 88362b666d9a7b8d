"""How a worker comes back, by number of users: recovery from the changelogs, restart with local state, memory, cost per event.

Place: outside the flow. One real broker on one core, one worker (`python -m agents`) at a time on the other. The topics of the
tables are filled through the worker's own lanes with the records that a worker would have written: a summary of every user,
pending rows of one user in a hundred, the ledgers. No model is called: the flush thresholds are out of reach.

    python -m benchmarks.recovery [--users 10000 100000 1000000] [--events 20000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from kafka import KafkaProducer
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families
from rich.progress import Progress
from rich.table import Table

from agents.writer import Lane, start_producer
from benchmarks.stream import NEVER, console, cpu_seconds, process, save
from deploy.kafka.broker import Broker
from deploy.kafka.node import free_port
from prefstream.admin import create_topics
from prefstream.dead_letters import Origin
from prefstream.events import Item, Rating
from prefstream.summaries import DomainTally, Mention, ModelUsed, Summary, Tally, Weight, encode_summary
from prefstream.topics import DEFAULT_NUM_PARTITIONS, TopicNames, topic_specs
from streams.keys import event_key, murmur2_partition
from streams.ledger import LEDGER_KEY, Ledger, encode_ledger
from streams.records import Arrival, encode_arrival, encode_event
from streams.tokens import estimate_event_tokens

DESCRIPTION = """\
How a worker comes back, by number of users: recovery, restart with local state, memory, cost per event.

It starts a broker of its own, takes many minutes, most of them for the largest number of users, and replaces
recovery.json and recovery.txt in benchmarks/results.
"""
EXAMPLES = """\
examples:
  python -m benchmarks.recovery                            as the results that are kept
  python -m benchmarks.recovery --users 10000 --rounds 1   a first look
"""
NUM_PARTITIONS = DEFAULT_NUM_PARTITIONS
PENDING_EVENTS = (1, 2, 3)  # offsets of the pending rows of one user in a hundred; summaries cover offset 0
TIMEOUT_SECONDS = 600.0
AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)


class Start(Struct, frozen=True):
    """One start of a worker up to readiness. CPU time is that of the recovery; memory in MiB, when ready and at most."""

    ready_seconds: float
    num_records: int  # that recovery had to read
    recovery_seconds: float
    cpu_us_per_record: float
    rss_mib: float
    peak_mib: float


class Load(Struct, frozen=True):
    """One load through intake and collect: the worker's CPU microseconds per event, and its memory afterwards."""

    cpu_us_per_event: float
    rss_mib: float


class Size(Struct):
    """All that was measured with one number of users."""

    num_users: int
    summary_bytes: int
    fill_seconds: float
    recovery: Start
    restarts: list[Start]
    loads: list[Load]


def user_id(number: int) -> str:
    """One of the users."""
    return f"user-{number:08}"


def rating(number: int, user: str) -> Rating:
    """An event about one of 1,700 films."""
    item = Item(
        id=str(number % 1_700), title=f"A Film With a Title {number % 1_700} (1994)", attributes={"genre": ("drama", "war")}
    )
    return Rating(user=user, at=AT + timedelta(seconds=number), domain="films", item=item, value=number % 5 + 1)


def summary_of(number: int) -> Summary:
    """A summary as evolution leaves it after 60 events: some 120 words, a tally of six attributes and four items."""
    genres = ("drama", "war", "comedy", "crime", "romance", "western")
    film = f"A Film With a Title {number % 1_700} (1994)"
    text = (
        "Loves slow, character-driven dramas and war films of the nineties, above all when they rest on a true story and "
        f"take their time; rated {film} and two others of its kind at the top of the scale. Enjoys crime stories with a dry "
        "sense of humour and comes back to the same directors. Warm to romances when they are not the main plot. Has grown "
        "less patient with broad comedies, which were skipped or rated low several times lately."
    )
    weights = {f"genre:{genre}": Weight(6.25 - place, 0.5 * place, 12.0, 4.0, 60) for place, genre in enumerate(genres)}
    mentions = tuple(
        Mention(str(number % 1_700 + one), f"A Film With a Title {number % 1_700 + one}", 0.8, 60) for one in range(4)
    )
    films = DomainTally(
        num_events=60,
        overall=Weight(30.5, 9.25, 60.0, 0.0, 60),
        attributes=weights,
        favourites=mentions[:3],
        dislikes=mentions[3:],
    )
    return Summary(
        user=user_id(number),
        version=3,
        previous_version=2,
        text=text,
        reason="size",
        updated_at=AT,
        first_event_at=AT - timedelta(days=30),
        last_event_at=AT,
        num_events=60,
        num_new_events=20,
        position=0,
        tokens=125,
        model=ModelUsed("counting", "", "plain", "0" * 64),
        tally=Tally(60, {"films": films}),
        origins={f"an-earlier-source-00000/{number % 8}": (number, 0)},
    )


async def fill(bootstrap_servers: str, names: TopicNames, num_users: int) -> None:
    """Write what a worker would have written, through its own lanes."""
    producer = await start_producer(bootstrap_servers)
    lanes = {
        (topic, number): Lane(producer, topic, number)
        for topic in (names.events, names.pending, names.summaries)
        for number in range(NUM_PARTITIONS)
    }
    for number in range(NUM_PARTITIONS):
        for offset in (0, *PENDING_EVENTS):
            lanes[names.events, number].put((b"user-before", encode_arrival(arrival(offset, "user-before"))))
        position = PENDING_EVENTS[-1] + 1
        lanes[names.pending, number].put((LEDGER_KEY, encode_ledger(Ledger(position, accepted=position))))
    for number in range(num_users):
        user = user_id(number).encode()
        partition = murmur2_partition(user, NUM_PARTITIONS)
        lane = lanes[names.summaries, partition]
        lane.put((user, encode_summary(summary_of(number))))
        if number % 100 == 0:
            for offset in PENDING_EVENTS:
                lanes[names.pending, partition].put((event_key(user, offset), encode_arrival(arrival(offset, user.decode()))))
        if lane.is_full:
            await lane.room()
    for lane in lanes.values():
        await lane.flushed()
        await lane.close()
    await producer.stop()


def arrival(offset: int, user: str) -> Arrival:
    """The event at an offset of the keyed topic."""
    event = rating(offset, user)
    return Arrival(
        Origin("an-earlier-source-00000", 0, offset),
        1_767_643_200_000,
        estimate_event_tokens(event),
        "",
        msgspec.Raw(encode_event(event)),
    )


class Worker:
    """A worker process that is asked over HTTP."""

    def __init__(self, started: subprocess.Popen[str], port: int, log: Path) -> None:
        self._process = started
        self.pid = started.pid
        self.started = time.monotonic()
        self._port = port
        self._log = log

    def _get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        """The sum of a metric's samples."""
        families = text_string_to_metric_families(self._get("/metrics")[1])
        return sum(sample.value for family in families for sample in family.samples if sample.name == name)

    def labelled(self, name: str, value: str) -> float:
        """The sum of a metric's samples that have this label."""
        families = text_string_to_metric_families(self._get("/metrics")[1])
        found = (sample for family in families for sample in family.samples if sample.name == name)
        return sum(sample.value for sample in found if value in sample.labels.values())

    def memory_mib(self, what: str) -> float:
        """A line of the process's status: ``VmRSS``, ``VmHWM``."""
        (line,) = [line for line in Path(f"/proc/{self.pid}/status").read_text().splitlines() if line.startswith(what)]
        return int(line.split()[1]) / 1_024

    def await_ready(self) -> Start:
        """Wait for readiness, and watch the recovery on the way."""
        most_left, began, ended, cpu, cpu_ended = 0, self.started, self.started, 0.0, 0.0
        while self._get("/readyz")[0] != 200:
            left = int(self.metric("prefstream_recovery_records_left"))
            if left and not most_left:
                began, cpu = time.monotonic(), cpu_seconds(self.pid)
            if left or most_left:
                ended, cpu_ended = time.monotonic(), cpu_seconds(self.pid)
            most_left = max(most_left, left)
            self.wait_a_little(0.05)
        ready = time.monotonic()
        return Start(
            ready - self.started,
            most_left,
            ended - began,
            (cpu_ended - cpu) / max(1, most_left) * 1e6,
            self.memory_mib("VmRSS"),
            self.memory_mib("VmHWM"),
        )

    def wait_a_little(self, seconds: float) -> None:
        """Between two looks at a worker."""
        if self._process.poll() is not None or time.monotonic() > self.started + TIMEOUT_SECONDS:
            raise RuntimeError(f"the worker did not come that far; the end of its log:\n{self._log.read_text()[-4_000:]}")
        time.sleep(seconds)


@contextmanager
def worker(bootstrap_servers: str, namespace: str, directory: Path, core: int | None) -> Iterator[Worker]:
    """A worker on the tables in ``directory``, stopped in order at the end."""
    port = free_port()
    environment = NEVER | {
        "PREFSTREAM_BOOTSTRAP_SERVERS": bootstrap_servers,
        "PREFSTREAM_NAMESPACE": namespace,
        "PREFSTREAM_DATA_DIRECTORY": str(directory / namespace),
        "PREFSTREAM_HTTP_PORT": str(port),
    }
    log = directory / f"{namespace}.log"
    with process("agents", environment, log, core) as started:
        yield Worker(started, port, log)
        stopping(started, log)


def stopping(started: subprocess.Popen[str], log: Path) -> None:
    """Stop in order: it must not have ended by itself, and leave at once when asked."""
    started.terminate()
    if started.wait(60) != 0:
        raise RuntimeError(f"the worker ended with {started.returncode}:\n{log.read_text()[-4_000:]}")


def load(running: Worker, bootstrap_servers: str, names: TopicNames, num_users: int, num_events: int) -> Load:
    """Publish events of users drawn from all of them, and wait until they are collected."""
    events = [msgspec.json.encode(rating(number, user_id(random.randrange(num_users)))) for number in range(num_events)]
    producer = KafkaProducer(bootstrap_servers=bootstrap_servers, linger_ms=20)
    cpu = cpu_seconds(running.pid)
    for event in events:
        producer.send(names.inbox, value=event)
    producer.close()
    while running.metric("prefstream_collected_events_total") < num_events:
        running.wait_a_little(0.25)
    return Load((cpu_seconds(running.pid) - cpu) / num_events * 1e6, running.memory_mib("VmRSS"))


def measure(
    bootstrap_servers: str,
    sizes: Sequence[int],
    arguments: argparse.Namespace,
    directory: Path,
    core: int | None,
    progress: Progress,
) -> list[Size]:
    """Fill, recover and restart with each number of users, then load all of them in turn, so that a drift treats them alike."""
    task = progress.add_task("", total=len(sizes) * (3 + arguments.rounds))
    measured = []
    for num_users in sizes:
        namespace = f"bench-{num_users}"
        names = TopicNames(namespace)

        def step(what: str, num_users: int = num_users) -> None:
            progress.update(task, advance=1, description=f"{num_users:,} users: {what}")

        step("fill")
        create_topics(bootstrap_servers, topic_specs(namespace, NUM_PARTITIONS, 1))
        began = time.monotonic()
        asyncio.run(fill(bootstrap_servers, names, num_users))
        fill_seconds = time.monotonic() - began
        step("recover")
        with worker(bootstrap_servers, namespace, directory, core) as running:
            recovery = running.await_ready()
        step("restart")
        with worker(bootstrap_servers, namespace, directory, core) as running:
            restarts = [running.await_ready()]
        measured.append(Size(num_users, len(encode_summary(summary_of(0))), fill_seconds, recovery, restarts, []))
    for size in measured * arguments.rounds:
        namespace = f"bench-{size.num_users}"
        progress.update(task, advance=1, description=f"{size.num_users:,} users: load")
        with worker(bootstrap_servers, namespace, directory, core) as running:
            size.restarts.append(running.await_ready())
            size.loads.append(load(running, bootstrap_servers, TopicNames(namespace), size.num_users, arguments.events))
    return measured


def report(sizes: Sequence[Size], arguments: argparse.Namespace) -> dict[str, object]:
    """Print the table and return the same as data."""
    cpu = [statistics.median(load.cpu_us_per_event for load in size.loads) for size in sizes]
    # Ratios within a round: its sizes were loaded one after another.
    ratios = [
        statistics.median(
            load.cpu_us_per_event / first.cpu_us_per_event for load, first in zip(size.loads, sizes[0].loads, strict=True)
        )
        for size in sizes
    ]
    table = Table("", *(f"{size.num_users:,}" for size in sizes), title="a worker comes back, by number of users with state")
    rows: list[tuple[str, list[float], str]] = [
        ("changelog records to read", [size.recovery.num_records for size in sizes], "{:,.0f}"),
        ("recovered from nothing, seconds", [size.recovery.recovery_seconds for size in sizes], "{:.1f}"),
        ("  records/s", [size.recovery.num_records / size.recovery.recovery_seconds for size in sizes], "{:,.0f}"),
        ("  CPU µs/record", [size.recovery.cpu_us_per_record for size in sizes], "{:.0f}"),
        ("  start to ready, seconds", [size.recovery.ready_seconds for size in sizes], "{:.1f}"),
        ("  memory at most, MiB", [size.recovery.peak_mib for size in sizes], "{:,.0f}"),
        (
            "restart with local state, seconds",
            [statistics.median(s.ready_seconds for s in size.restarts) for size in sizes],
            "{:.1f}",
        ),
        ("  memory when ready, MiB", [statistics.median(s.rss_mib for s in size.restarts) for size in sizes], "{:,.0f}"),
        ("  memory after a load, MiB", [max(load.rss_mib for load in size.loads) for size in sizes], "{:,.0f}"),
        ("intake + collect, CPU µs/event", cpu, "{:.0f}"),
        (f"  ratio to {sizes[0].num_users:,} users", ratios, "{:.2f}"),
    ]
    for name, values, form in rows:
        table.add_row(name, *(form.format(value) for value in values))
    console.print(table)
    users = " ".join(map(str, arguments.users))
    command = f"python -m benchmarks.recovery --users {users} --events {arguments.events} --rounds {arguments.rounds}"
    console.print(f"summaries of {sizes[0].summary_bytes:,} bytes, {NUM_PARTITIONS} partitions; {command}")
    return {
        "command": command,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "num_partitions": NUM_PARTITIONS,
        "sizes": sizes,
        "cpu_ratios": ratios,
    }


def main() -> int:
    """Run the benchmark and write its results."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recovery",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--users", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="(default: 10000 100000 1000000)"
    )
    parser.add_argument("--events", type=int, default=20_000, help="events of one load (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="loads of each size, in turn (default: %(default)s)")
    arguments = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    core = cores[-1] if len(cores) > 1 else None
    with tempfile.TemporaryDirectory() as name, Progress(console=console, transient=True) as progress:
        directory = Path(name)
        with Broker.start(directory / "kafka") as broker:
            if core is not None:
                os.sched_setaffinity(broker.pid, {cores[0]})
            sizes = measure(broker.bootstrap_servers, arguments.users, arguments, directory, core, progress)
    save("recovery", report(sizes, arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
