"""Write back: the single commit point. Judges an answer and publishes the next version, or keeps the old one.

Place in the flow: after the model, last. It runs in the same turn of the loop as the checks it makes, so nothing can change
between a check and the write: ownership, base version and controls must be those the call started from. An answer that is
rejected goes back to :mod:`agents.dispatch` once, to be asked for again; a call that failed to :mod:`agents.failed_calls`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import structlog
from msgspec import Struct

from agents.clock import now_ms as _now_ms
from agents.failed_calls import FailedCalls
from agents.flushes import Flush
from agents.metrics import Metrics
from agents.owned import Owned
from model_server.tokenizer import TokenCounter
from prefstream.summaries import ModelUsed, Summary, encode_summary
from streams.availability import Availability
from streams.evidence import is_impression
from streams.evolution.attempts import Attempt, applied, judged
from streams.evolution.dialects import Dialect
from streams.evolution.guards import Accepted, GuardLimits, Rejected
from streams.evolution.records import CallResult, Completion, Refused, Unavailable
from streams.failures import Failure
from streams.foresight import Verdict, verdicts
from streams.pending import Due
from streams.versions import Step

log = structlog.get_logger()


class Call(Struct, frozen=True):
    """One call of the model and for whom it is made.

    It ``is_probe`` where an outage may be over. ``rejected`` is why the answer to the call that it repeats is none.
    """

    owned: Owned
    due: Due
    attempt: Attempt
    is_probe: bool
    flush: Flush
    rejected: Rejected | None = None


class NextVersion(Struct, frozen=True):
    """A user's next version, the step that it is made of, and the record that it is; how the one before it stood the test."""

    step: Step
    summary: Summary
    encoded: bytes
    verdicts: Mapping[Verdict, int] = {}


def is_overtaken(call: Call) -> bool:
    """Whether the user has another version or life, or has asked for something, since the call began, or is about to."""
    owned, user, step = call.owned, call.due.user, call.attempt.step
    current = owned.summary(user)
    if owned.life(user) != step.life or owned.is_deciding(user):
        return True
    if (current.version if current else step.life.last_version) != step.base_version:
        return True
    return owned.controls(user).applied_position != step.controls.applied_position


class WriteBack:
    """What becomes of an answer."""

    def __init__(
        self,
        dialect: Dialect,
        tokens: TokenCounter,
        limits: GuardLimits,
        model: ModelUsed,
        availability: Availability,
        failed_calls: FailedCalls,
        metrics: Metrics,
    ) -> None:
        self._dialect = dialect
        self._tokens = tokens
        self._limits = limits
        self._model = model
        self._availability = availability
        self._failed_calls = failed_calls
        self._metrics = metrics

    def write_back(self, call: Call, result: CallResult, retry_at_ms: int | None, *, may_repeat: bool) -> Rejected | None:
        """Apply the result of one call. ``retry_at_ms``: when to try again in an outage, which it met or was a probe of.

        Returns why its answer is rejected, where the call ``may_repeat`` at once: then the user stays in flight for it.
        """
        owned, due = call.owned, call.due
        if not owned.is_alive:
            self._stale(call)
            return None
        if is_overtaken(call):
            self._stale(call)
            owned.index.released(due.user, _now_ms())
            return None
        match result:
            case Unavailable(reason=reason, message=message):
                self._metrics.calls.labels("unavailable").inc()
                call.flush.ended("unavailable", reason)
                if retry_at_ms is not None and (call.is_probe or not result.is_cut_short):
                    owned.index.released(due.user, retry_at_ms)
                else:  # also one that met the beginning of an outage: it may have been its reason
                    self._failed_calls.note(owned, due, Failure("unanswered", f"{reason}: {message}"), retry_at_ms)
            case Refused(status=status, message=message):
                self._metrics.calls.labels("refused").inc()
                call.flush.ended("refused", f"HTTP {status}")
                self._failed_calls.note(owned, due, Failure("refused", f"HTTP {status}: {message}"))
            case Completion():
                self._metrics.calls.labels("completion").inc()
                return self._judge(call, result, may_repeat)
        return None

    def _stale(self, call: Call) -> None:
        self._metrics.calls.labels("stale").inc()
        call.flush.ended("stale")

    def _count_tokens(self, answer: Completion) -> None:
        self._metrics.prompt_tokens.inc(answer.prompt_tokens)
        self._metrics.cached_tokens.inc(answer.cached_tokens)
        self._metrics.completion_tokens.inc(answer.completion_tokens)
        self._metrics.reasoning_tokens.inc(answer.reasoning_tokens)

    def _judge(self, call: Call, answer: Completion, may_repeat: bool) -> Rejected | None:
        match self._failed_calls.attempt(call.owned, call.due, lambda: self._judged(call, answer)):
            case Rejected() as rejected:
                self._metrics.rejected.labels(rejected.reason).inc()
                if may_repeat:
                    return rejected
                call.flush.ended("rejected", rejected.reason)
                self._failed_calls.note(call.owned, call.due, Failure("rejected", f"{rejected.reason}: {rejected.message}"))
            case NextVersion() as accepted:
                if call.rejected is not None:
                    self._metrics.rescued.labels(call.rejected.reason).inc()
                self._availability.accepted(call.due.user, _now_ms())
                self.publish(call.owned, call.due, accepted, call.flush)
            case None:
                call.flush.ended("unprocessable")
        return None

    def _judged(self, call: Call, answer: Completion) -> Rejected | NextVersion:
        """What the answer makes of the user's summary. All that can meet a defect of ours is here, before anything is done."""
        self._count_tokens(answer)
        match judged(call.attempt, answer, self._dialect, self._tokens.counted, self._limits):
            case Rejected() as rejected:
                return rejected
            case Accepted() as accepted:
                summary = applied(call.attempt, accepted, self._model, datetime.now(UTC))
                step = call.attempt.step
                return NextVersion(step, summary, encode_summary(summary), verdicts(step.old_text, step.evidence))

    def publish(self, owned: Owned, due: Due, version: NextVersion, flush: Flush) -> None:
        """Publish the version, which is based on what the user has now; the user is free again when it is durable."""
        step, summary = version.step, version.summary

        def durable() -> None:
            flush.published()
            now_ms = _now_ms()
            owned.settled(due.user, summary.position, now_ms)
            self._metrics.summaries.inc()
            self._metrics.tenant_summaries.labels(self._metrics.tenants.of(step.tenant)).inc()
            self._metrics.applied.inc(summary.num_new_events)
            self._metrics.impressions.inc(sum(map(is_impression, step.evidence)))
            for kind, number in step.redacted.items():
                self._metrics.redacted.labels(kind).inc(number)
            for verdict, number in version.verdicts.items():
                self._metrics.tested_choices.labels(verdict).inc(number)
            for category, number in step.left_out.items():
                self._metrics.sensitive.labels(category).inc(number)
            self._metrics.arrival_to_summary.observe(max(0.0, (now_ms - step.arrived_at_ms) / 1_000))
            self._metrics.event_to_summary.observe(max(0.0, now_ms / 1_000 - step.newest_at_seconds))
            log.debug("summary durable", reason=summary.reason, events=summary.num_new_events, version=summary.version)

        owned.publish(due.user, summary, version.encoded, step, durable, flush.writes_back())
