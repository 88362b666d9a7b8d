"""The watch: looks at all workers, the group and the broker every few seconds, from a thread of its own, while faults come."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Self

from tests.chaos.episode import Episode
from tests.soak.looks import MIB, Group, Sample, look_at, size_of

EVERY_SECONDS = 5.0


class Watch:
    """Use it as a context: it looks from entering to leaving; ``samples`` grows meanwhile.

    Leaving raises what ended the thread: a run that was not watched shows nothing.
    """

    def __init__(self, episode: Episode, broker_disk: Path) -> None:
        self.samples: list[Sample] = []
        self._episode = episode
        self._broker_disk = broker_disk
        self._group = Group(episode.bootstrap_servers, episode.namespace, [*episode.workload.sources, episode.names.events])
        self._began = time.monotonic()
        self._stopped = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    @property
    def now_seconds(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    def _run(self) -> None:
        try:
            while True:
                self.samples.append(self._look())
                late = self.now_seconds % EVERY_SECONDS
                if self._stopped.wait(EVERY_SECONDS - late):
                    return
        except Exception as failure:  # the thread has nobody to raise to: leaving the context does
            self._failure = failure

    def _look(self) -> Sample:
        at_seconds = self.now_seconds
        looks = tuple(look for worker in tuple(self._episode.fleet) if (look := look_at(worker)) is not None)
        return Sample(
            at_seconds=round(at_seconds, 1),
            looks=looks,
            num_unread=self._group.num_unread(),
            broker_mib=round(size_of(self._broker_disk) / MIB, 1),
            load=round(os.getloadavg()[0], 1),
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._group.close()
        if self._failure is not None and kind is None:
            raise self._failure
