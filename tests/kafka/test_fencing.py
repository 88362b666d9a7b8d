"""What fenced ownership leans on, asked of the broker itself: an old owner's writes are refused once a new one has begun."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import aiokafka
import pytest
from aiokafka.errors import ProducerFenced
from kafka import KafkaAdminClient

from agents.fence import Fenced, renew_epoch
from agents.writer import start_producer

Start = Callable[[str], Awaitable[aiokafka.AIOKafkaProducer]]


@pytest.fixture
def topic(bootstrap_servers: str, namespace: str) -> str:
    with KafkaAdminClient(bootstrap_servers=bootstrap_servers) as admin:
        admin.create_topics(
            {namespace: {"num_partitions": 1, "replication_factor": 1, "configs": {"cleanup.policy": "compact"}}}
        )
    return namespace


@pytest.fixture
async def start(bootstrap_servers: str) -> AsyncIterator[Start]:
    started = []

    async def start(fence: str) -> aiokafka.AIOKafkaProducer:
        started.append(await start_producer(bootstrap_servers, fence))
        return started[-1]

    yield start
    for producer in started:
        await producer.stop()


async def send(producer: aiokafka.AIOKafkaProducer, topic: str, value: bytes) -> int:
    delivered = await producer.send_and_wait(topic, value, key=b"user", partition=0)
    offset: int = delivered.offset
    return offset


async def test_the_barrier_of_a_new_owner_shuts_out_the_old_one(start: Start, topic: str) -> None:
    old = await start(topic)
    assert await send(old, topic, b"1") == 0
    new = await start(topic)
    assert await send(old, topic, b"2") == 1  # nothing was written under the new epoch yet
    assert await send(new, topic, b"barrier") == 2
    with pytest.raises(ProducerFenced):
        await send(old, topic, b"3")
    assert await send(new, topic, b"4") == 3


async def test_the_log_has_no_markers(start: Start, topic: str) -> None:
    """Recovery reads up to the end offset and must find a record there; subscribers need no isolation level."""
    owner = await start(topic)
    assert [await send(owner, topic, b"%d" % number) for number in range(3)] == [0, 1, 2]


async def test_another_fence_is_another_owner(start: Start, topic: str) -> None:
    one, other = await start(f"{topic}-a"), await start(f"{topic}-b")
    await send(one, topic, b"1")
    await send(other, topic, b"2")
    assert await send(one, topic, b"3") == 2


async def test_an_owner_goes_on_under_a_newer_epoch(start: Start, topic: str) -> None:
    owner = await start(topic)
    for number in range(3):
        assert await send(owner, topic, b"%d" % number) == number
        await renew_epoch(owner, topic)
    assert await send(owner, topic, b"3") == 3


async def test_a_renewal_shuts_out_who_had_the_older_epoch(start: Start, topic: str) -> None:
    """Two producers with one id: the copy of a machine that was snapshot and came back."""
    owner, copy = await start(topic), await start(f"{topic}-other")
    copy._txn_manager._pid_and_epoch = owner._txn_manager._pid_and_epoch
    await send(owner, topic, b"1")
    await renew_epoch(owner, topic)
    await send(owner, topic, b"barrier")
    with pytest.raises(ProducerFenced):
        await send(copy, topic, b"2")


async def test_a_sleeper_does_not_get_an_epoch_back_from_its_heir(start: Start, topic: str) -> None:
    """The one version of the request that aiokafka has would give it one, and let it write over its heir."""
    sleeper = await start(topic)
    heir = await start(topic)
    with pytest.raises(Fenced):
        await renew_epoch(sleeper, topic)
    await send(heir, topic, b"1")
    await renew_epoch(heir, topic)
    with pytest.raises(Fenced):
        await renew_epoch(sleeper, topic)
    assert await send(heir, topic, b"2") == 1


async def test_a_renewal_whose_answer_was_lost_can_be_repeated(start: Start, topic: str) -> None:
    owner = await start(topic)
    await send(owner, topic, b"1")
    before = owner._txn_manager._pid_and_epoch
    await renew_epoch(owner, topic)
    given = owner._txn_manager._pid_and_epoch
    owner._txn_manager._pid_and_epoch = before
    await renew_epoch(owner, topic)
    assert owner._txn_manager._pid_and_epoch == given
    assert await send(owner, topic, b"2") == 1
