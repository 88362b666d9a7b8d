"""A plan: what binds, what follows from what, and that more of anything never needs less."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from prefstream.capacity.demand import Demand
from prefstream.capacity.kafka import stored, written
from prefstream.capacity.load import load_of
from prefstream.capacity.needs import whole
from prefstream.capacity.plan import plan_of
from prefstream.capacity.workers import worker_bounds
from streams.backpressure import weigh

HUGE = Demand(users=1e9)


def binding(demand: Demand) -> str:
    return max(worker_bounds(demand, load_of(demand)), key=lambda bound: bound.workers).name


@pytest.mark.parametrize(
    ("demand", "name"),
    [
        (Demand(users=1e6), "memory"),
        (replace(HUGE, event_ids=False, disk_gib=1_000, recovery_seconds=3_600), "CPU"),
        (replace(HUGE, flush_age=3_600.0), "memory"),
        (replace(HUGE, active=0.001), "disk"),
        (replace(HUGE, active=0.001, disk_gib=10_000), "recovery"),
    ],
)
def test_what_binds_is_said(demand: Demand, name: str) -> None:
    plan = plan_of(demand)
    assert binding(demand) == name
    (workers,) = [need for need in plan.needs if need.name == "workers"]
    assert workers.because.startswith(f"{name} binds")
    most = max(plan.value(f"by_{one}") for one in ("cpu", "memory", "disk", "recovery"))
    assert workers.value == whole(most) + plan.value("installations") * plan.demand.spare_workers


def test_what_waits_weighs_what_the_worker_weighs() -> None:
    demand = Demand(users=1e6)
    load = load_of(demand)
    each = round(load.waiting_events / load.waiting_users)
    weight = load.waiting_users * weigh(each, 256 + each, 20).ordinary_bytes
    assert load.waiting_bytes(has_ids=True) == pytest.approx(weight, rel=0.02)
    assert load.waiting_bytes(has_ids=False) == pytest.approx(load.waiting_users * weigh(each, 0, 20).ordinary_bytes, rel=0.02)


def test_little_s_law_holds_between_calls_and_those_in_flight() -> None:
    plan = plan_of(Demand(users=1e8))
    in_all = plan.value("peak_calls") * plan.value("call_seconds")
    needed = plan.value("workers") - plan.value("installations")
    assert plan.value("calls_in_flight") * needed == pytest.approx(in_all)


def test_who_waits_waits_for_the_flush_and_for_the_call() -> None:
    load = load_of(Demand(users=1e6))
    assert load.waiting_users == pytest.approx(load.flushes * 2.5 * (load.flush.oldest_seconds + load.call_seconds))
    assert load.waiting_events == pytest.approx(load.events * 2.5 * (load.flush.event_seconds + load.call_seconds))


def test_a_longer_age_saves_calls_and_takes_memory() -> None:
    short, long = plan_of(Demand()), plan_of(Demand(flush_age=3_600.0))
    assert long.value("calls") < short.value("calls") / 3
    assert long.value("by_memory") > short.value("by_memory")
    assert long.value("event_delay_seconds") > 20 * short.value("event_delay_seconds")


def test_a_gpu_of_ones_own_is_reckoned_by_its_tokens() -> None:
    demand = Demand(prefill=10_000.0, decode=1_000.0, prompt=1_500.0, cached=500.0, completion=100.0, utilisation=0.5)
    plan = plan_of(demand)
    assert plan.value("replica_calls") == pytest.approx(1 / (1_000 / 10_000 + 100 / 1_000))
    assert plan.value("replicas") == whole(plan.value("peak_calls") / 5 / 0.5) + 1
    assert {need.basis for need in plan.needs if need.name == "replicas"} == {"given"}


def test_money_is_told_where_a_price_is() -> None:
    assert not any(need.section == "money" for need in plan_of(Demand()).needs)
    plan = plan_of(Demand(gpu_hour=2.0, prices={"prompt": 1.0, "cached": 0.0, "completion": 2.0}))
    assert plan.value("by_the_hour_a_day") == plan.value("replicas") * 48
    shape = load_of(plan.demand).shape
    call = (shape.prompt - shape.cached + 2 * shape.completion) / 1e6
    assert plan.value("by_the_token_a_day") == pytest.approx(plan.value("calls") * call)
    day = plan.value("by_the_token_a_day")
    assert plan.value("by_the_token_per_1000_events") == pytest.approx(day / (0.2 * 1e6 * 50) * 1_000)
    assert plan.value("by_the_token_per_user_year") == pytest.approx(day * 365 / 1e6)


def test_kafka_keeps_what_retention_and_compaction_leave() -> None:
    demand = Demand(users=1e6)
    load = load_of(demand)
    rates, sizes = written(demand, load), stored(demand, load)
    assert sizes["events"] == pytest.approx(rates["events"] * 7 * 86_400)
    assert sizes["history"] > 15 * sizes["summaries"] > 15 * demand.users * demand.summary_bytes
    without = replace(demand, event_ids=False)
    assert written(without, load)["pending"] < rates["pending"] / 3
    plan = plan_of(replace(demand, replication=1.0))
    assert plan_of(demand).value("stored_bytes") == pytest.approx(3 * plan.value("stored_bytes"))
    assert plan.value("written_bytes") == pytest.approx(sum(rates.values()) * demand.peak)


def test_partitions_are_for_more_workers_than_there_are() -> None:
    plan = plan_of(HUGE)
    workers, installations, partitions = (plan.value(name) for name in ("workers", "installations", "partitions"))
    assert workers / installations <= HUGE.largest_group
    assert partitions >= workers / installations * HUGE.growth
    assert int(partitions).bit_count() == 1
    assert plan_of(Demand(users=10)).value("partitions") == 8


@given(st.floats(1, 1e9), st.floats(1, 100), st.sampled_from(["users", "events", "peak", "event_bytes", "summary_bytes"]))
def test_more_never_needs_less(users: float, times: float, what: str) -> None:
    demand = Demand(users=users)
    more = replace(demand, **{what: getattr(demand, what) * times})
    before, after = plan_of(demand), plan_of(more)
    for name in ("workers", "replicas", "written_bytes", "stored_bytes"):
        assert after.value(name) >= before.value(name) * (1 - 1e-9)


def test_whole_numbers_are_not_rounded_up_for_noise() -> None:
    assert [whole(number) for number in (7, 7.0000000001, 7.001, 0.0)] == [7, 7, 8, 0]
