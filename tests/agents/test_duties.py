"""What counts as work and as getting on, for each duty of a worker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from agents.duties import duties
from agents.progress import Progress
from agents.watchdog import Duty

INBOX = ("t.inbox", 0)


class Parts:
    """The parts of a worker, as far as its duties ask them."""

    def __init__(self) -> None:
        self.is_ready = True
        self.progress = Progress()
        self.progress.start(INBOX, 5)
        self.is_anybody_due = False
        self.waiting_topics: set[str] = set()
        self.dispatch = SimpleNamespace(num_steps=0, has_work=lambda now_ms: self.is_anybody_due)
        self.recovery = SimpleNamespace(num_stored=0, num_left=0)
        self.app: Any = SimpleNamespace(
            should_stop=False,
            rebalancing_count=1,
            consumer_generation_id=1,
            consumer=SimpleNamespace(num_fetches=0),
            tables=SimpleNamespace(recovery=self.recovery),
        )
        partitions: Any = []
        dispatch: Any = self.dispatch
        made = duties(self.app, self.progress, partitions, dispatch, lambda: self.is_ready, 30.0, lambda: self.waiting_topics)
        self._duties: dict[str, Duty] = {duty.name: duty for duty in made}

    def mark(self, name: str) -> object:
        return self._duties[name].mark()

    def patience_seconds(self, name: str) -> float:
        return self._duties[name].patience_seconds


@pytest.fixture
def parts() -> Parts:
    return Parts()


def test_an_idle_worker_has_only_to_fetch(parts: Parts) -> None:
    assert [name for name in ("recover", "fetch", "read", "commit", "evolve") if parts.mark(name) is not None] == ["fetch"]
    before = parts.mark("fetch")
    parts.app.consumer.num_fetches += 1
    assert parts.mark("fetch") != before


def test_what_was_handed_over_is_to_be_read_and_what_was_read_to_be_committed(parts: Parts) -> None:
    parts.progress.hand_over(INBOX, [5, 6])
    before = parts.mark("read")
    assert before is not None
    assert parts.mark("commit") is None
    parts.progress.done(INBOX, 5)
    assert parts.mark("read") not in (None, before)
    uncommitted = parts.mark("commit")
    assert uncommitted is not None
    parts.progress.done(INBOX, 6)
    assert parts.mark("read") is None
    assert parts.mark("commit") == uncommitted  # reading on is no commit
    parts.progress.committed({INBOX: 6})
    assert parts.mark("commit") not in (None, uncommitted)
    parts.progress.committed({INBOX: 7})
    assert parts.mark("commit") is None


def test_what_waits_for_a_schema_registry_is_no_work(parts: Parts) -> None:
    """A restart would not bring it back."""
    parts.progress.hand_over(INBOX, [5])
    parts.waiting_topics.add("t.inbox")
    assert parts.mark("read") is None
    parts.progress.start(("clicks", 0), 0)
    parts.progress.hand_over(("clicks", 0), [0])
    assert parts.mark("read") is not None


def test_offsets_that_nobody_will_ever_read_are_no_work(parts: Parts) -> None:
    """Behind an aborted transaction the end of the topic lies beyond all that is handed over."""
    parts.progress.hand_over(INBOX, [5])
    parts.progress.done(INBOX, 5)
    assert parts.mark("read") is None


def test_who_is_due_is_to_be_evolved(parts: Parts) -> None:
    parts.is_anybody_due = True
    before = parts.mark("evolve")
    assert before is not None
    parts.dispatch.num_steps += 1
    assert parts.mark("evolve") != before
    assert parts.patience_seconds("evolve") == 60.0


def test_until_it_is_ready_a_worker_has_to_recover_and_nothing_else(parts: Parts) -> None:
    parts.is_ready, parts.is_anybody_due = False, True
    parts.progress.hand_over(INBOX, [5])
    assert [name for name in ("recover", "fetch", "read", "commit", "evolve") if parts.mark(name) is not None] == ["recover"]
    before = parts.mark("recover")
    parts.recovery.num_stored += 1
    assert parts.mark("recover") != before


@pytest.mark.parametrize("is_ready", [True, False])
def test_a_worker_that_was_asked_to_stop_has_no_duties(parts: Parts, is_ready: bool) -> None:
    parts.is_ready, parts.app.should_stop, parts.is_anybody_due = is_ready, True, True
    assert {parts.mark(name) for name in ("recover", "fetch", "read", "commit", "evolve")} == {None}
