"""Metrics by tenant have the labels that the settings name, and no event can make another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from agents.metrics import Metrics
from agents.tenant_metrics import TenantLabels, Tenants
from prefstream.tenants import key_of
from streams.budgets import Budgets, Pool
from streams.failures import Failures
from streams.pending import PendingIndex
from tests.streams.test_queues import NOW_MS, filled

LABELS = TenantLabels({"shop", "news"})
FAMILIES = ("pending_users", "pending_events", "deferred_users", "budget_used_ratio")


def samples(index: PendingIndex, pool: Pool) -> dict[tuple[str, str], float]:
    registry = CollectorRegistry()
    registry.register(Tenants(LABELS, lambda: [index], lambda: pool))
    return {
        (sample.name.removeprefix("prefstream_tenant_"), sample.labels.get("tenant", "")): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.tenant_metrics.now_ms", lambda: NOW_MS)


@given(st.lists(st.text("abc", max_size=3), max_size=50))
def test_however_many_tenants_there_are_labels_are_those_of_the_settings(tenants: list[str]) -> None:
    index = filled(*((key_of(tenant, "ada"), 1) for tenant in tenants))
    pool = Pool(Budgets(tenant=10), 1, (), NOW_MS)
    for tenant in tenants:
        pool.spend(tenant, 5, NOW_MS)
    found = samples(index, pool)
    system = ("prefstream_system_budget_used_ratio", "")
    assert found.keys() == {(name, label) for name in FAMILIES for label in ("shop", "news", "default", "other")} | {system}
    assert sum(found["pending_users", label] for label in LABELS) == index.num_users
    assert [LABELS.of(name) for name in ("", "shop", "x", "?")] == ["default", "shop", "other", "other"]


def test_who_waits_for_tokens_is_counted_where_they_are_missing() -> None:
    index = filled((b"ada", 3), (b"bob", 3), (b"shop\xffada", 3), (b"x\xffada", 3), (b"y\xffada", 3))
    pool = Pool(Budgets(tenant=24_000), 1, (), NOW_MS)
    due = index.take_due(NOW_MS)
    assert due is not None
    index.defer(due.user, Failures(), NOW_MS + 1)
    pool.spend("shop", 500, NOW_MS)
    pool.spend("x", 2_000, NOW_MS)
    found = samples(index, pool)
    deferred = {label: found["deferred_users", label] for label in LABELS}
    assert deferred == {"default": 1, "shop": 0, "news": 0, "other": 1}
    assert {label: found["budget_used_ratio", label] for label in LABELS} == {"default": 0, "shop": 0.5, "news": 0, "other": 2}
    assert (found["pending_events", "other"], found["pending_users", "other"]) == (6, 2)


def test_while_the_systems_budget_is_used_up_all_who_have_something_waiting_wait() -> None:
    index = filled((b"ada", 1), (b"shop\xffada", 1))
    pool = Pool(Budgets(system=24_000), 1, (), NOW_MS)
    pool.spend("", 1_500, NOW_MS)
    found = samples(index, pool)
    assert [found["deferred_users", label] for label in ("default", "shop", "other")] == [1, 1, 0]
    assert found["prefstream_system_budget_used_ratio", ""] == 1.5


def test_a_worker_counts_under_the_labels_of_its_settings() -> None:
    metrics = Metrics(LABELS)
    for tenant in ("shop", "", *map(str, range(1_000))):
        metrics.tenant_calls.labels(metrics.tenants.of(tenant)).inc()
    names = {sample.labels["tenant"] for family in metrics.tenant_calls.collect() for sample in family.samples}
    assert names == set(LABELS) == {"shop", "news", "default", "other"}
