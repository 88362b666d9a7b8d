"""Metrics: every Prometheus metric of a worker, with its unit, labels and meaning. No label ever holds a user.

Place in the flow: agents count into it; :mod:`agents.health` serves it. What waits is read from the index at scrape time,
so a worker that hangs cannot show a stale number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agents.clock import now_ms
from model_server.breaker import BreakerState
from model_server.replicas import Standing
from streams.backpressure import Weight
from streams.pending import PendingIndex

_CALL_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300)
_DELAY_BUCKETS = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_800, 3_600)


class Waiting(Collector):
    """What waits right now: computed at each scrape from the indexes of the owned partitions."""

    def __init__(self, indexes: Callable[[], Iterable[PendingIndex]], num_in_flight: Callable[[], int]) -> None:
        self._indexes = indexes
        self._num_in_flight = num_in_flight

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges. The oldest age is 0 when nothing waits."""
        indexes = list(self._indexes())
        oldest = min(filter(None, (index.oldest_arrived_at_ms() for index in indexes)), default=None)
        age = max(0.0, (now_ms() - oldest) / 1_000) if oldest is not None else 0.0
        yield _gauge("prefstream_pending_users", "Users with pending events.", sum(index.num_users for index in indexes))
        yield _gauge("prefstream_pending_events", "Events stored and not yet in a summary.", sum(i.num_events for i in indexes))
        weight = sum((index.weight for index in indexes), Weight())
        memory = weight.ordinary_bytes + weight.surplus_bytes
        yield _gauge("prefstream_pending_bytes", "Memory that pending events take, as the gates estimate it.", memory)
        yield _gauge("prefstream_pending_oldest_age_seconds", "Age of the oldest pending event since it arrived.", age)
        yield _gauge(
            "prefstream_users_in_flight",
            "Users whose model call runs or whose answer is being stored.",
            self._num_in_flight(),
        )


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


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, meaning, value=value)


class Metrics:
    """The counters and histograms of one worker, on a registry of their own."""

    def labels_of(self, family: str) -> tuple[str, ...]:
        """The label names of a metric, by its name without suffix."""
        found = [metric._labelnames for metric in vars(self).values() if getattr(metric, "_name", None) == family]
        return tuple(found[0]) if found else ()

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._add_events()
        self._add_calls()
        self._add_flow()

    def _add_events(self) -> None:
        self.source_records = self._counter("source_records", "Records read from a source topic.", "topic")
        self.expired_records = self._counter(
            "expired_records", "Offsets of a source topic or the keyed one that were removed before they were read.", "topic"
        )
        self.filtered_records = self._counter(
            "filtered_records", "Records of a source topic that make no event: they say nothing of anybody's taste.", "topic"
        )
        self.dead_letters = self._counter("dead_letters", "Records that can never succeed, by reason.", "reason")
        self.collected = self._counter(
            "collected_events",
            "Events and commands of the keyed topic by what became of them: accepted, redelivered, duplicate (another record, "
            "the same id), filtered (a source record that makes no event, or an event of who has opted out), command.",
            "outcome",
        )
        self.receipts = self._counter("receipts", "Receipts of commands: applied, unchanged or refused.", "outcome")
        self.applied = self._counter("applied_events", "Events covered by a durable summary.")
        self.summaries = self._counter("summaries", "Summaries made durable.")
        self.redacted = self._counter(
            "redacted_details",
            "Personal details left out of the evidence that durable summaries cover, by kind: email, card, phone, address.",
            "kind",
        )

    def _add_calls(self) -> None:
        self.flushes = self._counter(
            "flushes", "Evolve calls begun, by why the user was due; one that is made again at once is one.", "reason"
        )
        self.spared_calls = self._counter(
            "spared_calls",
            "Evolve calls not made, because the events of the user said nothing new, by why the user was due.",
            "reason",
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
        )
        self.failures = self._counter(
            "failed_calls",
            "Calls that count as a failure of the user, not of the model: refused, rejected, unanswered while others are, or "
            "unprocessable by a defect of prefstream itself.",
            "kind",
        )
        self.rejected = self._counter("rejected_rewrites", "Answers the guards refused, by reason.", "reason")
        self.rescued = self._counter(
            "rescued_rewrites", "Answers accepted when the model was asked again, by why the first was refused.", "reason"
        )
        self.call_seconds = self._histogram("call_seconds", "How long an evolve call took.", _CALL_BUCKETS)
        self.prompt_tokens = self._counter("prompt_tokens", "Prompt tokens the model reported.")
        self.cached_tokens = self._counter("cached_tokens", "Of the prompt tokens those that the model had read before.")
        self.completion_tokens = self._counter("completion_tokens", "Answer tokens the model reported, thoughts included.")
        self.reasoning_tokens = self._counter("reasoning_tokens", "Of the answer tokens those that were thoughts.")

    def _add_flow(self) -> None:
        self.arrival_to_summary = self._histogram(
            "arrival_to_summary_seconds",
            "From the arrival of the oldest event of a step to its durable summary.",
            _DELAY_BUCKETS,
        )
        self.recovery_records_left = self._gauge(
            "recovery_records_left",
            "Changelog offsets a recovery has yet to read, at most so many records; 0 when no recovery runs.",
        )
        self.gate_closed = self._gauge(
            "gate_closed",
            "Whether nothing is read through this gate, because the memory for waiting events is full: intake, collect.",
            "gate",
        )

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"prefstream_{name}_total", meaning, labels, registry=self.registry)

    def _histogram(self, name: str, meaning: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(f"prefstream_{name}", meaning, buckets=buckets, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"prefstream_{name}", meaning, labels, registry=self.registry)
