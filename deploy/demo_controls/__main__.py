"""``make demo-controls``: one person edits, pins, rolls back and is forgotten on a real Kafka; code checks every promise.

With PREFSTREAM_BOOTSTRAP_SERVERS a broker of yours is used. Exit code 0: every promise was kept; 1: one is broken, which is
named, or it could not run; 130: interrupted.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from deploy.kafka.jars import say


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo. Returns the exit code."""
    argparse.ArgumentParser(
        prog="python -m deploy.demo_controls", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args(arguments)
    # Both: whoever starts it in the background of a script has it ignore the first of them.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        # Here, because it takes a second, in which Ctrl-C must be no traceback either.
        from rich.console import Console

        from deploy.demo_controls.play import play

        return 0 if play(Console()) else 1
    except KeyboardInterrupt:
        say("Interrupted.")
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
