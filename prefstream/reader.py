"""SummaryReader: how a recommender gets the summaries, the exit of the flow.

Reads all partitions of the public topic without a consumer group: either everything that happens (``follow``), or the
current summary of a user (``current``), from a view in memory that is first brought up to the end of the topic.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from msgspec import Struct

from prefstream.connection import reaching
from prefstream.errors import BrokerUnreachable, InvalidRecord
from prefstream.security import Servers
from prefstream.summaries import Summary, decode_summary, is_moved
from prefstream.tenants import key_of, user_of
from prefstream.topics import OWNER_KEY, TopicNames
from prefstream.whole_topic import Start, WholeTopic

# Kafka answers a fetch within half a second, also when there is nothing: silence of this length is an outage.
MAX_SILENCE_SECONDS = 15.0
_FETCH_MS = 500


class Erased(Struct, frozen=True):
    """The user's summary is gone for good (a tombstone): drop whatever was kept of it."""

    user: str
    tenant: str = ""


class SummaryReader:
    """Follows the summaries topic, and answers for one user; only one thread may use it.

    ``start`` is where ``follow`` begins: at the ``beginning`` (every current summary, then what comes), or ``now``, when the
    reader is made. ``silence_seconds`` is after how long without a record a ``follow`` ends; never, by default.
    ``client_settings`` are kafka-python's own, for security and the like.
    Raises BrokerUnreachable, and TopicMismatch if the topic does not exist.
    """

    def __init__(
        self,
        bootstrap_servers: Servers,
        topic: str = TopicNames().summaries,
        *,
        start: Start = "beginning",
        silence_seconds: float = math.inf,
        **client_settings: Any,
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topic = topic
        self._client_settings = client_settings
        self._silence_seconds = silence_seconds
        self._follower = self._open(start)
        self._followed: deque[Any] = deque()
        self._is_closed = False
        self._catcher: WholeTopic | None = None
        self._view: dict[bytes, bytes] = {}  # encoded: a million decoded summaries would take gigabytes

    def follow(self) -> Iterator[Summary | Erased]:
        """Every version as it comes, without end unless there is a ``silence_seconds``; waits through outages.

        A user who moves to another partition (docs/partitions.md) comes again with the same version, and is not erased
        meanwhile. Raises InvalidRecord for a record that is no summary; the next ``follow`` goes on behind it.
        """
        came_at = time.monotonic()
        while not self._is_closed:
            if not self._followed:
                if time.monotonic() - came_at >= self._silence_seconds:
                    return
                self._fetch()
                continue
            if _says_something(record := self._followed.popleft()):
                yield _read(record)
            came_at = time.monotonic()

    def _fetch(self) -> None:
        try:
            self._follower.look()
        except BrokerUnreachable:  # the next look is soon
            return
        self._followed.extend(self._follower.poll(int(min(_FETCH_MS, self._silence_seconds * 1_000))))

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
        self._catcher.look()
        with reaching(self._bootstrap_servers):
            self._read_to(self._catcher)

    def close(self) -> None:
        """Disconnects; ``follow`` ends."""
        self._is_closed = True
        self._follower.close()
        if self._catcher is not None:
            self._catcher.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _open(self, start: Start) -> WholeTopic:
        return WholeTopic(self._bootstrap_servers, self._topic, start, **self._client_settings)

    def _read_to(self, catcher: WholeTopic) -> None:
        ends = catcher.ends()
        deadline = time.monotonic() + MAX_SILENCE_SECONDS
        while not catcher.has_reached(ends):
            records = catcher.poll(_FETCH_MS)
            for record in records:
                self._keep(record)
            if records:
                deadline = time.monotonic() + MAX_SILENCE_SECONDS
            elif time.monotonic() > deadline:
                raise BrokerUnreachable(self._bootstrap_servers)

    def _keep(self, record: Any) -> None:
        if record.key is None or not _says_something(record):
            return
        if record.value is None:
            self._view.pop(record.key, None)
        else:
            self._view[record.key] = record.value


def _says_something(record: Any) -> bool:
    """Not the record with which a worker takes a partition over, and not that of a user who moved to another one."""
    return record.key != OWNER_KEY and not is_moved(record.value, record.headers)


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
