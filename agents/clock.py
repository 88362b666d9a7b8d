"""Clock: the time of day at the start, and the time since; whoever sets the clock later changes nothing here.

Place in the flow: wherever an agent says when something is due, or how long it waited. Set back by an hour, the time of day
would let everybody wait for an hour more.
"""

from __future__ import annotations

import time

_BEGAN_AT_SECONDS = time.time() - time.monotonic()


def now_ms() -> int:
    """Now, in milliseconds since 1970; never less than what was said before."""
    return int((_BEGAN_AT_SECONDS + time.monotonic()) * 1_000)
