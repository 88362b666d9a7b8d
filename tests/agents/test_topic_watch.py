"""The watch over the topics' ids ends with the worker, whoever still wants to look."""

from __future__ import annotations

import asyncio

import pytest

from agents.sources import TopicWatch


async def test_a_look_after_the_end_is_cancelled_and_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.sources._LOOK_EVERY_SECONDS", 0.01)
    watch = TopicWatch("127.0.0.1:none", "prefstream", {"clicks": "CLICKS"}, {})
    looking = asyncio.create_task(watch.run())
    await watch.close()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(looking, 5)
