"""Every metric says what it means and in which unit, and no label can hold a user: their values are closed sets."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric

import agents
from agents.metrics import Disk, Metrics, RecoveryTime, Standings, Unread, Waiting, at_a_scrape
from model_server.replicas import Standing
from prefstream.dead_letters import Origin
from streams.backpressure import EVENT_BYTES, USER_BYTES
from streams.flush import FlushPolicy
from streams.pending import Known, PendingIndex
from streams.records import Arrival

NOW_SECONDS = 2_000.0
# What is counted is a plural noun; what is measured ends in its unit.
NAMES = {
    "counter": r"prefstream_\w+s_total",
    "histogram": r"prefstream_\w+_seconds",
    "gauge": r"prefstream_(\w+(s|_in_flight|_left|_closed|_ratio)|ready)",
}

# Where a label's value may come from, beside a word of the source itself. All but the topic, which the settings name, are
# closed by their type.
CLOSED = {
    "message.topic",  # a configured source
    "raw.topic",  # a configured source
    "source.topic",  # one of them, or the keyed topic
    "letter.reason",  # DeadLetterReason
    "due.reason",  # FlushReason
    "failure.kind",  # FailureKind
    "outcome",  # Outcome
    "receipt.outcome",  # ReceiptOutcome
    "rejected.reason",  # RejectionReason
    "call.rejected.reason",  # RejectionReason
    "cut",  # Cut
    "verdict",  # Verdict
    "value",  # the closed sets themselves, which begin at 0
    "kind",  # Kind of redaction; TokenKind
    "category",  # Category of what is sensitive
    "one.duty.name",  # DutyName
    "tenant",  # a tenant whom the settings give topics
    "self._metrics.tenants.of(step.tenant)",  # TenantLabels
    "label",  # TenantLabels
    "'system' if tenant is None else 'tenant'",
}


def indexes(*arrived_at_ms: list[int]) -> list[PendingIndex]:
    """Partitions in which one user each time has an event that arrived then."""
    made = []
    for times in arrived_at_ms:
        index = PendingIndex(FlushPolicy())
        for n, at_ms in enumerate(times):
            index.admit(b"ada%d" % n, n, Arrival(Origin("T1", 0, n), at_ms, 5, "", msgspec.Raw(b"\x80")), Known())
        made.append(index)
    return made


def gauges(waiting: Waiting) -> dict[str, float]:
    return {sample.name.removeprefix("prefstream_"): sample.value for family in waiting.collect() for sample in family.samples}


def families() -> list[Metric]:
    metrics = Metrics()
    for collector in at_a_scrape():
        metrics.registry.register(collector)
    return list(metrics.registry.collect())


@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
def test_every_metric_has_a_meaning_and_a_unit(family: Metric) -> None:
    assert family.documentation[:1].isupper()
    assert family.documentation.endswith(".")
    # The library keeps a counter's name without its suffix, and exposes it with.
    assert re.fullmatch(NAMES[family.type], family.name + "_total" * (family.type == "counter"))


def label_values() -> Iterator[str]:
    """The source of every value that the agents give to a label."""
    for path in Path(agents.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "labels":
                assert not node.keywords
                yield from (ast.unparse(argument) for argument in node.args if not isinstance(argument, ast.Constant))


def test_a_labels_value_comes_from_a_closed_set() -> None:
    assert set(label_values()) == CLOSED


def test_what_a_label_may_be_is_there_from_the_beginning() -> None:
    """Or the first dead letter of a reason, and the first call that fails, would be no rise."""
    value = Metrics().registry.get_sample_value
    assert value("prefstream_dead_letters_total", {"reason": "poison"}) == 0
    assert value("prefstream_collected_events_total", {"outcome": "accepted"}) == 0
    assert value("prefstream_calls_total", {"result": "unavailable"}) == 0


def test_a_worker_has_a_bounded_number_of_series() -> None:
    """Without topics, replicas and tables, which its settings number."""
    metrics = Metrics()
    for collector in at_a_scrape():
        metrics.registry.register(collector)
    numbers = {"stalled": 5, "cuts": 4, "redacted": 4, "rescued": 13, "spared_calls": 5, "gate_closed": 2}
    for name, values in numbers.items():
        for value in range(values):
            getattr(metrics, name).labels(str(value))
    assert sum(len(family.samples) for family in metrics.registry.collect()) < 300


def test_only_these_labels_exist() -> None:
    metrics = [metric for metric in vars(Metrics()).values() if isinstance(metric, MetricWrapperBase)]
    assert {label for metric in metrics for label in metric._labelnames} == {
        "topic",
        "category",
        "reason",
        "outcome",
        "result",
        "kind",
        "part",
        "gate",
        "duty",
        "verdict",
        "tokens",
        "tenant",
        "budget",
    }


@pytest.mark.parametrize(
    ("partitions", "users", "events", "age_seconds"),
    [
        ([], 0, 0, 0.0),
        ([[]], 0, 0, 0.0),
        ([[], [1_940_000]], 1, 1, 60.0),
        ([[1_990_000, 1_940_000], [1_900_000]], 3, 3, 100.0),
        ([[2_500_000]], 1, 1, 0.0),
    ],
)
def test_what_waits_is_counted_at_the_scrape(
    monkeypatch: pytest.MonkeyPatch, partitions: list[list[int]], users: int, events: int, age_seconds: float
) -> None:
    monkeypatch.setattr("agents.metrics.now_ms", lambda: int(NOW_SECONDS * 1_000))
    made = indexes(*partitions)
    assert gauges(Waiting(lambda: made, lambda: 7)) == {
        "owned_partitions": len(partitions),
        "pending_users": users,
        "pending_events": events,
        "pending_bytes": users * USER_BYTES + events * EVENT_BYTES,
        "pending_oldest_age_seconds": age_seconds,
        "users_in_flight": 7,
    }


def test_what_is_not_known_is_left_out_and_not_told_as_nothing() -> None:
    assert gauges(Waiting(lambda: None, lambda: 7)) == {"users_in_flight": 7}


def test_a_recovery_says_how_long_it_takes_as_soon_as_it_can_tell() -> None:
    left: list[float | None] = [None, 12.5]
    registry = CollectorRegistry()
    registry.register(RecoveryTime(lambda: left[0]))
    assert registry.get_sample_value("prefstream_recovery_seconds_left") is None
    left.pop(0)
    assert registry.get_sample_value("prefstream_recovery_seconds_left") == 12.5


def test_the_disk_is_that_of_the_tables_and_left_out_before_there_is_one(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    registry.register(Disk(lambda: {"pending": 7, "summaries": 9}, tmp_path / "state"))
    assert registry.get_sample_value("prefstream_store_bytes", {"table": "summaries"}) == 9
    assert registry.get_sample_value("prefstream_disk_free_bytes") is None
    (tmp_path / "state").mkdir()
    free, size = (registry.get_sample_value(f"prefstream_disk_{what}_bytes") for what in ("free", "size"))
    assert free is not None
    assert size is not None
    assert 0 < free < size


def test_a_partition_that_comes_later_is_counted_too() -> None:
    owned: list[PendingIndex] = []
    waiting = Waiting(lambda: owned, lambda: 0)
    registry = CollectorRegistry()
    registry.register(waiting)
    assert registry.get_sample_value("prefstream_pending_users") == 0
    owned += indexes([1_000])
    assert registry.get_sample_value("prefstream_pending_users") == 1


def test_a_topic_whose_end_is_unknown_is_left_out() -> None:
    registry = CollectorRegistry()
    registry.register(Unread(lambda: {"clicks": 7}))
    assert registry.get_sample_value("prefstream_unread_records", {"topic": "clicks"}) == 7
    assert registry.get_sample_value("prefstream_unread_records", {"topic": "t.inbox"}) is None


def test_each_replica_stands_under_its_number() -> None:
    registry = CollectorRegistry()
    registry.register(Standings(lambda: [Standing(1, "closed", 5, 32, 0), Standing(2, "half_open", 0, 7, 3)]))
    samples = {
        (sample.name.removeprefix("prefstream_replica_"), *sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.value
    }
    assert samples == {
        ("states", "1", "closed"): 1,
        ("states", "2", "half_open"): 1,
        ("calls_in_flight", "1"): 5,
        ("places", "1"): 32,
        ("places", "2"): 7,
        ("failed_canaries_total", "2"): 3,
    }


def test_workers_do_not_share_their_numbers() -> None:
    one, other = Metrics(), Metrics()
    one.summaries.inc()
    assert other.registry.get_sample_value("prefstream_summaries_total") == 0
