"""SummaryReader: how a recommender gets the summaries, the exit of the flow.

Reads all partitions of the public topic without a consumer group: either everything that happens (``follow``), or the
current summary of a user (``current``), from a view in memory that is first brought up to the end of the topic.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import chain
from types import TracebackType
from typing import Any, Literal, Self

from kafka import KafkaConsumer, TopicPartition
from msgspec import Struct

from prefstream.connection import CONNECT_TIMEOUT_SECONDS, connect, missing_topic, reaching
from prefstream.errors import BrokerUnreachable, InvalidRecord
from prefstream.security import Servers
from prefstream.summaries import Summary, decode_summary
from prefstream.tenants import key_of, user_of
from prefstream.topics import OWNER_KEY, TopicNames

Start = Literal["beginning", "now"]

# Kafka answers a fetch within half a second, also when there is nothing: silence of this length is an outage.
MAX_SILENCE_SECONDS = 15.0


class Erased(Struct, frozen=True):
    """The user's summary is gone for good (a tombstone): drop whatever was kept of it."""

    user: str
    tenant: str = ""


class SummaryReader:
    """Follows the summaries topic, and answers for one user; only one thread may use it.

    ``start`` is where ``follow`` begins: at the ``beginning`` (every current summary, then what comes), or ``now``, when the
    reader is made. ``client_settings`` are kafka-python's own, for security and the like.
    Raises BrokerUnreachable, and TopicMismatch if the topic does not exist.
    """

    def __init__(
        self,
        bootstrap_servers: Servers,
        topic: str = TopicNames().summaries,
        *,
        start: Start = "beginning",
        **client_settings: Any,
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topic = topic
        self._client_settings = client_settings
        self._follower = self._open(start)
        self._catcher: Any = None
        self._view: dict[bytes, bytes] = {}  # encoded: a million decoded summaries would take gigabytes

    def follow(self) -> Iterator[Summary | Erased]:
        """Every version as it comes, without end; waits through outages.

        Raises InvalidRecord for a record that is no summary; the next ``follow`` goes on behind it.
        """
        for record in self._follower:
            if not _is_barrier(record.key):
                yield _read(record)

    def current(self, user: str, tenant: str = "") -> Summary | None:
        """The user's summary, as of now; None if there is none.

        Raises InvalidRecord if the record is no summary, BrokerUnreachable.
        """
        self.catch_up()
        return self.known(user, tenant)

    def known(self, user: str, tenant: str = "") -> Summary | None:
        """The user's summary as of the last ``catch_up``, without asking the broker."""
        value = self._view.get(key_of(tenant, user))
        return None if value is None else decode_summary(value)

    def catch_up(self) -> None:
        """Reads the view up to what is the end of the topic now; does not move ``follow``.

        The first time reads the whole topic: about a kilobyte of memory for each user. Raises BrokerUnreachable.
        """
        if self._catcher is None:
            self._catcher = self._open("beginning")
        with reaching(self._bootstrap_servers):
            ends = self._catcher.end_offsets(self._catcher.assignment(), timeout_ms=int(CONNECT_TIMEOUT_SECONDS * 1000))
            self._read_to(ends)

    def close(self) -> None:
        """Disconnects; ``follow`` ends."""
        self._follower.close()
        if self._catcher is not None:
            self._catcher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _open(self, start: Start) -> Any:
        """A consumer of all partitions, standing at ``start``."""
        consumer = connect(
            KafkaConsumer,
            self._bootstrap_servers,
            group_id=None,
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            auto_offset_reset="earliest",
            **self._client_settings,
        )
        try:
            self._place(consumer, start)
        except BaseException:
            consumer.close()
            raise
        return consumer

    def _place(self, consumer: Any, start: Start) -> None:
        with reaching(self._bootstrap_servers):
            partitions = [TopicPartition(self._topic, partition) for partition in consumer.partitions_for_topic(self._topic)]
            if not partitions:
                raise missing_topic(self._topic)
            consumer.assign(partitions)
            # Looked up at once: kafka-python's own seek_to_end means the end at the first poll.
            look_up = consumer.end_offsets if start == "now" else consumer.beginning_offsets
            offsets = look_up(partitions, timeout_ms=int(CONNECT_TIMEOUT_SECONDS * 1000))
        for partition, offset in offsets.items():
            consumer.seek(partition, offset)

    def _read_to(self, ends: dict[Any, int]) -> None:
        deadline = time.monotonic() + MAX_SILENCE_SECONDS
        while any(self._catcher.position(partition) < end for partition, end in ends.items()):
            batches = self._catcher.poll(timeout_ms=500)
            for record in chain.from_iterable(batches.values()):
                self._keep(record)
            if batches:
                deadline = time.monotonic() + MAX_SILENCE_SECONDS
            elif time.monotonic() > deadline:
                raise BrokerUnreachable(self._bootstrap_servers)

    def _keep(self, record: Any) -> None:
        if record.key is None or _is_barrier(record.key):
            return
        if record.value is None:
            self._view.pop(record.key, None)
        else:
            self._view[record.key] = record.value


def _is_barrier(key: bytes | None) -> bool:
    """A worker that takes a partition over begins with a record of its own."""
    return key == OWNER_KEY


def _read(record: Any) -> Summary | Erased:
    try:
        if record.key is None:
            raise InvalidRecord("key: missing", "missing_user")
        return _erased(record.key) if record.value is None else decode_summary(record.value)
    except UnicodeDecodeError as error:
        raise _at(record, InvalidRecord(f"key: {error}", "undecodable")) from error
    except InvalidRecord as error:
        raise _at(record, error) from error


def _erased(key: bytes) -> Erased:
    tenant, user = user_of(key)
    return Erased(user, tenant)


def _at(record: Any, error: InvalidRecord) -> InvalidRecord:
    return InvalidRecord(f"{record.topic}, partition {record.partition}, offset {record.offset}: {error}", error.reason)
