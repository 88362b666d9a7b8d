"""`make observe`: a real Prometheus watches the demo through an incident; the right alerts fire and clear, and no others.

With PREFSTREAM_BOOTSTRAP_SERVERS a broker of yours is used. Exit code 0: all was as foreseen; 1: something was not, which is
named, or it could not run; 130: interrupted.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.kafka.jars import say

_EXAMPLES = """\
examples:
  python -m deploy.observe                      # the whole incident, about 14 minutes; pictures in build/observe
  python -m deploy.observe --out /tmp/pictures  # pictures elsewhere
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.observe",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", type=Path, default=Path("build/observe"), help="folder for the pictures (default: %(default)s)"
    )
    out: Path = parser.parse_args(arguments).out
    # Both: whoever starts it in the background of a script has it ignore the first of them.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        # Here, because it takes a second, in which Ctrl-C must be no traceback either.
        from rich.console import Console

        from deploy.observe.story import observe

        return 0 if observe(Console(), out) else 1
    except KeyboardInterrupt:
        say("Interrupted.")
        return 128 + signal.SIGINT


if __name__ == "__main__":
    sys.exit(main())
