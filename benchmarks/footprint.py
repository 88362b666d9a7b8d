"""What an event, a call, a version, a user and a partition cost a worker, and Kafka: CPU, memory, bytes.

Place: outside the flow; `prefstream capacity` reckons with it. One real broker and the counting engine on one core, one worker
at a time on the other. Real people's ratings, each event with an id of 36 characters, by settings that make a call of every 20,
5 or 2 events: what an event and a call cost is fitted to the first and the last, the middle one is what they foretell. Bytes
are those of the topics' log files and of RocksDB's, of people with a history.

    python -m benchmarks.footprint [--people 30] [--look]
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import statistics
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import msgspec
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from msgspec import Struct
from msgspec.structs import replace
from rich.progress import Progress
from rich.table import Table

from agents.stamps import Changelog
from agents.store import Shard
from benchmarks.backpressure import engine
from benchmarks.engines import keep_results
from benchmarks.people import load_histories
from benchmarks.recovery import Worker, stopping
from benchmarks.stream import console, cpu_seconds, process
from deploy.kafka.broker import Broker
from deploy.kafka.node import free_port
from prefstream.admin import create_topics
from prefstream.events import Rating
from prefstream.topics import DAY_MS, OWNER_KEY, TopicNames, topic_specs
from streams.tokens import estimate_event_tokens

DESCRIPTION = """\
What an event, a call, a version, a user and a partition cost a worker, and Kafka: CPU, memory, bytes.

It starts a broker of its own, takes about three minutes, and replaces footprint.json and footprint.txt in
benchmarks/results, unless --look.
"""
EXAMPLES = """\
examples:
  python -m benchmarks.footprint                      as the results that are kept
  python -m benchmarks.footprint --people 10 --look   a first look, nothing written
"""
NUM_PARTITIONS = 8
FEW_PARTITIONS, MANY_PARTITIONS = 8, 64
EVENTS_EACH = 300
FLUSHES = (20, 5, 2)
IDLE_SECONDS = 8.0
NEVER_OF_AGE = "1e9"
TABLES = ("pending", "history", "summaries")


class Work(Struct, frozen=True):
    """One load with a call of every ``flush_events`` events: what it took of the worker's CPU beyond idling (seconds)."""

    flush_events: int
    num_events: int
    num_calls: int
    cpu_seconds: float
    rss_mib: float


class Idle(Struct, frozen=True):
    """A worker with nothing to do and so many partitions: memory when ready, start to ready, share of a core."""

    num_partitions: int
    rss_mib: float
    ready_seconds: float
    cpu_share: float


class Bytes(Struct, frozen=True, kw_only=True):
    """What one load left. A row's bytes are those of key and value.

    ``log`` is of all log files by topic; of pending's ``sent_ids`` are rows of ids. ``summary``, ``version`` and ``recent_ids``
    are the mean row of those that stay. ``files`` is, by table, RocksDB's files ÷ the rows in them.
    """

    num_events: int
    num_versions: int
    published: int
    event_tokens: float
    log: dict[str, int]
    sent_ids: int
    summary: float
    version: float
    recent_ids: float
    files: dict[str, float]


def events_of(num_people: int) -> list[Rating]:
    """The most diligent people's first ratings, each with an id, in turn: everybody's first, then everybody's second."""
    histories = sorted(load_histories().values(), key=lambda ratings: (-len(ratings), ratings[0].user))[:num_people]
    in_turn = chain.from_iterable(zip_longest(*(ratings[:EVENTS_EACH] for ratings in histories)))
    chance = random.Random(7)
    return [replace(one, id=str(uuid.UUID(int=chance.getrandbits(128)))) for one in in_turn if one is not None]


class Installation:
    """Topics of their own, a counting engine and a worker on them."""

    def __init__(self, broker: Broker, directory: Path, core: int | None, num_partitions: int = NUM_PARTITIONS) -> None:
        self.names = TopicNames(f"bench-{uuid.uuid4().hex[:8]}")
        self.servers = broker.bootstrap_servers
        self.num_partitions = num_partitions
        self.directory = directory
        self._core = core
        create_topics(self.servers, topic_specs(self.names.namespace, num_partitions, 1))

    @property
    def state(self) -> Path:
        """Where the worker keeps its tables."""
        return self.directory / self.names.namespace

    @contextmanager
    def worker(self, settings: Mapping[str, str] | None = None, delay_seconds: float = 0.0) -> Iterator[Worker]:
        """The engine and the worker, ready; stopped in order at the end."""
        port, model_port = free_port(), free_port()
        environment = dict(settings or {}) | {
            "PREFSTREAM_BOOTSTRAP_SERVERS": self.servers,
            "PREFSTREAM_NAMESPACE": self.names.namespace,
            "PREFSTREAM_DATA_DIRECTORY": str(self.state),
            "PREFSTREAM_HTTP_PORT": str(port),
            "PREFSTREAM_MODEL_URL": f"http://127.0.0.1:{model_port}",
            "PREFSTREAM_LOG_LEVEL": "WARNING",
        }
        log = self.directory / f"{self.names.namespace}.log"
        with engine(model_port, delay_seconds), process("agents", environment, log, self._core) as started:
            yield Worker(started, port, log)
            stopping(started, log)


def idle(broker: Broker, directory: Path, core: int | None, num_partitions: int) -> Idle:
    """A worker that has nothing to do."""
    with Installation(broker, directory, core, num_partitions).worker() as running:
        start = running.await_ready()
        running.wait_a_little(2)
        began, cpu = time.monotonic(), cpu_seconds(running.pid)
        running.wait_a_little(IDLE_SECONDS)
        share = (cpu_seconds(running.pid) - cpu) / (time.monotonic() - began)
        return Idle(num_partitions, running.memory_mib("VmRSS"), start.ready_seconds, share)


def publish(installation: Installation, events: Sequence[Rating]) -> None:
    """Publish all of them, as fast as the broker takes them."""
    producer = KafkaProducer(bootstrap_servers=installation.servers, linger_ms=20)
    for event in events:
        producer.send(installation.names.inbox, key=event.user.encode(), value=msgspec.json.encode(event))
    producer.close()


def work(installation: Installation, events: Sequence[Rating], flush_events: int, idle_share: float) -> Work:
    """Everything that fills a call, through intake, collect, dispatch and write back."""
    each = defaultdict[str, int](int)
    for event in events:
        each[event.user] += 1
    num_applied = sum(number // flush_events * flush_events for number in each.values())
    settings = {
        "PREFSTREAM_FLUSH_EVENTS": str(flush_events),
        "PREFSTREAM_FLUSH_TOKENS": "1000000",
        "PREFSTREAM_FLUSH_AGE_SECONDS": NEVER_OF_AGE,
    }
    with installation.worker(settings) as running:
        running.await_ready()
        began, cpu = time.monotonic(), cpu_seconds(running.pid)
        publish(installation, events)
        while running.metric("prefstream_applied_events_total") < num_applied:
            running.wait_a_little(0.25)
        took = cpu_seconds(running.pid) - cpu - idle_share * (time.monotonic() - began)
        num_calls = int(running.metric("prefstream_flushes_total"))
        return Work(flush_events, len(events), num_calls, took, running.memory_mib("VmRSS"))


def records_of(installation: Installation, topic: str) -> list[tuple[bytes, bytes | None]]:
    """All that was written to a topic of tables."""
    consumer = KafkaConsumer(bootstrap_servers=installation.servers, auto_offset_reset="earliest", group_id=None)
    partitions = [TopicPartition(topic, number) for number in range(installation.num_partitions)]
    consumer.assign(partitions)
    ends = consumer.end_offsets(partitions)
    records: list[tuple[bytes, bytes | None]] = []
    while any(consumer.position(partition) < end for partition, end in ends.items()):
        for some in consumer.poll(timeout_ms=500).values():
            records += [(record.key, record.value) for record in some if record.key != OWNER_KEY]
    consumer.close()
    return records


def files_of(rows: Iterable[tuple[bytes, bytes]], directory: Path) -> int:
    """How many bytes of RocksDB's files hold these rows once they are compacted."""
    shard = Shard(directory, Changelog("topic-id", DAY_MS))
    shard.apply(sorted(rows), 0)
    shard.sweep([b""])
    num_bytes = shard.num_bytes
    shard.close()
    return num_bytes


def log_bytes(broker_files: Path, topic: str) -> int:
    """Of all log files of a topic."""
    return sum(path.stat().st_size for path in broker_files.rglob("*.log") if path.parent.name.rpartition("-")[0] == topic)


def bytes_of(installation: Installation, broker_files: Path, events: Sequence[Rating], done: Work) -> Bytes:
    """What one load left on the topics, and what RocksDB makes of the tables."""
    topics = {name: getattr(installation.names, name) for name in ("inbox", "events", *TABLES)}
    records = {name: records_of(installation, topics[name]) for name in TABLES}
    rows = {name: [(key, value) for key, value in dict(sent).items() if value is not None] for name, sent in records.items()}
    recent = [row for row in rows["pending"] if row[0].startswith(b"i")]
    return Bytes(
        num_events=len(events),
        num_versions=done.num_calls,
        published=sum(len(msgspec.json.encode(event)) for event in events),
        event_tokens=statistics.mean(map(estimate_event_tokens, events)),
        log={name: log_bytes(broker_files, topic) for name, topic in topics.items()},
        sent_ids=total((key, value) for key, value in records["pending"] if value and key.startswith(b"i")),
        summary=total(rows["summaries"]) / len(rows["summaries"]),
        version=total(rows["history"]) / len(rows["history"]),
        recent_ids=total(recent) / len(recent),
        files={name: files_of(some, installation.directory / f"rows-{name}") / total(some) for name, some in rows.items()},
    )


def total(rows: Iterable[tuple[bytes, bytes]]) -> int:
    """Bytes of keys and values."""
    return sum(len(key) + len(value) for key, value in rows)


class Fit(Struct, frozen=True):
    """CPU milliseconds of the worker for an event and for a call, and what they foretell of the load between, ÷ measured."""

    event_ms: float
    call_ms: float
    foretold_ratio: float


def fitted(loads: Sequence[Work]) -> Fit:
    """The two loads at the ends say what an event and a call cost; the one between is put to them."""
    first, between, last = loads
    call = (last.cpu_seconds - first.cpu_seconds) / (last.num_calls - first.num_calls)
    event = (first.cpu_seconds - call * first.num_calls) / first.num_events
    foretold = event * between.num_events + call * between.num_calls
    return Fit(event * 1e3, call * 1e3, foretold / between.cpu_seconds)


def measure(broker: Broker, files: Path, num_people: int, directory: Path, progress: Progress) -> Mapping[str, Any]:
    """All of it."""
    core = core_beside(broker)
    task = progress.add_task("idle", total=len(FLUSHES) + 1)
    idles = [idle(broker, directory, core, number) for number in (FEW_PARTITIONS, MANY_PARTITIONS)]
    events, loads, found = events_of(num_people), [], []
    for flush_events in FLUSHES:
        progress.update(task, advance=1, description=f"a call of every {flush_events} events")
        installation = Installation(broker, directory, core)
        loads.append(work(installation, events, flush_events, idles[0].cpu_share))
        found.append(bytes_of(installation, files, events, loads[-1]))
    fit = fitted(loads)
    console.print(table_of(idles, fit, found))
    return {
        "command": f"python -m benchmarks.footprint --people {num_people}",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "people": num_people,
        "idle": idles,
        "loads": loads,
        "fit": fit,
        "bytes": found,
    }


def core_beside(broker: Broker) -> int | None:
    """A core for the worker alone, where there are two: the broker gets the other."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) == 1:
        return None
    os.sched_setaffinity(broker.pid, {cores[0]})
    return cores[-1]


def table_of(idles: Sequence[Idle], fit: Fit, found: Sequence[Bytes]) -> Table:
    """What was found, as people read it."""
    few, many = idles
    table = Table("", "", title="what things cost")
    partition_mib = (many.rss_mib - few.rss_mib) / (many.num_partitions - few.num_partitions)
    first, *_, last = found
    rows = {
        "an event, CPU of the worker": f"{fit.event_ms:.3f} ms",
        "a call, CPU of the worker": f"{fit.call_ms:.2f} ms",
        f"a call of every {FLUSHES[1]} events: foretold ÷ measured": f"{fit.foretold_ratio:.2f}",
        **{f"idle, {one.num_partitions} partitions": _idle(one) for one in idles},
        "a partition, memory": f"{partition_mib:.2f} MiB",
        "an event as it is published": f"{first.published / first.num_events:.0f} bytes, {first.event_tokens:.0f} tokens",
        "  on the topic events": f"{first.log['events'] / first.num_events:.0f} bytes",
        "  on pending, without ids": f"{(first.log['pending'] - first.sent_ids) / first.num_events:.0f} bytes",
        "the newest ids of a user": f"{first.recent_ids:,.0f} bytes",
        "a summary": f"{first.summary:,.0f} bytes, on the topic {last.log['summaries'] / last.num_versions:,.0f}",
        "a kept version": f"{first.version:,.0f} bytes, on the topic {last.log['history'] / last.num_versions:,.0f}",
        **{f"RocksDB ÷ rows, {name}": f"{ratio:.2f}" for name, ratio in first.files.items()},
    }
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _idle(one: Idle) -> str:
    return f"{one.rss_mib:.0f} MiB, {one.cpu_share:.1%} of a core, ready in {one.ready_seconds:.1f} s"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.footprint",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--people", type=int, default=30, help="whose ratings are published (default: %(default)s)")
    parser.add_argument("--look", action="store_true", help="show, and keep nothing")
    options = parser.parse_args()

    def measured_in(folder: Path, progress: Progress) -> Mapping[str, Any]:
        with Broker.start(folder / "kafka") as broker:
            return measure(broker, folder / "kafka", options.people, folder, progress)

    return keep_results("footprint", options.look, measured_in)


if __name__ == "__main__":
    sys.exit(main())
