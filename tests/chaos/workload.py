"""The workload: publishes to a namespace's sources from a thread of its own, and knows of every record where it landed.

Its producer is idempotent and patient, so a broker may be restarted under it. What it sends is decided by a seed
(``tests/chaos/publications.py``); what it sent is a :class:`Journal`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import Any, Self

from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError
from msgspec.structs import replace

from prefstream.admin import create_topics
from prefstream.topics import TopicNames, topic_specs
from tests.chaos.journal import Former, Journal, Place, Sent
from tests.chaos.publications import Publication, Publications, Source
from tests.kafka.worker_process import create_sources

PATIENCE_MS = 600_000
_ABORT_WITHIN_MS = 10_000  # a transaction that its producer forgets holds back everybody who reads committed records


class Workload:
    """Creates the topics of ``namespace``, and publishes to them between :meth:`start` and :meth:`stop`.

    ``adapters`` has the adapter of each source topic beside the inbox, as PREFSTREAM_SOURCES takes them.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        namespace: str,
        seed: int,
        *,
        events_per_second: float = 200.0,
        num_users: int = 300,
        num_partitions: int = 4,
    ) -> None:
        inbox = TopicNames(namespace).inbox
        self.namespace = namespace
        self.seed = seed
        self.adapters = {f"{namespace}-clicks": "native", f"{namespace}-app": "native", f"{namespace}-cloud": "cloudevents"}
        self._counts = counts = dict(zip(self.adapters, (3, 5, 2), strict=True))
        create_topics(bootstrap_servers, topic_specs(namespace, num_partitions))
        create_sources(bootstrap_servers, counts)
        sources = [Source(topic, self.adapters[topic], count) for topic, count in counts.items()]
        sources.append(Source(inbox, "native", num_partitions))
        self._publications = iter(Publications(sources, seed, num_users))
        self._bootstrap_servers = bootstrap_servers
        self._interval_seconds = 1.0 / events_per_second
        self._producer = _patient_producer(bootstrap_servers)
        self._aborting = _Aborting(bootstrap_servers, fence=f"{namespace}-aborting")
        self._sent: list[tuple[Any, Publication]] = []
        self._settled: list[Sent] = []
        self._former: list[Former] = []
        self._turn = threading.Lock()
        self._goes_on = threading.Event()
        self._stopped = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="workload", daemon=True)

    @property
    def sources(self) -> dict[str, str]:
        """The adapter of every source topic, the inbox among them."""
        return {TopicNames(self.namespace).inbox: "native"} | self.adapters

    @property
    def num_sent(self) -> int:
        """How many records were handed to the producer, those of aborted transactions not among them."""
        return len(self._sent)

    def start(self) -> None:
        """Begin to publish, or go on after :meth:`pause`."""
        self._goes_on.set()
        if not self._thread.is_alive():
            self._thread.start()

    def pause(self) -> None:
        """Publish nothing more until :meth:`start`."""
        self._goes_on.clear()

    @contextmanager
    def silence(self) -> Iterator[None]:
        """In here nothing is published, and what was published before is acknowledged; aborted transactions may still come."""
        self.pause()
        try:
            with self._turn:
                self._producer.flush(timeout=PATIENCE_MS / 1_000)
                yield
        finally:
            self.start()

    def delete(self, former: Former) -> None:
        """During a :meth:`silence`: ask the broker to delete a source topic, on which there is no more than this."""
        self.journal()
        self._former.append(former)
        self._settled = [
            replace(sent, place=sent.place._replace(topic=former.name)) if sent.place.topic == former.topic else sent
            for sent in self._settled
        ]
        with KafkaAdminClient(bootstrap_servers=self._bootstrap_servers) as admin:
            admin.delete_topics([former.topic])

    def create_again(self, topic: str) -> None:
        """When it is gone: the topic as it was, but empty. Then the silence may end."""
        create_sources(self._bootstrap_servers, {topic: self._counts[topic]})
        # The old one numbers its records for the former topic.
        self._producer.close()
        self._producer = _patient_producer(self._bootstrap_servers)

    def stop(self, within_seconds: float = 120.0) -> Journal:
        """Publish nothing more, and wait until the broker has acknowledged everything. Returns what was sent.

        Raises what ended the thread, or the KafkaError of a record that was refused.
        """
        self._stopped.set()
        self._goes_on.set()
        if self._thread.is_alive():
            self._thread.join(within_seconds)
        if self._failure is not None:
            raise self._failure
        self._aborting.close()
        self._producer.flush(timeout=within_seconds)
        return self.journal()

    def journal(self) -> Journal:
        """What was sent and acknowledged so far. Raises the KafkaError of a record that was refused."""
        while len(self._settled) < len(self._sent) and self._sent[len(self._settled)][0].is_done:
            future, publication = self._sent[len(self._settled)]
            landed = future.get(timeout=0)
            place = Place(landed.topic, landed.partition, landed.offset)
            self._settled.append(Sent(place, publication.events, publication.reason))
        num_unacknowledged = len(self._sent) - len(self._settled)
        return Journal(self.sources, tuple(self._settled), num_unacknowledged, self._aborting.num_aborted, tuple(self._former))

    def close(self) -> None:
        """End the thread and disconnect, whatever was acknowledged."""
        self._stopped.set()
        self._goes_on.set()
        if self._thread.is_alive():
            self._thread.join(10.0)
        self._aborting.close()
        self._producer.close(timeout=30.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _run(self) -> None:
        try:
            for publication in self._in_time():
                with self._turn:
                    self._publish(publication)
        except BaseException as failure:  # the thread has nobody to raise to: stop() does
            self._failure = failure

    def _in_time(self) -> Iterator[Publication]:
        """The publications, each when it is its turn; what a pause left out is not caught up on."""
        due = time.monotonic()
        while not self._stopped.is_set():
            if not self._goes_on.is_set():
                self._goes_on.wait()
                due = time.monotonic()
                continue
            yield next(self._publications)
            due += self._interval_seconds
            self._stopped.wait(max(0.0, due - time.monotonic()))

    def _publish(self, publication: Publication) -> None:
        if publication.is_aborted:
            self._aborting.put(publication)
        else:
            self._sent.append((_send(self._producer, publication), publication))


class _Aborting:
    """Sends records in transactions that are aborted, from a thread of its own: what a broker that is away may hold up."""

    def __init__(self, bootstrap_servers: str, fence: str) -> None:
        self.num_aborted = 0
        self._bootstrap_servers = bootstrap_servers
        self._fence = fence
        self._publications: SimpleQueue[Publication | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="aborting", daemon=True)
        self._thread.start()

    def put(self, publication: Publication) -> None:
        """Send a record, soon, that nobody may see."""
        self._publications.put(publication)

    def close(self) -> None:
        """Abort what is under way, and disconnect. To be called once or more."""
        self._publications.put(None)
        self._thread.join(4 * _ABORT_WITHIN_MS / 1_000)

    def _run(self) -> None:
        while (publication := self._publications.get()) is not None:
            producer = self._connect()
            # A broker that went away has aborted it, or will: then the next one begins with a new producer.
            with suppress(KafkaError):
                producer.init_transactions()
                while publication is not None:
                    self._abort(producer, publication)
                    publication = self._publications.get()
            with suppress(KafkaError):
                producer.close(timeout=2 * _ABORT_WITHIN_MS / 1_000)  # until what it carries has expired
            if publication is None:
                return

    def _abort(self, producer: KafkaProducer, publication: Publication) -> None:
        producer.begin_transaction()
        landing = _send(producer, publication)
        producer.flush()
        producer.abort_transaction()
        self.num_aborted += landing.succeeded()

    def _connect(self) -> KafkaProducer:
        return KafkaProducer(
            bootstrap_servers=self._bootstrap_servers,
            transactional_id=self._fence,
            transaction_timeout_ms=_ABORT_WITHIN_MS,
            max_block_ms=_ABORT_WITHIN_MS,
            request_timeout_ms=_ABORT_WITHIN_MS // 2,
            delivery_timeout_ms=_ABORT_WITHIN_MS,  # so that it can be closed
            reconnect_backoff_max_ms=500,
        )


def _patient_producer(bootstrap_servers: str) -> KafkaProducer:
    return KafkaProducer(
        bootstrap_servers=bootstrap_servers,
        acks="all",
        enable_idempotence=True,
        linger_ms=5,
        delivery_timeout_ms=PATIENCE_MS,
        max_block_ms=PATIENCE_MS,
        reconnect_backoff_max_ms=500,
    )


def _send(producer: KafkaProducer, publication: Publication) -> Any:
    return producer.send(
        publication.topic,
        value=publication.value,
        key=publication.key,
        headers=list(publication.headers),
        partition=publication.partition,
    )
