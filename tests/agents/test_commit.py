"""A commit follows what is durable and nothing else, whoever asks for it and whatever closes meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.structs import OffsetAndMetadata

from agents.faust_fixes import WatermarkConsumer
from agents.progress import CommitOutcome, Progress
from agents.writer import Lane
from tests.agents.scripted import ScriptedProducer, others_run

SOURCE, LOST = ("t.events", 0), ("t.events", 1)


class Consumer(WatermarkConsumer):
    """Commits to a list, and owns ``SOURCE`` alone."""

    def __init__(self, flush: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.outcomes: list[CommitOutcome] = []
        self.app = SimpleNamespace(progress=Progress(), flush=flush, note_commit=self.outcomes.append)
        self.commits: list[dict[tuple[str, int], int]] = []
        self._one_commit = asyncio.Lock()
        for source in (SOURCE, LOST):
            self.app.progress.start(source, 0)
            self.app.progress.hand_over(source, range(10))

    def assignment(self) -> set[tuple[str, int]]:
        return {SOURCE}

    async def _commit(self, offsets: dict[tuple[str, int], OffsetAndMetadata]) -> bool:
        self.commits.append({source: position.offset for source, position in offsets.items()})
        return True

    def does(self, offset: int, source: tuple[str, int] = SOURCE) -> None:
        assert self.app.progress.accept(source, offset)
        self.app.progress.done(source, offset)


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> ScriptedProducer:
    monkeypatch.setattr("agents.writer._LINGER_SECONDS", 0)
    return ScriptedProducer(is_held=True)


async def test_a_commit_waits_until_what_it_covers_is_durable(producer: ScriptedProducer) -> None:
    lane = Lane(producer, "t.pending", 0)
    consumer = Consumer(lane.flushed)
    lane.put((b"a", b"v"))
    consumer.does(0)
    committing = asyncio.create_task(consumer.commit())
    batch = await producer.sent.get()
    # What is done from now on is not waited for, and so not committed.
    consumer.does(1)
    await others_run()
    assert consumer.commits == []
    batch.acknowledge(0)
    assert await asyncio.wait_for(committing, 5)
    assert consumer.commits == [{SOURCE: 1}]
    await lane.close()


async def test_what_a_closed_lane_carried_is_not_committed(producer: ScriptedProducer) -> None:
    lane = Lane(producer, "t.pending", 0)
    consumer = Consumer(lane.flushed)
    lane.put((b"a", b"v"))
    consumer.does(0)
    committing = asyncio.create_task(consumer.commit())
    await producer.sent.get()
    await lane.close()
    assert not await asyncio.wait_for(committing, 5)
    assert not await asyncio.wait_for(consumer.commit(), 5)
    assert consumer.commits == []
    assert consumer.outcomes == ["cut_short", "cut_short"]


async def everything_is_durable() -> None:
    """What an empty outbox says."""


async def test_a_partition_of_somebody_else_is_not_committed() -> None:
    consumer = Consumer(everything_is_durable)
    consumer.does(0, LOST)
    assert not await consumer.commit()
    consumer.does(0)
    assert await consumer.commit()
    assert consumer.commits == [{SOURCE: 1}]
    assert consumer.outcomes == ["cut_short", "done"]
