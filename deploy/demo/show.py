"""The show: replay, kill the worker if asked to, work off what waits; a quarter of a second at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec import Struct

from deploy.demo.chaos import Kill
from deploy.demo.display import Display
from deploy.demo.interruptions import Interruptions
from deploy.demo.pace import Pace
from deploy.demo.processes import Worker
from deploy.demo.replay import Plan, Replay
from deploy.demo.screen import Rate, View
from deploy.demo.spotlight import Spotlight
from deploy.demo.stage import Stage
from deploy.demo.watching import Versions, Watcher

_LEAVE_SECONDS = 15.0  # of a worker, after its last call: it commits and leaves
_TICK_SECONDS = 0.25


class Cast(Struct, frozen=True):
    """Everybody on stage."""

    stage: Stage
    model: str
    pace: Pace
    plan: Plan
    worker: Worker
    replay: Replay
    versions: Versions
    watcher: Watcher


class Show:
    """The loop between the cast and the display."""

    def __init__(self, cast: Cast, kills: Sequence[Kill], display: Display, interruptions: Interruptions) -> None:
        self._cast = cast
        self._kills = list(kills)
        self._display = display
        self._interruptions = interruptions
        self._spotlight = Spotlight(cast.versions.of_user, cast.versions.newest)
        self._published, self._collected, self._summaries = Rate(), Rate(), Rate()
        self._num_kills = 0
        self._notices: list[str] = []
        self._started = time.monotonic()

    def replay(self) -> None:
        """Publish the ratings, until all are out or somebody presses Ctrl-C."""
        self._cast.replay.start()
        while not self._cast.replay.is_over and not self._interruptions.num:
            self._kill_if_due()
            self._tick("replaying real ratings")
        self._cast.replay.stop()

    def work_off(self) -> None:
        """Wait until nothing waits any more, but not for ever; after another Ctrl-C, only until everything is taken in."""
        began = time.monotonic()
        ends_at = began + self._cast.pace.work_off_seconds
        while (left_seconds := ends_at - time.monotonic()) > 0:
            seen = self._cast.watcher.latest
            if seen.at > began and (seen.is_drained or (self._interruptions.num > 1 and seen.lag == 0)):
                break
            self._tick(f"working off what waits, at most {left_seconds:.0f} s more")
        else:
            self._tell("time is up: what still waits is pending")

    def stop_worker(self) -> None:
        """Let the worker finish what is in flight, and stop it."""
        worker, limit_seconds = self._cast.worker, self._cast.pace.drain_seconds + _LEAVE_SECONDS
        ends_at = time.monotonic() + limit_seconds
        worker.ask_to_stop()
        while worker.is_running and time.monotonic() < ends_at:
            self._draw("finishing the calls in flight")
        if not worker.stop(seconds=0):
            self._tell(f"the worker did not stop in {limit_seconds:.0f} s and was killed")

    def _kill_if_due(self) -> None:
        if self._kills and self._seconds >= self._kills[0].due_seconds:
            self._tell(self._cast.worker.kill(self._kills.pop(0).loses_disk))
            self._num_kills += 1

    def _tick(self, phase: str) -> None:
        if happened := self._cast.worker.supervise():
            self._tell(happened)
        self._draw(phase)

    def _draw(self, phase: str) -> None:
        self._display.update(self._view(phase))
        time.sleep(_TICK_SECONDS)

    def _tell(self, happened: str) -> None:
        notice = f"{self._seconds:4.0f} s  {happened}"
        self._notices.append(notice)
        self._display.notice(notice)

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _view(self, phase: str) -> View:
        now = time.monotonic()
        cast, seen = self._cast, self._cast.watcher.latest
        self._published.see(cast.replay.num_published, now)
        self._collected.see(seen.collected, now)
        self._summaries.see(seen.summaries, now)
        cards = self._spotlight.cards(now, self._display.num_cards)
        return View(
            phase=phase,
            seconds=self._seconds,
            replayed_at=datetime.fromtimestamp(cast.replay.now_at_seconds, UTC),
            replayed_share=cast.replay.num_published / len(cast.plan.sendings),
            acceleration=cast.plan.acceleration,
            num_published=cast.replay.num_published,
            published_rate=self._published.per_second,
            collected_rate=self._collected.per_second,
            summaries_rate=self._summaries.per_second,
            seen=seen,
            num_errors=cast.worker.num_failures + cast.replay.num_failed + seen.counts.failed_calls,
            num_kills=self._num_kills,
            model=cast.model,
            notices=self._notices,
            cards=cards,
            follow_along=cast.stage.follow_along(cards[0][1].user if cards else "USER"),
        )
