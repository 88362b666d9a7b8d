"""Engine: one vLLM as a child that is started, listened to and ended (launch → **engine** → serve)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Self

from model_server.launch import Launch

_KEPT = Path(__file__).with_name("kept.py")
# The engine's cause stands some 60 lines before the end: the traceback of the server that waited for the engine comes after it.
NUM_LAST_LINES = 120
MAX_LINE_CHARS = 2_000
# What vLLM writes when it goes on to the next part of its start, in the words of a person; the last one met holds.
_PHASES = (
    (re.compile(r"Initializing a V1 LLM engine"), "starting the engine"),
    (re.compile(r"Starting to load model"), "loading the weights"),
    (re.compile(r"Loading weights took"), "preparing the model"),
    (re.compile(r"Compiling a graph|Start compiling function"), "compiling"),
    (re.compile(r"Warming up|warm ?up model"), "warming up"),
    (re.compile(r"Capturing CUDA graph"), "capturing graphs"),
    (re.compile(r"KV cache size"), "making the KV cache"),
    (re.compile(r"Starting vLLM server"), "opening the port"),
)


class Engine:
    """A running vLLM. Its lines go to ``on_line``; the last of them are kept for when it ends too early."""

    def __init__(
        self, process: asyncio.subprocess.Process, output: asyncio.StreamReader, on_line: Callable[[str], None]
    ) -> None:
        self._process = process
        self._output = output
        self._on_line = on_line
        self.last_lines: deque[str] = deque(maxlen=NUM_LAST_LINES)
        self.phase = "importing vLLM"
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, launch: Launch, on_line: Callable[[str], None]) -> Self:
        """Start it in a group of its own, which ends with this process."""
        # A pipe of ours: asyncio takes a process for ended only when its own pipes are closed, which what outlives it holds.
        output, their_end = await _open_pipe()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(_KEPT), *launch.command),
            env={**os.environ, **launch.environment},
            # Held open, and never written to: its end tells the child to end, or that this process is gone.
            stdin=asyncio.subprocess.PIPE,
            stdout=their_end,
            stderr=asyncio.subprocess.STDOUT,
            # A session of its own, and with it a group: Ctrl-C at the terminal is for us, who then stop it in order.
            start_new_session=True,
        )
        os.close(their_end)
        return cls(process, output, on_line)

    async def ended(self) -> int:
        """Wait for its end; the exit code, 128 and more when a signal ended it. None of its processes is left then."""
        code = await self._process.wait()
        # Whatever outlived it holds its output open, and would be waited for.
        self.kill()
        await self._reading
        return code if code >= 0 else 128 - code

    def stop(self) -> None:
        """Ask it to finish what is in flight and to end."""
        # Not by the process's own method: that looks first whether it has ended, and takes the exit code from who waits for it.
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End all of its processes at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def _read(self) -> None:
        while True:
            try:
                line = await self._output.readuntil(b"\n")
            except asyncio.LimitOverrunError as overrun:
                line = await self._output.readexactly(overrun.consumed)
            except asyncio.IncompleteReadError as end:
                self._note(end.partial)
                return
            self._note(line)

    def _note(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()[:MAX_LINE_CHARS]
        if text:
            self.last_lines.append(text)
            self.phase = phase_of(text) or self.phase
            self._on_line(text)


async def _open_pipe() -> tuple[asyncio.StreamReader, int]:
    """A new pipe: what reads it here, and the file descriptor that a child writes to."""
    our_end, their_end = os.pipe()
    output = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(output), os.fdopen(our_end, "rb", buffering=0)
    )
    return output, their_end


def phase_of(line: str) -> str | None:
    """The phase that begins with this line of vLLM's log, None when none does."""
    return next((phase for pattern, phase in _PHASES if pattern.search(line)), None)
