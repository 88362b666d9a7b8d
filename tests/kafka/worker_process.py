"""Workers, engines and topics of one test run: processes to start, stop and kill, and readers that use no code of ours.

Everything a test concludes, it concludes from what lies on the topics, read with kafka-python and ``json``, and from what a
worker serves over HTTP. A :class:`Flow` is one namespace with its sources; its :class:`Ledger` holds what was sent and what
has to become of it.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from deploy.kafka.node import free_port
from prefstream.admin import create_topics
from prefstream.tenants import shown, user_of
from prefstream.topics import TopicNames, topic_specs
from tests.chaos.removals.patches import VARIABLE

REPOSITORY = Path(__file__).parents[2]
# Through it a process dies with the test run, however that ends.
TIED = str(REPOSITORY / "deploy" / "kafka" / "tied.py")
NUM_PARTITIONS = 4
PATIENCE_SECONDS = 60.0  # a busy machine is no reason to fail

Place = tuple[str, int, int]  # topic, partition, offset


def until(
    what: str, holds: Callable[[], object], *, explain: Callable[[], object] = str, within_seconds: float = PATIENCE_SECONDS
) -> None:
    """Return as soon as ``holds`` does; fail after a minute, with ``what`` never came and what ``explain`` says then."""
    deadline = time.monotonic() + within_seconds
    while not holds():
        assert time.monotonic() < deadline, f"after {within_seconds:g} s: no {what} {explain()}"
        time.sleep(0.02)


def start_tied(
    module: str, *arguments: str, log: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """``python -m MODULE ARGUMENTS`` from the repository, all it prints appended to ``log``."""
    command = [sys.executable, "-I", "-S", TIED, str(os.getpid()), sys.executable, "-m", module, *arguments]
    with log.open("ab") as output:
        return subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=output, stderr=subprocess.STDOUT)


class Engine:
    """A counting engine as a process of its own, at ``url``."""

    def __init__(
        self, directory: Path, *, port: int | None = None, delay_seconds: float = 0.0, model: str = "counting"
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        options = ("--port", str(self.port), "--delay-seconds", str(delay_seconds), "--model", model)
        self.process = start_tied("model_server.counting", *options, log=directory / "engine.log")
        until("engine", lambda: status_of(self.port, "/health") == 200)

    def kill(self) -> None:
        """End it at once: whoever connects from now on is refused."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()


def get(port: int, path: str) -> tuple[int, str]:
    """The status and body of one GET on 127.0.0.1; 0 when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    except (OSError, http.client.HTTPException):  # the latter when it ends in the middle of what it says
        return 0, ""
    finally:
        connection.close()


def status_of(port: int, path: str) -> int:
    """The status of one GET on 127.0.0.1; 0 when nobody answers."""
    return get(port, path)[0]


class Worker:
    """One worker process, ``python -m COMMAND``; ``log`` holds what it printed."""

    def __init__(self, environment: Mapping[str, str], log: Path, command: Sequence[str] = ("agents",)) -> None:
        self.port = free_port()
        self.log = log
        # The cache has the tokenizer of a model that was prepared.
        kept = (name for name in os.environ if not name.startswith("PREFSTREAM_") or name == "PREFSTREAM_CACHE")
        clean = {name: os.environ[name] for name in kept}
        # A test run without one of the fixes has workers without it too.
        entry = ("tests.chaos.removals.worker", *command) if os.environ.get(VARIABLE) else command
        environment = {**clean, **environment, "PREFSTREAM_HTTP_PORT": str(self.port)}
        self.process = start_tied(*entry, log=log, environment=environment)

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return self.process.poll() is None

    def ready_status(self) -> int:
        """What ``/readyz`` answers now: 200, 503, or 0 while it does not serve."""
        self.assert_running()
        return status_of(self.port, "/readyz")

    def await_ready(self) -> list[int]:
        """Wait until it is ready. Returns the statuses of ``/readyz`` on the way, each once."""
        seen: dict[int, None] = {}

        def is_ready() -> bool:
            seen[self.ready_status()] = None
            return 200 in seen

        until("ready worker", is_ready)
        return list(seen)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that carry these labels."""
        self.assert_running()
        families = text_string_to_metric_families(get(self.port, "/metrics")[1])
        samples = (sample for family in families for sample in family.samples)
        return sum(sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items())

    def assert_running(self) -> None:
        """Fail with the end of its log when the process has ended."""
        assert self.is_running, f"the worker ended with {self.process.returncode}:\n{self.last_words()}"

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])

    def kill(self) -> None:
        """End it at once, as a crash would (SIGKILL)."""
        self.process.kill()
        self.process.wait()

    def stop(self, within_seconds: float = PATIENCE_SECONDS) -> int:
        """Ask it to stop (SIGTERM). Returns the exit status; fails when it does not stop in time."""
        self.process.terminate()
        return self.process.wait(within_seconds)


class Fate(NamedTuple):
    """What has to become of one record: an event of each of these users (none for a duplicate), or a dead letter."""

    users: tuple[str, ...]
    reason: str = ""


def applied(*users: str) -> Fate:
    """The fate of a record with an event of each of these users."""
    return Fate(users)


def refused(reason: str) -> Fate:
    """The fate of a record that becomes a dead letter."""
    return Fate((), reason)


class Ledger:
    """What was sent, by its place on a source topic."""

    def __init__(self) -> None:
        self.fates: dict[Place, Fate] = {}
        self._unsettled: list[tuple[Any, Fate]] = []

    def add(self, future: Any, fate: Fate) -> None:
        """Note a record on its way."""
        self._unsettled.append((future, fate))

    def settle(self) -> None:
        """Learn where the records landed."""
        unsettled, self._unsettled = self._unsettled, []
        for future, fate in unsettled:
            self.fates[place_of(future.get(timeout=PATIENCE_SECONDS))] = fate

    @property
    def events_by_user(self) -> Counter[str]:
        """How many events each user has to have in the end."""
        return Counter(user for fate in self.fates.values() for user in fate.users)

    @property
    def reasons(self) -> dict[Place, str]:
        """Where a dead letter has to come from, and why."""
        return {place: fate.reason for place, fate in self.fates.items() if fate.reason}


class Flow:
    """One namespace on a broker: its topics, what was sent to them, and the workers that run on it."""

    def __init__(self, bootstrap_servers: str, namespace: str, directory: Path, sources: Mapping[str, tuple[str, int]]) -> None:
        """``sources`` gives each source topic's last name, adapter and number of partitions."""
        self.bootstrap_servers = bootstrap_servers
        self.namespace = namespace
        self.names = TopicNames(namespace)
        self.directory = directory
        self.adapters = {f"{namespace}-{name}": adapter for name, (adapter, _) in sources.items()}
        self.ledger = Ledger()
        self.workers: list[Worker] = []
        create_topics(bootstrap_servers, topic_specs(namespace, NUM_PARTITIONS))
        create_sources(bootstrap_servers, {f"{namespace}-{name}": count for name, (_, count) in sources.items()})
        self.producer = KafkaProducer(
            bootstrap_servers=bootstrap_servers, acks="all", linger_ms=5, max_request_size=8 << 20, enable_idempotence=True
        )
        self.summaries = SummaryFold(bootstrap_servers, self.names.summaries)

    def start_worker(
        self, model_url: str, disk: str = "disk", command: Sequence[str] = ("agents",), **settings: object
    ) -> Worker:
        """Start a worker, ``python -m COMMAND``, that keeps its tables in ``disk``; ``settings`` as in agents/settings.py."""
        values = {
            "bootstrap_servers": self.bootstrap_servers,
            "namespace": self.namespace,
            "sources": ",".join(f"{topic}={adapter}" for topic, adapter in self.adapters.items()),
            "data_directory": self.directory / disk,
            "model_url": model_url,
            "flush_age_seconds": 0.5,
            "session_timeout_seconds": 6,
        } | settings
        environment = {f"PREFSTREAM_{name.upper()}": str(value) for name, value in values.items()}
        self.workers.append(Worker(environment, self.directory / f"worker-{len(self.workers)}.log", command))
        return self.workers[-1]

    def send(
        self,
        source: str,
        value: bytes | None,
        fate: Fate,
        *,
        key: bytes | None = None,
        headers: Iterable[tuple[str, bytes]] = (),
        partition: int | None = None,
    ) -> None:
        """Publish one record, in the ledger with its fate."""
        future = self.producer.send(
            f"{self.namespace}-{source}", value=value, key=key, headers=list(headers), partition=partition
        )
        self.ledger.add(future, fate)

    def await_applied(self) -> None:
        """Wait until the summaries count every event that was sent."""
        self.producer.flush()
        self.ledger.settle()
        until("summary of every event, but", self._nothing_is_missing, explain=self._missing)

    def _nothing_is_missing(self) -> bool:
        assert any(worker.is_running for worker in self.workers), self.workers[-1].last_words()
        self.summaries.poll()
        return not self._missing()

    def num_missing(self) -> int:
        """How many events the summaries, as far as they are read, do not count."""
        return self._missing().total()

    def _missing(self) -> Counter[str]:
        return self.ledger.events_by_user - Counter(self.summaries.events_by_user)

    def assert_accounted(self) -> None:
        """Every record of the sources is, exactly once, in its user's ``num_events`` or among the dead letters.

        To be asked when nothing is under way: everything is read to its end again, from the topics alone.
        """
        self.assert_applied()
        sources = {place_of(record) for topic in self.adapters for record in read_all(self.bootstrap_servers, topic)}
        assert sources == set(self.ledger.fates)

    def assert_applied(self) -> None:
        """Every record of the ledger is counted exactly once, as :meth:`assert_accounted` asks; the sources may hold less."""
        with SummaryFold(self.bootstrap_servers, self.names.summaries) as fold:
            fold.read_to_end()
            assert fold.faults == []
            assert fold.events_by_user == self.ledger.events_by_user
        reasons = {place: reason for place, reason in self.letter_reasons().items() if place[0] in self.adapters}
        assert reasons == self.ledger.reasons

    def letter_reasons(self) -> dict[Place, str]:
        """Where the dead letters so far come from, and why."""
        letters = [json.loads(record.value) for record in read_all(self.bootstrap_servers, self.names.dead_letters)]
        return {(letter["source"], *letter["origin"][1:3]): letter["reason"] for letter in letters}

    def pending_rows(self) -> list[tuple[str, int]]:
        """The user and offset of each row of the pending table that holds an event, from its changelog."""
        rows = {record.key: record.value for record in read_all(self.bootstrap_servers, self.names.pending)}
        events = [key for key, value in rows.items() if key[:1] == b"e" and value is not None]
        return [(shown(*user_of(key[3:-8])), int.from_bytes(key[-8:])) for key in events]

    def pending_by_user(self) -> Counter[str]:
        """How many events of each user wait: rows that the user's summary, as far as it is read, does not cover."""
        return Counter(user for user, offset in self.pending_rows() if offset > self.summaries.position(user))

    def close(self) -> None:
        """End every process that is still there, and disconnect."""
        for worker in self.workers:
            worker.kill()
        self.summaries.close()
        self.producer.close()


def create_sources(bootstrap_servers: str, num_partitions: Mapping[str, int]) -> None:
    """Create source topics that take records of several megabytes."""
    configs = {"max.message.bytes": str(8 << 20)}
    topics = {
        name: {"num_partitions": count, "replication_factor": 1, "configs": configs} for name, count in num_partitions.items()
    }
    if topics:
        with KafkaAdminClient(bootstrap_servers=bootstrap_servers) as admin:
            admin.create_topics(topics, wait_for_metadata=True)


class SummaryFold:
    """What an independent consumer makes of the summaries topic: the newest record of each key, and what is wrong with it."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self._consumer = consumer_at_beginning(bootstrap_servers, topic)
        self.current: dict[str, dict[str, Any]] = {}
        self._ended: dict[str, dict[str, Any]] = {}
        self.num_records = 0
        self.faults: list[str] = []

    @property
    def events_by_user(self) -> dict[str, int]:
        """Each user's ``num_events``."""
        return {user: summary["num_events"] for user, summary in self.current.items()}

    def position(self, user: str) -> int:
        """The offset of the events topic up to which the user's summary covers what came; -1 without a summary."""
        return int(self.current[user]["position"]) if user in self.current else -1

    def poll(self, timeout_seconds: float = 0.2) -> int:
        """Fold what has come. Returns how many records were folded so far."""
        for records in self._consumer.poll(timeout_ms=int(timeout_seconds * 1_000)).values():
            for record in records:
                self._fold(record)
        return self.num_records

    def read_to_end(self) -> None:
        """Fold everything up to what is the end now."""
        for record in read_to_end(self._consumer):
            self._fold(record)

    def _fold(self, record: Any) -> None:
        if is_barrier(record):
            return
        if record.value is None:  # forgotten: the versions go on from there, and the events are counted anew
            self._forget(record.key)
            return
        # A version that a command makes has no new events, the first one perhaps none at all.
        tenant, user_id = user_of(record.key)
        user, summary = shown(tenant, user_id), {"num_events": 0, "num_new_events": 0} | json.loads(record.value)
        before = self.current.get(user) or self._ended.get(user, {"version": 0, "num_events": 0})
        expected = {
            "user": user_id,
            "version": before["version"] + 1,
            "previous_version": before["version"],
            "num_events": before["num_events"] + summary["num_new_events"],
        }
        found = {name: summary.get(name, 0) for name in expected}
        if found != expected or summary.get("tenant", "") != tenant:
            self.faults.append(f"offset {record.offset} of partition {record.partition}: {found}, not {expected}")
        self.current[user] = summary
        self.num_records += 1

    def _forget(self, key: bytes) -> None:
        """A tombstone."""
        user = shown(*user_of(key))
        before = self.current.pop(user, None)
        if before is None:
            self.faults.append(f"a tombstone of {user!r}, who has no summary")
        else:
            self._ended[user] = {"version": before["version"], "num_events": 0}
        self.num_records += 1

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def is_barrier(record: Any) -> bool:
    """Whether this is what a new owner of a partition writes before it reads."""
    return bool(record.value == b"owner")


def consumer_at_beginning(bootstrap_servers: str, topic: str) -> KafkaConsumer:
    """A consumer of every partition of the topic, without a group."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=16 << 20,
    )
    consumer.assign([TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))])
    return consumer


def read_to_end(consumer: KafkaConsumer) -> list[Any]:
    """The records from where the consumer stands up to what is the end now."""
    found: list[Any] = []
    ends = consumer.end_offsets(consumer.assignment())
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(consumer.position(partition) < end for partition, end in ends.items()):
        assert time.monotonic() < deadline, f"the end {ends} was not reached"
        for batch in consumer.poll(timeout_ms=200).values():
            found += batch
    return found


def read_all(bootstrap_servers: str, topic: str) -> list[Any]:
    """Every record of the topic, up to what is its end now; by partition, in offset order."""
    consumer = consumer_at_beginning(bootstrap_servers, topic)
    found = read_to_end(consumer)
    consumer.close()
    return sorted(found, key=lambda record: (record.partition, record.offset))


def place_of(record: Any) -> Place:
    """Where a record lies."""
    return record.topic, record.partition, record.offset
