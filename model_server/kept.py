"""Runs a command in a group of processes that ends with whoever started it: what serve runs vLLM through.

vLLM is several processes, and its engine does not notice that the server before it was killed. So all of them are in the group
that this process leads, and it reads its standard input to the end: that end comes when the parent is gone, however it went,
also by kill -9. Then the group is killed, this process with it. When this process ends first, by kill -9 too, the parent kills
what is left of the group.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def main(command: list[str]) -> int:
    """Run ``command`` to its end and return its exit code; SIGTERM is passed on to it, and to none of its children."""
    # Until it can be passed on: a signal in between would end this process and leave the child behind.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_unblock)
    signal.signal(signal.SIGTERM, lambda number, _: child.send_signal(number))
    _unblock()
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    code = child.wait()
    return code if code >= 0 else 128 - code


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _end_with_the_parent() -> None:
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
