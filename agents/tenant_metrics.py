"""Tenant metrics: what waits, and how much of each budget is used, by tenant; read when it is asked for.

Place in the flow: beside :mod:`agents.metrics`. Labels are the tenants that settings name, ``default``, and ``other`` for all
that only events name: whoever publishes cannot make new ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from agents.clock import now_ms
from streams.budgets import Pool
from streams.pending import PendingIndex

DEFAULT_LABEL = "default"
OTHER_LABEL = "other"


class TenantLabels:
    """The label of each tenant. ``named`` are those of the settings."""

    def __init__(self, named: Iterable[str] = ()) -> None:
        self._labels = {name: name for name in named} | {"": DEFAULT_LABEL}

    def of(self, tenant: str) -> str:
        """The tenant's label."""
        return self._labels.get(tenant, OTHER_LABEL)

    def __iter__(self) -> Iterator[str]:
        return iter((*self._labels.values(), OTHER_LABEL))


class Tenants(Collector):
    """What waits in the indexes of the owned partitions, and what their pool of budgets owes."""

    def __init__(self, labels: TenantLabels, indexes: Callable[[], Iterable[PendingIndex]], pool: Callable[[], Pool]) -> None:
        self._labels = labels
        self._indexes = indexes
        self._pool = pool

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges, each with every label."""
        now, pool = now_ms(), self._pool()
        is_system_used_up = pool.system_filled(now) >= 1
        users, events, deferred, filled = (defaultdict[str, float](float) for _ in range(4))
        for queue in (queue for index in self._indexes() for queue in index.queues.values()):
            label = self._labels.of(queue.tenant)
            users[label] += queue.num_users
            events[label] += queue.num_events
            waits = is_system_used_up or pool.tenant_filled(queue.tenant, now) >= 1
            deferred[label] += queue.num_users if waits else queue.num_deferred
        for tenant in pool.tenants:
            label = self._labels.of(tenant)
            filled[label] = max(filled[label], pool.tenant_filled(tenant, now))
        yield self._family("pending_users", "Users with pending events, by tenant.", users)
        yield self._family("pending_events", "Events stored and not yet in a summary, by tenant.", events)
        yield self._family(
            "deferred_users",
            "Users who wait for tokens: all with pending events while the budget of their tenant or of the system is used up, "
            "or else those whose own is.",
            deferred,
        )
        yield self._family(
            "budget_used_ratio",
            "How much of what may be spent ahead of a tenant's budget is: from 1 on its users wait. Of others, the highest.",
            filled,
        )
        meaning = "The same of the budget of the whole system: from 1 on everybody waits."
        yield GaugeMetricFamily("prefstream_system_budget_used_ratio", meaning, value=pool.system_filled(now))

    def _family(self, name: str, meaning: str, values: dict[str, float]) -> GaugeMetricFamily:
        family = GaugeMetricFamily(f"prefstream_tenant_{name}", meaning, labels=["tenant"])
        for label in self._labels:
            family.add_metric([label], values.get(label, 0.0))
        return family
