"""Metrics: every Prometheus metric of a worker, with its unit, labels and meaning. No label ever holds a user.

Place in the flow: agents count into it; :mod:`agents.health` serves it. What waits is read from the index at scrape time,
so a worker that hangs cannot show a stale number; what is not known then is left out, and not told as 0.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agents.clock import now_ms
from agents.progress import CommitOutcome
from agents.tenant_metrics import TenantLabels, Tenants
from model_server.breaker import BreakerState
from model_server.replicas import Standing
from prefstream.dead_letters import DeadLetterReason
from prefstream.receipts import ReceiptOutcome
from prefstream.summaries import FlushReason
from streams.backpressure import Weight
from streams.budgets import Budgets, Pool
from streams.evolution.guards import RejectionReason
from streams.failures import FailureKind
from streams.foresight import Verdict
from streams.ledger import Outcome
from streams.pending import PendingIndex

_CALL_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300)
_FRESHNESS_BUCKETS = (10, 60, 300, 900, 3_600, 14_400, 43_200, 86_400, 259_200, 604_800, 2_592_000)
_DELAY_BUCKETS = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_800, 3_600)
_REBALANCE_BUCKETS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_800)


class Waiting(Collector):
    """What waits right now: computed at each scrape from the indexes of the owned partitions, ``None`` while they are unknown.

    They are in a rebalance, and until the tables are recovered.
    """

    def __init__(self, indexes: Callable[[], Iterable[PendingIndex] | None], num_in_flight: Callable[[], int]) -> None:
        self._indexes = indexes
        self._num_in_flight = num_in_flight

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges. The oldest age is 0 when nothing waits."""
        meaning = "Users whose model call runs or whose answer is being stored."
        yield GaugeMetricFamily("prefstream_users_in_flight", meaning, value=self._num_in_flight())
        found = self._indexes()
        indexes = None if found is None else list(found)
        for name, meaning, measured in _WAITING:
            yield GaugeMetricFamily(
                f"prefstream_{name}",
                f"{meaning} Absent in a rebalance and a recovery, when it is not known.",
                value=None if indexes is None else measured(indexes),
            )


def _bytes_of(indexes: Iterable[PendingIndex]) -> int:
    weight = sum((index.weight for index in indexes), Weight())
    return weight.ordinary_bytes + weight.surplus_bytes


def _oldest_age_seconds(indexes: Iterable[PendingIndex]) -> float:
    oldest = min(filter(None, (index.oldest_arrived_at_ms() for index in indexes)), default=None)
    return max(0.0, (now_ms() - oldest) / 1_000) if oldest is not None else 0.0


_WAITING: tuple[tuple[str, str, Callable[[Sequence[PendingIndex]], float]], ...] = (
    ("owned_partitions", "Partitions of which this worker is the owner.", len),
    ("pending_users", "Users with pending events.", lambda indexes: sum(index.num_users for index in indexes)),
    ("pending_events", "Events stored and not yet in a summary.", lambda indexes: sum(index.num_events for index in indexes)),
    ("pending_bytes", "Memory that pending events take, as the gates estimate it.", _bytes_of),
    (
        "pending_oldest_age_seconds",
        "Age of the oldest pending event since it arrived; 0 when nothing waits.",
        _oldest_age_seconds,
    ),
)


class Ownership(Collector):
    """What was pending when partitions came and went: with it the accounting of one worker's events is exact."""

    def __init__(self, num_restored: Callable[[], int], num_released: Callable[[], int]) -> None:
        self._num_restored = num_restored
        self._num_released = num_released

    def collect(self) -> Iterator[Metric]:
        """The counters."""
        meaning = "Pending events that this worker found in the tables of partitions when it became their owner."
        yield CounterMetricFamily("prefstream_restored_events", meaning, value=self._num_restored())
        meaning = "Events that were pending in partitions when this worker gave them up."
        yield CounterMetricFamily("prefstream_released_events", meaning, value=self._num_released())


class Disk(Collector):
    """What the tables take on this worker's disk, and what is left of it."""

    def __init__(self, sizes: Callable[[], Mapping[str, int]], directory: Path) -> None:
        self._sizes = sizes
        self._directory = directory

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges; those of the disk are left out where the directory is not there."""
        meaning = "What RocksDB keeps of a table in this worker, on disk and in memory that is not written yet."
        stores = GaugeMetricFamily("prefstream_store_bytes", meaning, labels=["table"])
        for table, size in self._sizes().items():
            stores.add_metric([table], size)
        free = GaugeMetricFamily("prefstream_disk_free_bytes", "What is left of the disk with the tables, to this worker.")
        total = GaugeMetricFamily("prefstream_disk_size_bytes", "How large the disk with the tables is.")
        with suppress(OSError):
            usage = shutil.disk_usage(self._directory)
            free.add_metric([], usage.free)
            total.add_metric([], usage.total)
        yield from (stores, free, total)


class RecoveryTime(Collector):
    """How long a running recovery will still take."""

    def __init__(self, seconds_left: Callable[[], float | None]) -> None:
        self._seconds_left = seconds_left

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauge."""
        meaning = "How long a running recovery still takes at its speed so far; absent when none runs, or none reads yet."
        yield GaugeMetricFamily("prefstream_recovery_seconds_left", meaning, value=self._seconds_left())


class Unread(Collector):
    """What lies on the topics and is not read yet, by topic; a topic of which that is not known is left out."""

    def __init__(self, num_unread: Callable[[], Mapping[str, int]]) -> None:
        self._num_unread = num_unread

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauge."""
        meaning = (
            "Offsets of a topic that this worker reads and has not read yet, looked up every few seconds. A transaction's "
            "marker is one: where a transaction wrote last, 1 is left for each partition, as on the topic of replays."
        )
        family = GaugeMetricFamily("prefstream_unread_records", meaning, labels=["topic"])
        for topic, number in self._num_unread().items():
            family.add_metric([topic], number)
        yield family


class Standings(Collector):
    """How each replica of the model stands, by its number in the order of the addresses."""

    def __init__(self, standings: Callable[[], Sequence[Standing]]) -> None:
        self._standings = standings

    def collect(self) -> Iterator[Metric]:
        """The gauges, and a counter."""
        meaning = "Of a replica's states its own is 1: closed, open (no calls), half_open (a canary asks if it is back)."
        states = GaugeMetricFamily("prefstream_replica_states", meaning, labels=["replica", "state"])
        meaning = "Calls that a replica was sent and has not answered."
        in_flight = GaugeMetricFamily("prefstream_replica_calls_in_flight", meaning, labels=["replica"])
        meaning = "How many calls a replica may have in flight, as it has shown."
        places = GaugeMetricFamily("prefstream_replica_places", meaning, labels=["replica"])
        meaning = "Canaries that a replica did not answer."
        canaries = CounterMetricFamily("prefstream_replica_failed_canaries", meaning, labels=["replica"])
        for one in self._standings():
            number = str(one.number)
            for state in get_args(BreakerState):
                states.add_metric([number, state], one.state == state)
            in_flight.add_metric([number], one.num_in_flight)
            places.add_metric([number], one.capacity)
            canaries.add_metric([number], one.num_failed_canaries)
        yield from (states, in_flight, places, canaries)


def at_a_scrape() -> list[Collector]:
    """The collectors as of a worker that owns nothing: for what must know every name."""
    return [
        Waiting(list, lambda: 0),
        Ownership(lambda: 0, lambda: 0),
        Unread(dict),
        Standings(list),
        Disk(dict, Path()),
        RecoveryTime(lambda: None),
        Tenants(TenantLabels(), list, lambda: Pool(Budgets(), 0, (), 0)),
    ]


class Metrics:
    """The counters and histograms of one worker, on a registry of their own."""

    def labels_of(self, family: str) -> tuple[str, ...]:
        """The label names of a metric, by its name without suffix."""
        found = [metric._labelnames for metric in vars(self).values() if getattr(metric, "_name", None) == family]
        return tuple(found[0]) if found else ()

    def __init__(self, tenants: TenantLabels | None = None) -> None:
        self.registry = CollectorRegistry()
        self.tenants = tenants or TenantLabels()
        self._add_events()
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
            "the same id), filtered (without an event, or of who has opted out), erased (late, of who was forgotten), command.",
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
        self.stalled = self._gauge(
            "stalled_seconds",
            "For how long a duty of this worker has had work and got on with none of it: recover, fetch, read, commit, evolve.",
            "duty",
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
