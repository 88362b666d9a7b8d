"""A worker whose messages are hindered: ``python -m tests.kafka.hindered_worker HOW``, a HOW of those below.

``hold TOPIC``: no message of it is ever handed on, as if an agent hung; ``lose TOPIC PARTITION OFFSET``, ``slow SECONDS``.
``lose``: that message is dropped between the consumer and the agent, as a defect of Faust's queues would. ``slow``: each
message takes so long, so that there is a middle of a load to be killed in. The rest is ``python -m agents``.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import patch

from agents.command import main
from agents.faust_fixes import WatermarkConsumer

HandOn = Callable[[WatermarkConsumer, Any], Awaitable[None]]


def losing(topic: str, partition: str, offset: str, hand_on: HandOn) -> HandOn:
    """Hand on everything but one message."""

    async def hand_on_but_one(consumer: WatermarkConsumer, message: Any) -> None:
        if (message.topic, message.partition, message.offset) != (topic, int(partition), int(offset)):
            await hand_on(consumer, message)

    return hand_on_but_one


def slow(seconds: str, hand_on: HandOn) -> HandOn:
    """Hand everything on, in its own time."""

    async def hand_on_slowly(consumer: WatermarkConsumer, message: Any) -> None:
        await asyncio.sleep(float(seconds))
        await hand_on(consumer, message)

    return hand_on_slowly


def holding(topic: str, hand_on: HandOn) -> HandOn:
    """Hand on everything up to the first message of one topic, and then nothing any more."""

    async def hand_on_until(consumer: WatermarkConsumer, message: Any) -> None:
        if message.topic == topic:
            await asyncio.Event().wait()
        await hand_on(consumer, message)

    return hand_on_until


HINDRANCES: dict[str, Callable[..., HandOn]] = {"lose": losing, "slow": slow, "hold": holding}

if __name__ == "__main__":
    how, *arguments = sys.argv[1:]
    del sys.argv[1:]
    with patch.object(WatermarkConsumer, "_hand_on", HINDRANCES[how](*arguments, WatermarkConsumer._hand_on)):
        sys.exit(main())
