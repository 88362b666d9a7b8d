"""What is to be seen from outside while the demo runs: the broker's offsets, the summaries, and the worker's own metrics.

A killed worker forgets its counters. So what can be read from the topics is, and counters are added up over the worker's
lives: no number on screen goes backwards.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from threading import Event, Thread
from typing import Any
from urllib.request import urlopen

from kafka.errors import KafkaError
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from deploy.demo.processes import Worker, answers
from deploy.demo.unread import Unread
from prefstream.errors import PrefstreamError
from prefstream.reader import SummaryReader
from prefstream.summaries import Summary
from prefstream.topics import TopicNames

POLL_SECONDS = 0.5
_REJECTIONS = "prefstream_rejected_rewrites_total"

Sample = Mapping[tuple[str, str], float]
"""One scrape: the values by metric and its one label's value, empty where it has no label."""


class Waiting(Struct, frozen=True):
    """What the running worker has waiting."""

    users: int
    events: int
    oldest_age_seconds: float
    in_flight: int


class Counts(Struct, frozen=True):
    """What the workers counted, over all their lives."""

    retries: int = 0
    redelivered: int = 0
    rejections: Mapping[str, int] = {}
    failed_calls: int = 0
    answers: int = 0
    accepted: int = 0
    rescued: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0

    @property
    def rejected(self) -> int:
        """Rewrites that the guards refused, for any reason."""
        return sum(self.rejections.values())


class Sighting(Struct, frozen=True):
    """Everything that was seen in one look, begun at ``at`` (of the monotonic clock).

    ``waiting`` is None while no worker answers, or it does not know, ``lag`` while the broker does not tell. ``busy_seconds``:
    for how long the model had calls to answer.
    """

    at: float = 0.0
    collected: int = 0
    applied: int = 0
    summaries: int = 0
    users: int = 0
    dead_letters: int = 0
    lag: int | None = None
    waiting: Waiting | None = None
    counts: Counts = Counts()
    is_ready: bool = False
    busy_seconds: float = 0.0

    @property
    def is_drained(self) -> bool:
        """Whether the worker has worked off everything there is."""
        return self.is_ready and self.lag == 0 and self.waiting is not None and self.waiting.users == 0


def read_sample(text: str) -> Sample:
    """The values in the text of a ``/metrics`` answer."""
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def waiting_in(sample: Sample) -> Waiting | None:
    """The gauges of a sample; None in a recovery and a rebalance, when the worker does not know."""
    if ("prefstream_pending_users", "") not in sample:
        return None
    return Waiting(
        users=int(sample["prefstream_pending_users", ""]),
        events=int(sample["prefstream_pending_events", ""]),
        oldest_age_seconds=sample["prefstream_pending_oldest_age_seconds", ""],
        in_flight=int(sample["prefstream_users_in_flight", ""]),
    )


class Lives:
    """The counters of a worker over all its lives: the last sample of each is kept, and they are added up."""

    def __init__(self) -> None:
        self._last: dict[int, Sample] = {}

    def see(self, life: int, sample: Sample) -> None:
        """Note a sample of the worker's so many-th life."""
        self._last[life] = sample

    def counts(self) -> Counts:
        """The counters so far."""
        total: defaultdict[tuple[str, str], int] = defaultdict(int)
        for sample in self._last.values():
            for (name, label), value in sample.items():
                total[name, label] += int(value)
        return Counts(
            retries=total["prefstream_collected_events_total", "duplicate"],
            redelivered=total["prefstream_collected_events_total", "redelivered"],
            rejections={label: value for (name, label), value in total.items() if value and name == _REJECTIONS},
            failed_calls=sum(total["prefstream_calls_total", result] for result in ("unavailable", "refused")),
            answers=total["prefstream_calls_total", "completion"],
            accepted=total["prefstream_summaries_total", ""],
            rescued=sum(value for (name, _), value in total.items() if name == "prefstream_rescued_rewrites_total"),
            prompt_tokens=total["prefstream_prompt_tokens_total", ""],
            completion_tokens=total["prefstream_completion_tokens_total", ""],
            cached_tokens=total["prefstream_cached_tokens_total", ""],
        )


class Versions:
    """All versions of all summaries as they come, followed in a thread."""

    def __init__(self, bootstrap_servers: str, topic: str) -> None:
        self.of_user: dict[str, list[Summary]] = {}
        self.newest: list[str] = []
        self.applied = 0
        self.num_versions = 0
        self._reader = SummaryReader(bootstrap_servers, topic, silence_seconds=POLL_SECONDS)
        self._stopping = Event()
        self._thread = Thread(target=self._follow, name="versions", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Follow no more."""
        self._stopping.set()
        self._thread.join()
        self._reader.close()

    def _follow(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow_until_silence()
            except PrefstreamError:
                continue  # somebody else's record; the accounts at the end meet it too

    def _follow_until_silence(self) -> None:
        for record in self._reader.follow():
            if isinstance(record, Summary):
                self._note(record)
            if self._stopping.is_set():
                return

    def _note(self, summary: Summary) -> None:
        versions = self.of_user.setdefault(summary.user, [])
        self.applied += summary.num_events - (versions[-1].num_events if versions else 0)
        self.num_versions += 1
        versions.append(summary)
        self.newest.append(summary.user)


class Watcher:
    """A thread that looks twice a second; ``latest`` is what it saw last."""

    def __init__(
        self, bootstrap_servers: str, namespace: str, sources: Sequence[str], worker: Worker, versions: Versions
    ) -> None:
        names = TopicNames(namespace)
        self.latest = Sighting()
        self._worker = worker
        self._versions = versions
        self._lives = Lives()
        self._unread = Unread(bootstrap_servers, namespace, [*sources, names.events])
        self._letters = self._unread.partitions([names.dead_letters])
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="watcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        self._thread.join()
        self._unread.close()

    def _run(self) -> None:
        while not self._stopping.wait(POLL_SECONDS):
            self.latest = self._look()

    def _look(self) -> Sighting:
        before, at = self.latest, time.monotonic()
        # When nothing is left to read, nothing can arrive any more, so the lag is looked at before what waits. The applied
        # is, too: what moves on in between is then missed for a moment, and not counted twice.
        lag = _or(None, self._unread.num)
        applied, life = self._versions.applied, self._worker.num_starts
        waiting = self._scrape(life)
        return Sighting(
            at=at,
            collected=max(before.collected, applied + waiting.events) if waiting else before.collected,
            applied=applied,
            summaries=self._versions.num_versions,
            users=len(self._versions.of_user),
            dead_letters=_or(before.dead_letters, self._num_dead_letters),
            lag=lag,
            waiting=waiting,
            counts=self._lives.counts(),
            is_ready=answers(f"{self._worker.url}/readyz"),
            busy_seconds=before.busy_seconds + (at - before.at if before.waiting and before.waiting.in_flight else 0.0),
        )

    def _scrape(self, life: int) -> Waiting | None:
        try:
            with urlopen(f"{self._worker.url}/metrics", timeout=1.0) as answer:
                sample = read_sample(answer.read().decode())
        except (OSError, HTTPException):
            return None
        self._lives.see(life, sample)
        return waiting_in(sample)

    def _num_dead_letters(self) -> int:
        return sum(self._unread.ends(self._letters).values())


def _or(otherwise: Any, look: Callable[[], int]) -> Any:
    try:
        return look()
    except KafkaError:
        return otherwise
