"""The play: does one step of the script after the other, and meanwhile tells what Prometheus sees."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from kafka import KafkaProducer

from deploy.demo.movielens import Film, PastRating
from deploy.demo.processes import CannotRun
from deploy.demo.replay import Replay, Sending, stars_record
from deploy.observe.script import NUM_BROKEN, POISON, Act, Script
from deploy.observe.stage import Scene
from deploy.observe.telling import Look, Telling
from deploy.observe.timeline import Episode, episodes

_LOOK_SECONDS = 2.0
_PATIENCE_SECONDS = 120.0  # beyond the script, for what has not cleared


class Played(NamedTuple):
    """What was done when (seconds since the beginning), what the alerts did, and when it all was (seconds since 1970)."""

    done: Mapping[str, float]
    episodes: tuple[Episode, ...]
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began


class Play:
    """One run of a script. ``victim`` is the person whose events have a poison one among them."""

    def __init__(self, scene: Scene, script: Script, replay: Replay, victim: int, telling: Telling) -> None:
        self._scene = scene
        self._script = script
        self._replay = replay
        self._victim = victim
        self._telling = telling
        self._done: dict[str, float] = {}
        self._alerts: dict[str, str] = {}
        self._began = 0.0

    def run(self) -> Played:
        """All steps, and then until everything has followed from them, but not for ever.

        Raises CannotRun when a process ends by itself.
        """
        self._replay.start()
        self._began = time.time()
        for step in self._script.steps:
            self._wait_until(step.at_seconds)
            self._act(step.act)
            self._done[step.name] = self._seconds
            self._telling.step(self._seconds, step)
        self._wait_until(self._script.seconds)
        while not self._is_over() and self._seconds < self._script.seconds + _PATIENCE_SECONDS:
            self._wait_until(self._seconds + _LOOK_SECONDS)
        return self._played()

    def _is_over(self) -> bool:
        """Whether no alert fires, what was foreseen has cleared, and each poison event is a dead letter."""
        expected = {one.alert for one in self._script.expected}
        num_dead = self._number('sum(max_over_time(prefstream_dead_letters_total{reason="poison"}[1h]))') or 0
        num_poison = sum(step.act == "poison" for step in self._script.steps)
        return "firing" not in self._alerts.values() and not expected & set(self._alerts) and num_dead >= num_poison

    def _played(self) -> Played:
        ended = time.time()
        step_seconds = self._script.scrape_seconds
        found = self._scene.prometheus.query_range("ALERTS", self._began, ended, step_seconds)
        return Played(self._done, tuple(episodes(found, self._began, ended, step_seconds)), self._began, ended)

    @property
    def _seconds(self) -> float:
        return time.time() - self._began

    def _wait_until(self, at_seconds: float) -> None:
        while (left := at_seconds - self._seconds) > 0:
            self._look()
            time.sleep(min(left, _LOOK_SECONDS))

    def _look(self) -> None:
        """See that all is there that should be, and what alerts do."""
        for server in (self._scene.model, *self._scene.workers):
            if fault := server.fault():
                raise CannotRun(fault)
        if self._replay.num_failed:
            raise CannotRun(f"{self._replay.num_failed} records could not be published")
        alerts = self._scene.prometheus.alerts()
        for alert in sorted({*alerts, *self._alerts}):
            if alerts.get(alert) != self._alerts.get(alert):
                self._telling.alert(self._seconds, alert, alerts.get(alert, "cleared"))
        self._alerts = alerts
        self._telling.look(
            Look(
                self._seconds,
                max(self._seconds, self._script.seconds),
                self._next_words(),
                self._number("sum(prefstream_pending_events)"),
                self._number("max(prefstream_pending_oldest_age_seconds)"),
                alerts,
            )
        )

    def _next_words(self) -> str:
        """What is waited for, and how long it still takes."""
        for step in self._script.steps:
            if step.name not in self._done:
                return f"{step.at_seconds - self._seconds:.0f} s until {step.name}"
        left = self._script.seconds - self._seconds
        return f"{left:.0f} s until the end" if left > 0 else "until all has cleared"

    def _number(self, expression: str) -> float | None:
        found = self._scene.prometheus.query(expression)
        return float(found[0]["value"][1]) if found else None

    def _act(self, act: Act) -> None:
        last = self._scene.workers[-1]
        match act:
            case "nothing":
                pass
            case "model away":
                self._scene.model.kill()
            case "model back":
                self._scene.model.start()
                self._scene.model.await_ready()
            case "broken format":
                self._publish(*[self._broken(number) for number in range(NUM_BROKEN)])
            case "poison":
                film = Film(9_999, POISON, ("drama",))
                rating = PastRating(self._victim, film, 5, int(datetime.now(UTC).timestamp()))
                self._publish(stars_record(rating, 0.0, self._scene.stage.topics))
            case "kill and restart":
                self._scene.workers[0].kill()
                self._scene.workers[0].start()
            case "kill":
                last.kill()
            case "start again":
                last.start()

    def _broken(self, number: int) -> Sending:
        """A record of the platform whose member has become a name of another kind."""
        value = json.dumps({"uid": number, "movie": None}).encode()
        return Sending(0.0, "malformed", 0, self._scene.stage.topics.stars, str(number).encode(), value)

    def _publish(self, *sendings: Sending) -> None:
        producer = KafkaProducer(bootstrap_servers=self._scene.stage.bootstrap_servers, acks="all")
        try:
            sent = [producer.send(one.topic, key=one.key, value=one.value) for one in sendings]
            for future in sent:
                future.get(timeout=30)
        finally:
            producer.close(timeout=5)
