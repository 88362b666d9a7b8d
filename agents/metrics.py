"""Metrics: what a worker counts, times and sets, each metric with its unit, labels and meaning. No label ever holds a user.

Place in the flow: agents count into it; :mod:`agents.health` serves it, with what :mod:`agents.scrape` measures then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from agents.progress import CommitOutcome
from agents.tenant_metrics import TenantLabels
from prefstream.dead_letters import DeadLetterReason
from prefstream.receipts import ReceiptOutcome
from prefstream.summaries import FlushReason
from streams.evolution.guards import RejectionReason
from streams.failures import FailureKind
from streams.foresight import Verdict
from streams.ledger import Outcome

_CALL_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300)
_FRESHNESS_BUCKETS = (10, 30, 60, 120, 300, 900, 3_600, 14_400, 43_200, 86_400, 259_200, 604_800, 2_592_000)
# An update that waited for its age takes 60 s and a call, and 120 s is the objective: between the two it is told apart.
_DELAY_BUCKETS = (0.5, 1, 2, 5, 10, 20, 30, 60, 65, 75, 90, 120, 180, 300, 600, 1_800, 3_600)
_REBALANCE_BUCKETS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_800)


class Metrics:
    """The counters and histograms of one worker, on a registry of their own."""

    def labels_of(self, family: str) -> tuple[str, ...]:
        """The label names of a metric, by its name without suffix."""
        found = [metric._labelnames for metric in vars(self).values() if getattr(metric, "_name", None) == family]
        return tuple(found[0]) if found else ()

    def __init__(self, tenants: TenantLabels | None = None) -> None:
        # When each series began: as many series again, which nobody asks for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.tenants = tenants or TenantLabels()
        self._add_events()
        self._add_schemas()
        self._add_left_out()
        self._add_calls()
        self._add_costs()
        self._add_delays()
        self._add_flow()
        self._add_tenants()

    def _add_events(self) -> None:
        self.source_records = self._counter("source_records", "Records read from a source topic.", "topic")
        self.expired_records = self._counter(
            "expired_records", "Offsets of a source topic or the keyed one that were removed before they were read.", "topic"
        )
        self.filtered_records = self._counter(
            "filtered_records", "Records of a source topic that make no event: they say nothing of anybody's taste.", "topic"
        )
        self.dead_letters = self._counter(
            "dead_letters", "Records that can never succeed, by reason.", "reason", values=get_args(DeadLetterReason)
        )
        self.collected = self._counter(
            "collected_events",
            "Events and commands of the keyed topic by what became of them: accepted, redelivered, duplicate (another record, "
            "the same id), dead (nothing that intake wrote), filtered (without an event, or of who has opted out), erased "
            "(late, of who was forgotten), command.",
            "outcome",
            values=get_args(Outcome),
        )
        self.receipts = self._counter(
            "receipts", "Receipts of commands: applied, unchanged or refused.", "outcome", values=get_args(ReceiptOutcome)
        )
        self.applied = self._counter("applied_events", "Events covered by a durable summary.")
        self.impressions = self._counter(
            "applied_impressions",
            "Of these events the impressions without a reaction, of which several count as one for a flush.",
        )
        self.summaries = self._counter("summaries", "Summaries made durable.")
        self.tested_choices = self._counter(
            "tested_choices",
            "Clear choices of users, each put to the summary in force before it is learnt from: told (its words lean to what "
            "was chosen), mistaken (to what was not), silent (to neither).",
            "verdict",
            values=get_args(Verdict),
        )

    def _add_schemas(self) -> None:
        self.unanswered_schema_requests = self._counter(
            "unanswered_schema_requests",
            "Questions to the schema registry that met an outage, and are asked again: what is no registry's own word is one.",
        )
        self.waiting_for_schemas = self._gauge(
            "waiting_for_schemas",
            "Partitions of a source topic whose next record waits for a schema of the registry; while there is one, nothing "
            "more is fetched of the topic.",
            "topic",
        )

    def _add_left_out(self) -> None:
        self.redacted = self._counter(
            "redacted_details",
            "Personal details left out of the evidence that durable summaries cover, by kind: email, card, phone, address.",
            "kind",
        )
        self.sensitive = self._counter(
            "sensitive_passages",
            "Sentences, searches and attributes left out of the evidence that durable summaries cover, because they speak of "
            "the person on a sensitive matter that is off, by category.",
            "category",
        )

    def _add_calls(self) -> None:
        self.flushes = self._counter(
            "flushes",
            "Evolve calls begun, by why the user was due; one that is made again at once is one.",
            "reason",
            values=get_args(FlushReason),
        )
        self.spared_calls = self._counter(
            "spared_calls",
            "Evolve calls not made, because the events of the user said nothing new, by why the user was due.",
            "reason",
            values=get_args(FlushReason),
        )
        self.spared_events = self._counter("spared_events", "Events that these calls would have covered: counted without one.")
        self.cuts = self._counter(
            "prompt_cuts",
            "Prompts that would not have fitted the model's context, by what gave way: events (the newest wait for the next "
            "call), words (of a single event), summary (the end of a long one), tally (older titles).",
            "part",
        )
        self.calls = self._counter(
            "calls",
            "Evolve calls ended, by result: completion, unavailable, refused, or stale (ownership or version had changed).",
            "result",
            values=("completion", "unavailable", "refused", "stale"),
        )
        self.failures = self._counter(
            "failed_calls",
            "Calls that count as a failure of the user, not of the model: refused, rejected, unanswered while others are, or "
            "unprocessable by a defect of prefstream itself.",
            "kind",
            values=get_args(FailureKind),
        )
        self.rejected = self._counter(
            "rejected_rewrites", "Answers the guards refused, by reason.", "reason", values=get_args(RejectionReason)
        )
        self.rescued = self._counter(
            "rescued_rewrites", "Answers accepted when the model was asked again, by why the first was refused.", "reason"
        )

    def _add_costs(self) -> None:
        self.call_seconds = self._histogram("call_seconds", "How long an evolve call took.", _CALL_BUCKETS)
        self.prompt_tokens = self._counter("prompt_tokens", "Prompt tokens the model reported.")
        self.cached_tokens = self._counter("cached_tokens", "Of the prompt tokens those that the model had read before.")
        self.completion_tokens = self._counter("completion_tokens", "Answer tokens the model reported, thoughts included.")
        self.reasoning_tokens = self._counter("reasoning_tokens", "Of the answer tokens those that were thoughts.")
        self.token_prices = self._gauge(
            "token_prices",
            "Price of a million tokens as PREFSTREAM_PRICES says, in the currency it is written in: prompt (those not read "
            "before), cached, completion. Absent without prices.",
            "tokens",
        )

    def _add_tenants(self) -> None:
        self.tenant_calls = self._counter(
            "tenant_calls", "Calls of the model that ended, by tenant.", "tenant", values=tuple(self.tenants)
        )
        self.tenant_tokens = self._counter(
            "tenant_tokens",
            "Tokens that count for budgets, by tenant: of prompts and answers, as the model reported them.",
            "tenant",
            values=tuple(self.tenants),
        )
        self.tenant_summaries = self._counter(
            "tenant_summaries", "Summaries made durable, by tenant.", "tenant", values=tuple(self.tenants)
        )
        self.tenant_gate_closed = self._gauge(
            "tenant_gate_closed",
            "Whether nothing is read from a tenant's own topics, because what waits of it fills its part of the memory.",
            "tenant",
        )
        self.deferrals = self._counter(
            "deferrals",
            "How often somebody had to wait for tokens, by whose budget was used up: system and tenant (counted when it is), "
            "user (for each of their turns).",
            "budget",
            values=("system", "tenant", "user"),
        )

    def _add_delays(self) -> None:
        self.arrival_to_summary = self._histogram(
            "arrival_to_summary_seconds",
            "From the arrival of the oldest event of a step to its durable summary.",
            _DELAY_BUCKETS,
        )
        self.event_to_summary = self._histogram(
            "event_to_summary_seconds",
            "From the newest event of a step, by its own time, to its durable summary: how fresh a summary is when it comes. "
            "What a platform holds back, or loads late, is in it; an event dated ahead counts from its arrival.",
            _FRESHNESS_BUCKETS,
        )

    def _add_flow(self) -> None:
        self.erased = self._counter("erased_events", "Events that were pending when their user was forgotten.")
        self.recovery_records_left = self._gauge(
            "recovery_records_left",
            "Changelog offsets a recovery has yet to read, at most so many records; 0 when no recovery runs.",
        )
        self.partitions = self._gauge("partitions", "Partitions of the keyed topics: each of them needs an owner.")
        self.ready = self._gauge("ready", "Whether this worker is ready: recovered, in no rebalance, and getting on.")
        self.broker_away = self._gauge("broker_away", "Whether Kafka did not answer this worker's last look at its topics.")
        self.stalled = self._gauge(
            "stalled_seconds",
            "For how long a duty of this worker has had work and got on with none of it: recover, fetch, read, commit, evolve.",
            "duty",
        )
        self.spans = self._counter(
            "spans",
            "Spans of traces that ended, by what became of them: exported; refused by the collector; dropped while it was away "
            "or slow, or because there were too many.",
            "outcome",
            values=("exported", "refused", "dropped"),
        )
        self.commits = self._counter(
            "commits",
            "Commits of offsets: done, refused by the broker, or cut_short by a rebalance before all was durable.",
            "outcome",
            values=get_args(CommitOutcome),
        )
        self.rebalance_seconds = self._histogram(
            "rebalance_seconds",
            "From the moment a rebalance stops this worker until it goes on, recovery included; the first one too.",
            _REBALANCE_BUCKETS,
        )
        self.gate_closed = self._gauge(
            "gate_closed",
            "Whether nothing is read through this gate, because the memory for waiting events is full: intake, collect.",
            "gate",
        )

    def _counter(self, name: str, meaning: str, *labels: str, values: Iterable[str] = ()) -> Counter:
        """A counter. One with a label of known ``values`` begins with all of them at 0: else the first of each is no rise."""
        counter = Counter(f"prefstream_{name}_total", meaning, labels, registry=self.registry)
        for value in values:
            counter.labels(value)
        return counter

    def _histogram(self, name: str, meaning: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(f"prefstream_{name}", meaning, buckets=buckets, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"prefstream_{name}", meaning, labels, registry=self.registry)
