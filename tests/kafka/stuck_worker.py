"""A worker whose recovery stops without a word: ``python -m tests.kafka.stuck_worker``, otherwise ``python -m agents``.

What a group may wait for its slowest member is two minutes; here it is two seconds, so that a test can see what comes after.
"""

from __future__ import annotations

import asyncio
import sys
from unittest.mock import patch

from agents.command import main
from agents.faust_fixes import OrderedRecovery


async def never(recovery: OrderedRecovery, generation_id: int) -> None:
    """In place of the end of a recovery."""
    await asyncio.Event().wait()


if __name__ == "__main__":
    with patch.object(OrderedRecovery, "_resume", never), patch("agents.duties.REBALANCE_SECONDS", 2.0):
        sys.exit(main())
