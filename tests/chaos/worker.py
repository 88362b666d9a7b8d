"""The worker of the fault tests: ``python -m tests.chaos.worker``, a worker that does what its script says goes wrong.

The script is the value of ``PREFSTREAM_CRASH_AT``: entries separated by commas, ``[ACTION=]PLACE[:TOPIC][@N]``. TOPIC is a
topic's last name, N the occurrence that is meant (the first, unless said).

============================== =========================================================================================
``lane.sent:summaries@3``      the process is gone at this point (agents/crash_points.py), with nothing cleaned up
``fail=lane.sending:pending``  what was to happen at this point fails instead: one send between two good ones
``fail=flush@2``               the second send that is made while a flush before a commit waits fails
``refuse=commit``              one commit is refused
``full=store:pending@2``       the store meets a full disk (ENOSPC) when it writes a batch of acknowledged records
``clock=-7200``                ``time.time`` says so many seconds less, or more (``datetime.now`` does not)
``poison=WORD``                the model refuses every prompt with this word in it (400)
``memtables=BYTES``            RocksDB writes what it holds in memory to a file when it is so much: sooner than ours
``leak=BYTES``                 so much memory more is kept every second, for nothing
``leak_file=SECONDS``          one file more is left open whenever so long has passed
``follow=FILE``                the rest of the script is in that file, and changes with it while the worker runs
============================== =========================================================================================

A crash or a failure in a file fires once: the file is removed just before, which tells whoever wrote it that it has happened.
A full disk that the operating system plays (RLIMIT_FSIZE) is no matter of the worker's own: tests/chaos/fleet.py sets it.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args
from unittest.mock import patch

from msgspec import Struct
from msgspec.structs import replace

from agents import crash_points
from agents.crash_points import Point

CRASHED = 86  # no exit code of a worker's own
NO_SCRIPT = 2

Action = Literal["crash", "fail", "refuse", "full"]

_PLACES: dict[str, tuple[str, ...]] = {
    "crash": get_args(Point),
    "fail": (*get_args(Point), "flush"),
    "refuse": ("commit",),
    "full": ("store",),
}
_PLACE = re.compile(r"(?P<place>[a-z.]+)(:(?P<topic>[a-z-]+))?(@(?P<occurrence>[1-9][0-9]*))?")


class Entry(Struct, frozen=True):
    """What goes wrong, where, and at which occurrence; ``topic`` is a last name, empty for any."""

    action: Action
    place: str
    topic: str = ""
    occurrence: int = 1


class Script(Struct, frozen=True):
    """Everything that a script says."""

    entries: tuple[Entry, ...] = ()
    clock_seconds: float = 0.0
    poison: str = ""
    memtable_bytes: int = 0
    leak_bytes: int = 0
    leak_file_seconds: float = 0.0
    follow: Path | None = None


class InvalidScript(Exception):
    """A script says something that nobody would do."""


class InjectedFault(Exception):
    """What a failing send raises because the script says so."""


def parse(text: str) -> Script:
    """Read a script. Raises :class:`InvalidScript`: a fault that is never injected would prove nothing."""
    script = Script()
    for part in filter(None, (part.strip() for part in text.split(","))):
        action, is_named, argument = part.rpartition("=")
        match action if is_named else "crash":
            case "clock":
                script = replace(script, clock_seconds=_number(part, argument))
            case "poison":
                script = replace(script, poison=argument)
            case "memtables":
                script = replace(script, memtable_bytes=int(_number(part, argument)))
            case "leak":
                script = replace(script, leak_bytes=int(_number(part, argument)))
            case "leak_file":
                script = replace(script, leak_file_seconds=_number(part, argument))
            case "follow":
                script = replace(script, follow=Path(argument))
            case "crash" | "fail" | "refuse" | "full" as known:
                script = replace(script, entries=(*script.entries, _entry(known, argument)))
            case unknown:
                raise InvalidScript(f"{part!r}: no action is called {unknown!r}")
    return script


def _number(part: str, argument: str) -> float:
    try:
        return float(argument)
    except ValueError:
        raise InvalidScript(f"{part}: {argument!r} is no number") from None


def _entry(action: Action, argument: str) -> Entry:
    found = _PLACE.fullmatch(argument)
    if found is None or found["place"] not in _PLACES[action]:
        raise InvalidScript(f"{action} at {argument!r}: the places are {', '.join(_PLACES[action])}")
    return Entry(action, found["place"], found["topic"] or "", int(found["occurrence"] or 1))


class Prompter:
    """Follows the script: says at each place whether something goes wrong now."""

    def __init__(self, text: str) -> None:
        self._own = parse(text)
        self._followed = Script()
        self._version: tuple[int, int] | None = None
        self._num_met: Counter[Entry] = Counter()
        self.is_flushing = False

    @property
    def own(self) -> Script:
        """What holds for the whole life of the process."""
        return self._own

    @property
    def clock_seconds(self) -> float:
        """How wrong the clock is now."""
        self._follow()
        return self._own.clock_seconds + self._followed.clock_seconds

    @property
    def poison(self) -> str:
        """The word that no prompt may have now; empty if every prompt may have any."""
        self._follow()
        return self._followed.poison or self._own.poison

    def reached(self, point: Point, topic: str) -> None:
        """The hook of the crash points."""
        if self.is_now("crash", point, topic):
            os._exit(CRASHED)
        if self.is_now("fail", point, topic):
            raise InjectedFault(f"{point} failed, as the script says")
        if self.is_flushing and point == "lane.sending" and self.is_now("fail", "flush", topic):
            raise InjectedFault("a send during the flush before a commit failed, as the script says")

    def is_now(self, action: Action, place: str, topic: str = "") -> bool:
        """Whether this is the occurrence of which the script speaks."""
        self._follow()
        return self._is_due(self._own.entries, action, place, topic) or self._fires(action, place, topic)

    def _fires(self, action: Action, place: str, topic: str) -> bool:
        if not self._is_due(self._followed.entries, action, place, topic):
            return False
        assert self._own.follow is not None
        self._own.follow.unlink()
        return True

    def _is_due(self, entries: Iterable[Entry], action: Action, place: str, topic: str) -> bool:
        last_name = topic.rpartition(".")[2]
        for entry in entries:
            if (entry.action, entry.place) == (action, place) and entry.topic in ("", last_name):
                self._num_met[entry] += 1
                if self._num_met[entry] == entry.occurrence:
                    return True
        return False

    def _follow(self) -> None:
        if self._own.follow is None:
            return
        try:
            found = self._own.follow.stat()
            version = (found.st_mtime_ns, found.st_ino)
            text = None if version == self._version else self._own.follow.read_text()
        except FileNotFoundError:
            version, text = None, ""
        if version != self._version:
            for entry in self._followed.entries:
                del self._num_met[entry]
            self._version, self._followed = version, parse(text or "")


def main() -> int:
    """Run a worker that keeps to the script. Returns its exit code; 2 for a script that cannot be followed."""
    try:
        prompter = Prompter(os.environ.get(crash_points.VARIABLE, ""))
    except InvalidScript as error:
        sys.stderr.write(f"{crash_points.VARIABLE}: {error}\n")
        return NO_SCRIPT
    with ExitStack() as patches:
        # First: what is imported after this takes the wrong clock for the right one.
        real_time = time.time
        patches.enter_context(patch.object(time, "time", lambda: real_time() + prompter.clock_seconds))
        from agents.command import main as run_worker

        for one in _patches(prompter):
            patches.enter_context(one)
        crash_points.arm(prompter.reached)
        _begin_to_leak(prompter.own)
        return run_worker()


def _begin_to_leak(script: Script) -> None:
    for leak, size, seconds in ((_memory, script.leak_bytes, 1.0), (_file, 1, script.leak_file_seconds)):
        if size and seconds:
            threading.Thread(target=_leak_for_ever, args=(leak, size, seconds), name="leak", daemon=True).start()


def _leak_for_ever(leak: Callable[[int], object], size: int, seconds: float) -> None:
    kept = []
    while True:
        kept.append(leak(size))
        time.sleep(seconds)


def _memory(size: int) -> bytes:
    return b"\1" * size  # of zeros no page would be taken


def _file(_: int) -> BinaryIO:
    return Path(os.devnull).open("rb")


def _patches(prompter: Prompter) -> Iterable[Any]:
    from agents import store
    from agents.app import Worker
    from agents.faust_fixes import WatermarkConsumer
    from agents.store import Shard
    from model_server.client import ModelClient

    yield patch.object(Worker, "flush", _watched_flush(Worker.flush, prompter))
    yield patch.object(WatermarkConsumer, "_commit", _refusable_commit(WatermarkConsumer._commit, prompter))
    yield patch.object(ModelClient, "evolve", _fastidious(ModelClient.evolve, prompter))
    yield patch.object(Shard, "apply", _full_disk(Shard.apply, prompter))
    yield patch.object(store, "_WRITE_BUFFER_BYTES", prompter.own.memtable_bytes or store._WRITE_BUFFER_BYTES)


def _watched_flush(flush: Callable[[Any], Awaitable[None]], prompter: Prompter) -> Callable[[Any], Awaitable[None]]:
    async def watched(worker: Any) -> None:
        prompter.is_flushing = True
        try:
            await flush(worker)
        finally:
            prompter.is_flushing = False

    return watched


def _refusable_commit(commit: Callable[..., Awaitable[bool]], prompter: Prompter) -> Callable[..., Awaitable[bool]]:
    async def refusable(consumer: Any, offsets: Any) -> bool:
        return False if prompter.is_now("refuse", "commit") else await commit(consumer, offsets)

    return refusable


def _fastidious(evolve: Callable[..., Awaitable[Any]], prompter: Prompter) -> Callable[..., Awaitable[Any]]:
    from streams.evolution.records import Refused

    async def fastidious(client: Any, prompt: Any, **options: Any) -> Any:
        if prompter.poison and any(prompter.poison in turn.content for turn in prompt.turns):
            return Refused(400, "the script says so")
        return await evolve(client, prompt, **options)

    return fastidious


def _full_disk(apply: Callable[..., None], prompter: Prompter) -> Callable[..., None]:
    def on_a_full_disk(shard: Any, *arguments: Any) -> None:
        if prompter.is_now("full", "store", _table_of(shard)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        apply(shard, *arguments)

    return on_a_full_disk


def _table_of(shard: Any) -> str:
    """The table's name: its directory's, without the number of the partition."""
    return Path(shard._db.path()).name.rpartition("-")[0]


if __name__ == "__main__":
    sys.exit(main())
