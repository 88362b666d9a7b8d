"""Spare: publishes the next version without a call, where what the user has waiting says nothing new.

Place in the flow: between dispatch, which asks it first, and write back, which publishes what it makes as it does an answer.
All of it happens in one turn of the loop, so the version is based on what the user has now: nothing can come in between. A
version that a command made and that is still on its way is never passed by: after a command the model is asked.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from agents.failed_calls import FailedCalls
from agents.flushes import Flush
from agents.metrics import Metrics
from agents.owned import Owned, Rows
from agents.write_back import NextVersion, WriteBack
from prefstream.summaries import ModelUsed, Summary, encode_summary
from streams.controls import Controls
from streams.forgetting import Life
from streams.pending import Due
from streams.redaction import Redaction
from streams.sensitive_words import Category
from streams.sparing import SparePolicy, step_to_spare
from streams.versions import Step, spared_summary, step_from


class Spare:
    """What becomes of events that say nothing new. ``max_summary_tokens`` are those of a summary of one domain."""

    def __init__(
        self,
        model: ModelUsed,
        write_back: WriteBack,
        failed_calls: FailedCalls,
        metrics: Metrics,
        *,
        max_summary_tokens: int,
        redaction: Redaction,
        allowed: frozenset[Category] = frozenset(),
        policy: SparePolicy,
    ) -> None:
        self._model = model
        self._write_back = write_back
        self._failed_calls = failed_calls
        self._metrics = metrics
        self._max_summary_tokens = max_summary_tokens
        self._redaction = redaction
        self._allowed = allowed
        self._policy = policy

    def spare(self, owned: Owned, due: Due, flush: Flush) -> bool:
        """Whether the user, who is in flight, needs no call now: the events are covered without one, or met a defect."""
        base = owned.summary(due.user)
        if base is None or not self._policy.max_events:
            return False
        rows, controls, life = owned.rows(due), owned.controls(due.user), owned.life(due.user)
        match self._failed_calls.attempt(owned, due, lambda: self._version(due, base, rows, controls, life)):
            case "ask":
                return False
            case NextVersion() as version:
                self._metrics.spared_calls.labels(due.reason).inc()
                self._metrics.spared_events.inc(version.summary.num_new_events)
                flush.covers(version.step)
                self._write_back.publish(owned, due, version, flush)
            case None:
                flush.ended("unprocessable")
        return True

    def _version(self, due: Due, base: Summary, rows: Rows, controls: Controls, life: Life) -> NextVersion | Literal["ask"]:
        def step_of() -> Step:
            return step_from(due.user, base, rows, due.reason, controls, self._redaction, self._allowed, life)

        step = step_to_spare(base, rows, step_of, self._model, self._max_summary_tokens, self._policy)
        if step is None:
            return "ask"
        summary = spared_summary(step, step.base or base, datetime.now(UTC))
        return NextVersion(step, summary, encode_summary(summary))
