"""Runs a command as a group of processes that ends with whoever started it: what serve runs vLLM through.

vLLM is several processes, and its engine does not notice that the server before it was killed. So all of them are in one
group, and this process reads its standard input to the end: that end comes when the parent closes it or is gone, however it
went, also by kill -9. Then, and when the command ends by itself, what is left of the group is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading


def main(command: list[str]) -> int:
    """Run ``command`` to its end and return its exit code; SIGTERM is passed on to it, and to none of its children."""
    # Until it can be passed on: a signal in between would end this process and leave the child behind.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=_unblock)
    signal.signal(signal.SIGTERM, lambda number, _: child.send_signal(number))
    _unblock()
    threading.Thread(target=_end_with_the_parent, args=(child.pid,), daemon=True).start()
    code = child.wait()
    _kill(child.pid)
    return code if code >= 0 else 128 - code


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _end_with_the_parent(group: int) -> None:
    while os.read(0, 1):
        pass
    _kill(group)


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
