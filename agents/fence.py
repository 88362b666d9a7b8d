"""The fence: how a partition's owner takes a newer epoch without ever taking one from its heir.

Place in the flow: below :class:`agents.writer.PartitionWriter`, every few hours. A broker forgets a producer that wrote nothing
for a day (``producer.id.expiration.ms``), and a transactional id that was not asked for in a week
(``transactional.id.expiration.ms``); what is forgotten fences nobody. Renewing keeps both alive.
"""

from __future__ import annotations

import aiokafka
from aiokafka.client import ConnectionGroup, CoordinationType
from aiokafka.errors import KafkaError, for_code
from aiokafka.producer.transaction_manager import PidAndEpoch
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import CompactString, Int16, Int32, Int64, Schema, TaggedFields

TRANSACTION_TIMEOUT_MS = 60_000
_FENCED = (47, 90)  # INVALID_PRODUCER_EPOCH, PRODUCER_FENCED


class Fenced(Exception):
    """Another owner has begun since this epoch was given out."""


class _InitProducerIdResponse(Response):
    API_KEY = 22
    API_VERSION = 4
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("tags", TaggedFields),
    )


class _InitProducerIdStruct(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 22
    API_VERSION = 4
    RESPONSE_TYPE = _InitProducerIdResponse
    SCHEMA = Schema(
        ("transactional_id", CompactString("utf-8")),
        ("transaction_timeout_ms", Int32),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("tags", TaggedFields),
    )


class _RenewEpoch(Request[_InitProducerIdStruct]):
    """``InitProducerId`` as of version 3: with the id and epoch the caller believes to have.

    The version that aiokafka knows has no such field: it gives a newer epoch to whoever asks, also to a sleeper that wakes up
    after somebody else took over, and would let it write over its heir.
    """

    API_KEY = 22

    def __init__(self, fence: str, producer_id: int, producer_epoch: int) -> None:
        self._fence = fence
        self._producer_id = producer_id
        self._producer_epoch = producer_epoch

    def build(self, request_struct_class: type[_InitProducerIdStruct]) -> _InitProducerIdStruct:
        return request_struct_class(self._fence, TRANSACTION_TIMEOUT_MS, self._producer_id, self._producer_epoch, {})


async def renew_epoch(producer: aiokafka.AIOKafkaProducer, fence: str) -> None:
    """Give the producer its next epoch. Nothing of it may be on its way.

    Raises :class:`Fenced` when somebody else has begun with this fence, and ``KafkaError`` when the broker cannot say; the old
    epoch is as good as before then.
    """
    state = producer._txn_manager
    node = await producer.client.coordinator_lookup(CoordinationType.TRANSACTION, fence)
    if not await producer.client.ready(node, group=ConnectionGroup.COORDINATION):
        raise KafkaError("the coordinator does not answer")
    request = _RenewEpoch(fence, state.producer_id, state.producer_epoch)
    response = await producer.client.send(node, request, group=ConnectionGroup.COORDINATION)
    if response.error_code in _FENCED:
        raise Fenced(f"another owner has begun with {fence}")
    if response.error_code:
        raise for_code(response.error_code)(f"no newer epoch for {fence}")
    state._pid_and_epoch = PidAndEpoch(response.producer_id, response.producer_epoch)
    state._sequence_numbers.clear()  # a new epoch counts from zero
