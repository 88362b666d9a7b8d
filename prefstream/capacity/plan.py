"""The plan: what each part of an installation needs for a load, each line with its reason and with what it rests on.

Place: load → **plan** → a table, or JSON. Pure arithmetic: no clock, no broker, no settings but those of the demand.
"""

from __future__ import annotations

from msgspec import Struct

from prefstream.capacity.demand import Demand
from prefstream.capacity.kafka import kafka_needs
from prefstream.capacity.load import DAY_SECONDS, Load, load_of
from prefstream.capacity.money import money_needs
from prefstream.capacity.needs import Need, whole
from prefstream.capacity.numbers import human, human_seconds, human_share
from prefstream.capacity.workers import worker_bounds, worker_needs


class Plan(Struct, frozen=True):
    """What was asked, and what it needs."""

    demand: Demand
    needs: tuple[Need, ...]

    def value(self, name: str) -> float:
        """Of the need with this name."""
        return next(need.value for need in self.needs if need.name == name)


def plan_of(demand: Demand) -> Plan:
    """All that is needed."""
    load = load_of(demand)
    replicas = whole(load.calls * load.peak / (load.replica_calls * demand.utilisation)) + int(demand.spare_replicas)
    return Plan(
        demand,
        (
            *_load_needs(demand, load),
            *_model_needs(demand, load, replicas),
            *worker_needs(demand, load, worker_bounds(demand, load), replicas),
            *kafka_needs(demand, load),
            *_delay_needs(demand, load),
            *money_needs(demand, load, replicas),
        ),
    )


def _load_needs(demand: Demand, load: Load) -> list[Need]:
    flush = load.flush
    return [
        Need("load", "active_users", load.active_users, "/day", f"{human_share(demand.active)} of the users", "given"),
        Need(
            "load",
            "peak_events",
            load.events * load.peak,
            "/s",
            f"{human(demand.events)} a day of each, {demand.peak:g} times the mean of {human(load.events)}",
            "given",
        ),
        Need(
            "load",
            "events_per_flush",
            flush.events_per_flush,
            "",
            f"{human_share(1 - flush.size_share)} due by age ({human_seconds(demand.flush_age)}), the others by size",
            "follows",
        ),
        Need(
            "load",
            "peak_calls",
            load.calls * load.peak,
            "/s",
            f"{human_share(demand.spared)} of flushes spared, {human_share(demand.repeats)} asked again",
            "follows",
        ),
        Need("load", "calls", load.calls * DAY_SECONDS, "/day", f"{human(load.calls)} a second on average", "follows"),
        Need(
            "load",
            "tokens",
            load.tokens * DAY_SECONDS,
            "/day",
            f"a prompt of {human(load.shape.prompt)}, {human(load.shape.cached)} of them cached, an answer of "
            f"{human(load.shape.completion)}",
            "measured" if demand.engine.basis == "measured" else "assumed",
        ),
    ]


def _model_needs(demand: Demand, load: Load, replicas: int) -> list[Need]:
    engine = demand.engine
    return [
        Need(
            "model",
            "replica_calls",
            load.replica_calls,
            "/s",
            f"{engine.name} on {engine.hardware}: {engine.source}",
            engine.basis,
        ),
        Need(
            "model",
            "replicas",
            replicas,
            f"× {engine.hardware}",
            f"{human(load.calls * load.peak)} calls a second at {human_share(demand.utilisation)} of what they take, "
            f"and {demand.spare_replicas:g} to spare",
            engine.basis,
        ),
        Need(
            "model",
            "call_seconds",
            load.call_seconds,
            "s",
            f"on average, when all {engine.places} places of a replica are taken",
            engine.basis,
        ),
    ]


def _delay_needs(demand: Demand, load: Load) -> list[Need]:
    return [
        Need(
            "delay",
            "event_delay_seconds",
            load.flush.event_seconds + load.call_seconds,
            "s",
            f"the mean event waits {human_seconds(load.flush.event_seconds)} for its flush, then for the call",
            "follows",
        ),
        Need(
            "delay",
            "oldest_delay_seconds",
            demand.flush_age + load.call_seconds,
            "s",
            "of an event that waits for the whole age",
            "follows",
        ),
    ]
