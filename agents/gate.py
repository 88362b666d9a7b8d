"""The gates: how a worker stops reading when what waits fills its memory, and goes on by itself.

Place in the flow: asked before each fetch, in front of intake and collect. Nothing ever waits at a gate: the partitions behind
a closed one are left out of the fetch, so a rebalance, a commit or a drain finds nothing that holds it up, the consumer stays
in its group, and an agent goes on with what it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set

import structlog
from prometheus_client import Gauge

from agents.metrics import Metrics
from agents.partitions import Partitions
from streams.backpressure import COLLECT_GATE, INTAKE_GATE, GatePolicy, Weight, fullness, tenants_bytes

log = structlog.get_logger()


class Gate:
    """One gate and the topics behind it."""

    def __init__(self, name: str, topics: Set[str], policy: GatePolicy, metric: Gauge) -> None:
        self.topics = topics
        self._closed_by = (False, False)  # ordinary events, hot users' surplus
        self._name = name
        self._policy = policy
        self._metric = metric

    @property
    def is_closed(self) -> bool:
        """Whether nothing is let through."""
        return any(self._closed_by)

    def look(self, waiting: Weight, num_coming: int, max_bytes: int) -> None:
        """Close or open, and say so."""
        was_closed = self.is_closed
        ordinary, surplus = fullness(waiting, num_coming, max_bytes)
        by_ordinary, by_surplus = self._closed_by
        self._closed_by = self._policy.is_closed(ordinary, by_ordinary), self._policy.is_closed(surplus, by_surplus)
        if self.is_closed == was_closed:
            return
        self._metric.set(self.is_closed)
        facts = {"gate": self._name, "full": f"{ordinary:.0%}", "full_of_hot_users": f"{surplus:.0%}"}
        if self.is_closed:
            log.warning("a gate closed: what comes waits on its topics", uncollected_events=num_coming, **facts)
        else:
            log.info("a gate opened", uncollected_events=num_coming, **facts)


class Gates:
    """The gates of a worker: intake's, collect's, and one for each tenant with topics of its own."""

    def __init__(
        self,
        partitions: Partitions,
        sources: Set[str],
        events: str,
        max_bytes: int,
        num_unread: Callable[[], Mapping[str, int]],
        metrics: Metrics,
        tenants: Mapping[str, str] | None = None,
    ) -> None:
        """``num_unread``: how many records of a topic are not read yet, where that is known. ``tenants``: whose a topic is."""
        self._partitions = partitions
        self._events = events
        self._max_bytes = max_bytes
        self._num_unread = num_unread
        self._intake = Gate("intake", sources, INTAKE_GATE, metrics.gate_closed.labels("intake"))
        self._collect = Gate("collect", {events}, COLLECT_GATE, metrics.gate_closed.labels("collect"))
        self._of_tenants = {
            tenant: Gate(
                f"intake of {tenant}",
                {topic for topic, owner in (tenants or {}).items() if owner == tenant},
                INTAKE_GATE,
                metrics.tenant_gate_closed.labels(tenant),
            )
            for tenant in set((tenants or {}).values())
        }

    def look(self) -> None:
        """Close or open each, by what waits now in the restored partitions.

        Intake's gate also counts what is on the keyed topic already: there it would only wait for another retention to pass.
        """
        waiting = sum((owned.index.weight for owned in self._partitions), Weight())
        num_coming = self._num_unread().get(self._events, 0)
        self._intake.look(waiting, num_coming, self._max_bytes)
        self._collect.look(waiting, 0, self._max_bytes)
        for tenant, gate in self._of_tenants.items():
            gate.look(self._waiting_of(tenant), num_coming, tenants_bytes(self._max_bytes, len(self._of_tenants)))

    def _waiting_of(self, tenant: str) -> Weight:
        queues = [queue for owned in self._partitions if (queue := owned.index.queues.get(tenant))]
        return Weight(sum(queue.ordinary_bytes for queue in queues), sum(queue.surplus_bytes for queue in queues))

    def closed_topics(self) -> Set[str]:
        """The topics from which nothing is to be fetched now."""
        gates = (self._intake, self._collect, *self._of_tenants.values())
        return frozenset().union(*(gate.topics for gate in gates if gate.is_closed))
