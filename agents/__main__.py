"""Start a worker: ``python -m agents``. Before it runs, and while it is still imported, a Ctrl-C is no traceback."""

from __future__ import annotations

import sys

_INTERRUPTED = 130

if __name__ == "__main__":
    try:
        # Here, because it takes a second or more.
        from agents.command import main

        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
