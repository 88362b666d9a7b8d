"""Flushes: each turn of a user, from when they are taken up until it is known what became of it; its line and its trace.

Place in the flow: dispatch begins one, and whoever settles the turn ends it: write back, or dispatch itself. A turn whose
partition is lost before its version is acknowledged has no line: its next owner begins it again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import structlog

from agents.owned import Owned
from agents.tenant_metrics import TenantLabels
from agents.tracing import OFF, Tracing
from agents.writer import Headers
from prefstream.tenants import tenant_of
from streams.evolution.records import CallResult, Completion
from streams.pending import Due
from streams.versions import Step

log = structlog.get_logger()

FlushOutcome = Literal[
    "published",  # a new version is durable
    "spared",  # the same, without a call
    "rejected",  # the guards refused the answer, and the old version stays
    "refused",  # the model server refused the prompt
    "unavailable",  # no answer
    "stale",  # the user had changed meanwhile, or the partition is somebody else's
    "unprocessable",  # a defect of ours
    "cancelled",  # a rebalance or the end of the worker came first
]


class Flush:
    """One turn of one user. What is noted here is numbers and reasons: nothing of who it is, or what they like."""

    def __init__(self, flushes: Flushes, owned: Owned, due: Due) -> None:
        self._flushes = flushes
        self.partition = owned.number
        self.reason = due.reason
        self.tenant = flushes.tenants.of(tenant_of(due.user))
        self.num_events = 0
        self.num_new_events = len(due.offsets)
        self.num_calls = 0
        self.call_seconds = 0.0
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self._trace = flushes.tracing.flushes(owned.number, due)

    def covers(self, step: Step) -> None:
        """Note which events it is about: those of the step, on top of what the user's summary covers."""
        self.num_new_events = len(step.offsets)
        self.num_events = self.num_new_events + (step.base.num_events if step.base else 0)

    def calls(self) -> Mapping[str, str]:
        """A call begins; the headers that tell the model's server of which trace it is, if it is traced."""
        return self._trace.calls()

    def called(self, result: CallResult, seconds: float) -> None:
        """Note a call that ended."""
        self._trace.called(result)
        self.num_calls += 1
        self.call_seconds += seconds
        if isinstance(result, Completion):
            self.prompt_tokens += result.prompt_tokens
            self.completion_tokens += result.completion_tokens

    def writes_back(self) -> Headers:
        """The version is on its way; the headers of its record."""
        return self._trace.writes_back()

    def published(self) -> None:
        """The version is durable."""
        self.ended("published" if self.num_calls else "spared")

    def ended(self, outcome: FlushOutcome, why: str = "") -> None:
        """It is known what became of the turn, and ``why``: one of few words, and none of the model's or of the server's."""
        self._trace.ended(outcome, why, self.num_new_events)
        self._flushes.say(self, outcome, why)


class Flushes:
    """The turns of a worker; each outcome has a line at most every ``seconds``, which says how many had none before it."""

    def __init__(self, tenants: TenantLabels, seconds: float, clock: Callable[[], float], tracing: Tracing = OFF) -> None:
        self.tenants = tenants
        self.tracing = tracing
        self._seconds = seconds
        self._clock = clock
        self._said_at: dict[tuple[str, str], float] = {}
        self._left_out: dict[tuple[str, str], int] = {}

    def begin(self, owned: Owned, due: Due) -> Flush:
        """A user is taken up."""
        return Flush(self, owned, due)

    def say(self, flush: Flush, outcome: FlushOutcome, why: str) -> None:
        """One line, unless one of the same outcome was said a moment ago: what is rare is never hidden by what is frequent."""
        key, now = (outcome, why), self._clock()
        if now - self._said_at.get(key, -self._seconds) < self._seconds:
            self._left_out[key] = self._left_out.get(key, 0) + 1
            return
        self._said_at[key] = now
        log.info(
            "flush",
            outcome=outcome,
            **({"why": why} if why else {}),
            reason=flush.reason,
            num_new_events=flush.num_new_events,
            num_events=flush.num_events,
            num_calls=flush.num_calls,
            call_ms=round(flush.call_seconds * 1_000),
            prompt_tokens=flush.prompt_tokens,
            completion_tokens=flush.completion_tokens,
            partition=flush.partition,
            tenant=flush.tenant,
            left_out=self._left_out.pop(key, 0),
        )
