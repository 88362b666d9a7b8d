"""Every metric says what it means and in which unit, and no label can hold a user: their values are closed sets."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client import generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric

import agents
from agents.metrics import Metrics
from agents.scrape import at_a_scrape
from streams.ledger import Outcome

# What is counted is a plural noun; what is measured ends in its unit.
NAMES = {
    "counter": r"prefstream_\w+s_total",
    "histogram": r"prefstream_\w+_seconds",
    "gauge": r"prefstream_(\w+(s|_in_flight|_left|_closed|_away|_ratio)|ready)",
}

# Where a label's value may come from, beside a word of the source itself. All but the topic, which the settings name, are
# closed by their type.
CLOSED = {
    "topic",  # one that is read
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
    assert sum(len(family.samples) for family in metrics.registry.collect()) < 220


@pytest.mark.parametrize("outcome", get_args(Outcome))
def test_each_thing_that_becomes_of_an_event_is_explained(outcome: str) -> None:
    (meaning,) = [family.documentation for family in families() if family.name == "prefstream_collected_events"]
    assert re.search(rf"\b{outcome}\b", meaning)


def test_what_is_served_is_what_the_page_says_and_nothing_beside_it() -> None:
    """The library adds a series for when each counter began, by a name that no page has."""
    names = {family.name + "_total" * (family.type == "counter") for family in families()}
    served = re.findall(r"^# TYPE (\w+) ", generate_latest(Metrics().registry).decode(), re.MULTILINE)
    assert set(served) <= names
    assert len(served) > 30


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


def test_workers_do_not_share_their_numbers() -> None:
    one, other = Metrics(), Metrics()
    one.summaries.inc()
    assert other.registry.get_sample_value("prefstream_summaries_total") == 0
