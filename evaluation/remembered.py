"""Remembered: a writer that asks for each prompt once, also over runs that were killed (evolving → **remembered** → writer).

An answer is a line of JSON, appended before it is given out, so that kill -9 loses at most the calls in flight. A line that was
cut short is cut off when the file is opened, and its prompt is asked again.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from evaluation.evolving import Timed, Writer
from model_server.client import CallOptions
from streams.evolution.records import CallResult, Completion, Prompt, Turn


class InUse(Exception):
    """Another run has the file; the message says what to do."""


class Line(Struct, frozen=True, array_like=True):
    """One answer in the file: the key of what was asked, and the answer with the seconds it took."""

    key: str
    answer: Timed


class _Asked(Struct, frozen=True):
    """Everything that an answer depends on."""

    options: CallOptions
    turns: tuple[Turn, ...]
    max_tokens: int
    num_repeats: int
    schema: Mapping[str, object] | None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode


class Remembered:
    """The writer, with a memory of its answers in ``path``: as ``async with``, by one run at a time.

    ``options`` are those that the writer asks with; a model trained anew under the same name gets another ``path``. Only
    answers are remembered: an outage ends, and a refusal may be mended. Who ask for the same prompt at once both ask the
    writer, and get the answer that came first.
    """

    def __init__(self, writer: Writer, options: CallOptions, path: Path) -> None:
        self._writer = writer
        self._options = options
        self._path = path
        self._file = -1
        self._answers: dict[str, Timed] = {}
        self.num_asked = 0

    @property
    def capacity(self) -> int:
        """How many calls the writer takes at once."""
        return self._writer.capacity

    @property
    def num_answers(self) -> int:
        """How many answers are remembered, of whichever model."""
        return len(self._answers)

    async def __aenter__(self) -> Self:
        """Opens the file, or makes it. Raises :class:`InUse`, and OSError where it cannot be opened."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise InUse(f"another run writes {self._path}: wait for its end, or give this one a folder of its own") from None
        self._read()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._file)

    async def evolve(self, prompt: Prompt, *, request_id: str) -> CallResult:
        """The answer of before, or else the writer's."""
        key = _key(self._options, prompt)
        if answer := self._answers.get(key):
            return answer
        self.num_asked += 1
        started = time.monotonic()
        result = await self._writer.evolve(prompt, request_id=request_id)
        if not isinstance(result, Completion):
            return result
        answer = Timed(**asdict(result), seconds=time.monotonic() - started)
        return self._remember(key, answer)

    def _remember(self, key: str, answer: Timed) -> Timed:
        if earlier := self._answers.get(key):
            return earlier
        line = _encode(Line(key, answer)) + b"\n"
        if os.write(self._file, line) < len(line):
            raise OSError(f"{self._path}: the disk is full; what is in the file is kept")
        self._answers[key] = answer
        return answer

    def _read(self) -> None:
        whole = 0
        with self._path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                try:
                    kept = _decode(line)
                except msgspec.MsgspecError:  # written over, by whatever it was: asked again
                    continue
                self._answers[kept.key] = kept.answer
        os.ftruncate(self._file, whole)


def _key(options: CallOptions, prompt: Prompt) -> str:
    asked = _Asked(options, prompt.turns, prompt.max_tokens, prompt.num_repeats, prompt.schema)
    return sha256(_encode(asked)).hexdigest()
