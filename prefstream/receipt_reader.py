"""ReceiptReader: how whoever sends a command learns what became of it (collect → receipts → **reader**).

Opened before the command is published, it stands at the end of the receipts topic, and waits for the receipt with the command's
``id``. No consumer group, nothing committed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Set
from itertools import chain
from types import TracebackType
from typing import Any, Self

from kafka import KafkaConsumer, TopicPartition

from prefstream.connection import CONNECT_TIMEOUT_SECONDS, connect, missing_topic, reaching
from prefstream.receipts import Receipt, decode_receipt
from prefstream.security import Servers
from prefstream.tenants import key_of
from prefstream.topics import TopicNames


class ReceiptReader:
    """Waits for receipts that are published from now on; only one thread may use it.

    ``client_settings`` are kafka-python's own. Raises BrokerUnreachable, and TopicMismatch if the topic does not exist.
    """

    def __init__(self, bootstrap_servers: Servers, topic: str = TopicNames().receipts, **client_settings: Any) -> None:
        self._consumer: Any = connect(
            KafkaConsumer,
            bootstrap_servers,
            group_id=None,
            enable_auto_commit=False,
            allow_auto_create_topics=False,
            **client_settings,
        )
        try:
            with reaching(bootstrap_servers):
                self._stand_at_end(topic)
        except BaseException:
            self._consumer.close()
            raise

    def _stand_at_end(self, topic: str) -> None:
        partitions = [TopicPartition(topic, number) for number in self._consumer.partitions_for_topic(topic)]
        if not partitions:
            raise missing_topic(topic)
        self._consumer.assign(partitions)
        ends = self._consumer.end_offsets(partitions, timeout_ms=int(CONNECT_TIMEOUT_SECONDS * 1_000))
        for partition, offset in ends.items():
            self._consumer.seek(partition, offset)

    def receipt_of(self, user: str, command_id: str, timeout_seconds: float, tenant: str = "") -> Receipt | None:
        """The receipt of the user's command with this id, or ``None`` when there is none within the time.

        Raises InvalidRecord for a record of the user that is no receipt.
        """
        deadline, wanted = time.monotonic() + timeout_seconds, key_of(tenant, user)
        while (left := deadline - time.monotonic()) > 0:
            for record in chain.from_iterable(self._consumer.poll(timeout_ms=int(min(0.5, left) * 1_000)).values()):
                if record.key == wanted and (receipt := decode_receipt(record.value)).id == command_id:
                    return receipt
        return None

    def receipts_of(self, ids: Set[str], silence_seconds: float) -> Iterator[Receipt]:
        """The receipts of the commands with these ids, as they come; ends when there is one of each, or none for so long.

        Raises InvalidRecord for a record that is no receipt.
        """
        left, deadline = set(ids), time.monotonic() + silence_seconds
        while left and time.monotonic() < deadline:
            for record in chain.from_iterable(self._consumer.poll(timeout_ms=500).values()):
                receipt = decode_receipt(record.value)
                if receipt.id in left:
                    left.discard(receipt.id)
                    deadline = time.monotonic() + silence_seconds
                    yield receipt

    def close(self) -> None:
        """Disconnects."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
