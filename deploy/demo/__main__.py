"""``make demo``: real ratings replayed as live events, summaries evolving on screen, and the accounts at the end.

Settings: DEMO_SECONDS of replay (90), CHAOS=1 to kill the worker three times, DEMO_SEED for the moments of the kills, and
PREFSTREAM_BOOTSTRAP_SERVERS for a broker of yours. Exit code 0: the accounts are exact; 1: they are not, or it could not run;
130: interrupted before it began, or for good.
"""

from __future__ import annotations

import signal
import sys

from deploy.kafka.jars import say


def main() -> int:
    """Run the demo. Returns the exit code."""
    # Before the show begins, to be terminated is to be interrupted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # Here, because it takes a second, in which Ctrl-C must be no traceback either.
        from deploy.demo.story import play

        return 0 if play() else 1
    except KeyboardInterrupt:
        say("Interrupted.")
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
