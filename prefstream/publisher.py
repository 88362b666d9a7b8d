"""Publisher: how a platform puts events and commands into the inbox, one entrance of the flow.

Keyed by user with the partitioner every Kafka client shares (murmur2), idempotent, acknowledged by all replicas in sync.
An unacknowledged record is never silent: it is raised from the next ``publish``, from ``flush`` or from ``close``.
"""

from __future__ import annotations

from functools import partial
from threading import Condition
from types import TracebackType
from typing import Any, Self

from kafka import KafkaProducer
from kafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError, RetriableError

from prefstream.commands import Command, decode_record, encode_record
from prefstream.connection import CONNECT_TIMEOUT_SECONDS, connect, missing_topic, reaching
from prefstream.errors import InvalidRecord, PublishFailed
from prefstream.events import Event
from prefstream.security import Servers
from prefstream.tenants import key_of
from prefstream.topics import TopicNames

# kafka-python's own buffer has no bound: a publisher faster than its broker would fill the memory.
MAX_UNACKNOWLEDGED = 10_000


class Publisher:
    """Publishes events and commands; one per process is enough, and only one thread may use it.

    ``linger_seconds`` is how long a record may wait for company in its batch, ``delivery_timeout_seconds`` how long a
    record is retried before it is given up. ``client_settings`` are kafka-python's own, for security and the like.
    Raises BrokerUnreachable, and TopicMismatch if the topic does not exist.
    """

    def __init__(
        self,
        bootstrap_servers: Servers,
        topic: str = TopicNames().inbox,
        *,
        linger_seconds: float = 0.01,
        delivery_timeout_seconds: float = 60.0,
        **client_settings: Any,
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topic = topic
        # Every record is acknowledged or given up by then; longer means that the client itself is stuck.
        self._patience_seconds = linger_seconds + delivery_timeout_seconds + CONNECT_TIMEOUT_SECONDS
        self._changed = Condition()
        self._num_unacknowledged = 0
        self._num_failed = 0
        self._first_cause: BaseException | None = None
        self.num_acknowledged = 0
        self._connect = partial(
            connect,
            KafkaProducer,
            bootstrap_servers,
            acks="all",
            enable_idempotence=True,
            linger_ms=int(linger_seconds * 1000),
            delivery_timeout_ms=int(delivery_timeout_seconds * 1000),
            request_timeout_ms=int(min(30.0, delivery_timeout_seconds - linger_seconds) * 1000),
            max_block_ms=int(CONNECT_TIMEOUT_SECONDS * 1000),
            allow_auto_create_topics=False,
            **client_settings,
        )
        self._producer = self._connect()
        self._must_renew = False
        self._check_topic()

    def publish(self, record: Event | Command) -> None:
        """Hands ``record`` over for sending; it is safe once a later ``flush`` returned.

        Raises, and does not send ``record``: InvalidRecord, if a reader would refuse it; PublishFailed, if earlier records
        could not be delivered; BrokerUnreachable, if nobody answers after that.
        """
        data = encode_record(record)
        decode_record(data)  # a Struct does not check its own fields
        self._await_at_most(MAX_UNACKNOWLEDGED - 1)
        if self._must_renew:
            self._renew()
        try:
            with reaching(self._bootstrap_servers):
                future = self._producer.send(self._topic, key=key_of(record.tenant, record.user), value=data)
        except MessageSizeTooLargeError as error:
            raise InvalidRecord(f"{len(data):,} bytes are more than an event may have", "too_large") from error
        with self._changed:
            self._num_unacknowledged += 1
        future.add_callback(self._acknowledged).add_errback(self._failed)

    def flush(self, timeout_seconds: float | None = None) -> None:
        """Returns when every record is acknowledged.

        Raises PublishFailed if one is not: given up, or still under way after ``timeout_seconds`` (None: as long as a record
        may be retried).
        """
        self._await_at_most(0, timeout_seconds)

    def close(self, timeout_seconds: float | None = None) -> None:
        """Flushes and disconnects; raises like ``flush``, but is closed in any case."""
        try:
            self.flush(timeout_seconds)
        finally:
            self._disconnect()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self.close()
            return
        try:
            self.close(CONNECT_TIMEOUT_SECONDS)
        except PublishFailed as failure:
            error.add_note(str(failure))  # what went wrong first stays the error that is seen

    def _check_topic(self) -> None:
        try:
            self._producer.partitions_for(self._topic)
        except KafkaTimeoutError as error:
            self._disconnect()
            raise missing_topic(self._topic) from error

    def _renew(self) -> None:
        """A new producer: kafka-python's is dead after a refused batch, and has a hole in its sequence after a late one."""
        self._await_at_most(0)
        self._disconnect()
        self._producer = self._connect()
        self._must_renew = False

    def _disconnect(self) -> None:
        # kafka-python's close waits for, or stumbles over, what is under way; whoever wants to wait has flushed.
        self._producer._sender.force_close()
        self._producer._sender.join(CONNECT_TIMEOUT_SECONDS)
        self._producer.close(timeout=CONNECT_TIMEOUT_SECONDS)

    def _await_at_most(self, num_unacknowledged: int, timeout_seconds: float | None = None) -> None:
        """Waits until no more than this many records are under way; raises what failed meanwhile."""
        timeout = self._patience_seconds if timeout_seconds is None else timeout_seconds
        with self._changed:
            if not self._changed.wait_for(lambda: self._num_unacknowledged <= num_unacknowledged, timeout):
                cause = TimeoutError(f"no acknowledgement within {timeout:g} s")
                raise PublishFailed(self._topic, self._num_unacknowledged, cause, retriable=True)
        self._raise_failures()

    def _acknowledged(self, _: object) -> None:
        with self._changed:
            self._num_unacknowledged -= 1
            self.num_acknowledged += 1
            self._changed.notify()

    def _failed(self, cause: KafkaError) -> None:
        with self._changed:
            self._num_unacknowledged -= 1
            self._num_failed += 1
            self._first_cause = self._first_cause or cause
            self._changed.notify()

    def _raise_failures(self) -> None:
        with self._changed:
            num_failed, cause = self._num_failed, self._first_cause
            self._num_failed, self._first_cause = 0, None
        if cause is not None:
            self._must_renew = True
            raise PublishFailed(self._topic, num_failed, cause, retriable=isinstance(cause, RetriableError)) from cause
