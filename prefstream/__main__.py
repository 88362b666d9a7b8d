"""The command ``prefstream``, before what takes a moment to import: a Ctrl-C meanwhile ends it like one later."""

from __future__ import annotations

import sys

_INTERRUPTED = 130


def main() -> None:
    """The console entry point."""
    try:
        # Here, because it takes a second, in which Ctrl-C must be no traceback either.
        from prefstream.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
