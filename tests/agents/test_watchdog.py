"""A duty with work that gets on with none of it is noticed, told, and in the end the worker is."""

from __future__ import annotations

from collections.abc import Hashable

import pytest

from agents.metrics import Metrics
from agents.watchdog import LOOK_SECONDS, Duty, Watchdog
from tests.agents.scripted import Stopped, stops_recorded

STALLED, GIVE_UP, PATIENCE = 10.0, 30.0, 4.0


class Watched:
    """A watchdog over one duty, whose mark, broker and clock the test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.mark: Hashable | None = 1
        self.is_broker_there = True
        self.now = 0.0
        self.metrics = Metrics()
        self.stops = stops_recorded(monkeypatch, "agents.watchdog")
        self.watchdog = Watchdog(
            [Duty("commit", lambda: self.mark, PATIENCE), Duty("read", lambda: None)],
            lambda: self.is_broker_there,
            self.metrics,
            stalled_after_seconds=STALLED,
            give_up_after_seconds=GIVE_UP,
            clock=lambda: self.now,
        )
        self.watchdog.look()

    def after(self, seconds: float) -> list[str]:
        """What has stalled after so long, looked at as often as it is."""
        for _ in range(int(seconds / LOOK_SECONDS)):
            self.now += LOOK_SECONDS
            self.watchdog.look()
        return self.watchdog.stalled

    @property
    def told_seconds(self) -> float | None:
        return self.metrics.registry.get_sample_value("prefstream_stalled_seconds", {"duty": "commit"})


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(monkeypatch)


def test_no_progress_is_told_after_a_while_and_ends_the_worker_after_a_longer_one(watched: Watched) -> None:
    assert watched.after(STALLED + PATIENCE - LOOK_SECONDS) == []
    assert watched.after(LOOK_SECONDS) == ["stalled: commit has work and got on with none of it for 14 seconds"]
    assert watched.told_seconds == STALLED + PATIENCE
    watched.after(GIVE_UP - LOOK_SECONDS)
    with pytest.raises(Stopped):
        watched.after(LOOK_SECONDS)
    assert watched.stops == ["commit had work and got on with none of it for 44 seconds: None"]


def test_any_progress_begins_anew(watched: Watched) -> None:
    watched.after(STALLED)
    watched.mark = 2
    assert watched.after(LOOK_SECONDS) == []
    assert watched.told_seconds == 0.0
    assert watched.after(STALLED) == []


def test_a_stalled_worker_that_gets_on_is_well_again(watched: Watched) -> None:
    assert len(watched.after(STALLED + PATIENCE)) == 1
    watched.mark = 2
    assert watched.after(LOOK_SECONDS) == []


def test_nothing_to_do_is_no_stall(watched: Watched) -> None:
    watched.mark = None
    assert watched.after(10 * GIVE_UP) == []
    assert watched.told_seconds == 0.0


def test_while_the_broker_is_away_nothing_is_held_against_the_worker(watched: Watched) -> None:
    watched.after(STALLED)
    watched.is_broker_there = False
    assert watched.after(10 * GIVE_UP) == []
    watched.is_broker_there = True
    assert len(watched.after(PATIENCE)) == 1  # what was before it still counts


def test_a_process_that_was_paused_is_not_to_blame(watched: Watched) -> None:
    watched.now += 100 * GIVE_UP
    watched.watchdog.look()
    assert watched.watchdog.stalled == []
