"""A TCP proxy between the workers and the broker: the network, which can be cut, become a black hole, or slow.

The broker is told that it is reached here (:class:`deploy.kafka.node.Detour`), so that everything a worker says goes through.
The proxy runs in a thread of its own and stays the same object, at the same port, whatever becomes of the network.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Coroutine
from concurrent.futures import Future
from threading import Thread
from typing import Any, Self

_CHUNK_BYTES = 64 << 10
_RESET = struct.pack("ii", 1, 0)  # close with a reset, not in order


class Proxy:
    """Listens on ``port`` of 127.0.0.1 and forwards to ``target_port``. Use it as a context."""

    def __init__(self, port: int, target_port: int) -> None:
        self.port = port
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="proxy")
        self._flows = asyncio.Event()
        self._delay_seconds = 0.0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self.restore()
        return self

    def __exit__(self, *error: object) -> None:
        self.cut()
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def restore(self) -> None:
        """The network works; what a black hole held back arrives."""
        self._do(self._restore())

    def cut(self) -> None:
        """Every connection is reset, and new ones are refused."""
        self._do(self._cut())

    def blackhole(self) -> None:
        """Connections stay and new ones are accepted, and nothing arrives."""
        self._do(self._blackhole())

    def slow(self, delay_seconds: float) -> None:
        """Whatever is sent arrives so much later."""
        self._do(self._slow(delay_seconds))

    def _do(self, change: Coroutine[Any, Any, None]) -> None:
        done: Future[None] = asyncio.run_coroutine_threadsafe(change, self._loop)
        done.result(timeout=10)

    async def _restore(self) -> None:
        self._delay_seconds = 0.0
        self._flows.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, reuse_address=True)

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        self._flows.set()  # nothing waits for connections that are gone

    async def _blackhole(self) -> None:
        self._flows.clear()

    async def _slow(self, delay_seconds: float) -> None:
        self._delay_seconds = delay_seconds

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await self._serve(reader, writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        await self._flows.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:  # the broker is down
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(far_writer)
        try:
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        finally:
            for one in (writer, far_writer):
                self._writers.discard(one)
                one.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(_CHUNK_BYTES):
                await self._flows.wait()
                if self._delay_seconds:
                    await asyncio.sleep(self._delay_seconds)
                writer.write(chunk)
                await writer.drain()
            writer.write_eof()
        except OSError:
            writer.transport.abort()
