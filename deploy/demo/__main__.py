"""``make demo``: real ratings replayed as live events, summaries evolving on screen, and the accounts at the end.

Settings: DEMO_SECONDS of replay (90), MODEL, the profile of the model (counting), CHAOS=1 to kill the worker three times,
DEMO_SEED for the moments of the kills, and PREFSTREAM_BOOTSTRAP_SERVERS for a broker of yours. Exit code 0: the accounts are
exact; 1: they are not, or it could not run; 130: interrupted before it began, or for good.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from deploy.kafka.jars import say


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="only say whether the settings can work, and what is to be installed"
    )
    is_only_check = parser.parse_args(arguments).check
    # Before the show begins, to be terminated is to be interrupted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # Here, because it takes a second, in which Ctrl-C must be no traceback either.
        from deploy.demo.story import check, play

        return 0 if (check if is_only_check else play)() else 1
    except KeyboardInterrupt:
        say("Interrupted.")
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
