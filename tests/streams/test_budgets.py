"""A budget is spent evenly over the day, survives a restart and a move in parts, and is never exceeded by more than it says."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.budgets import (
    ALLOWED_SHARE,
    DAY_MS,
    NO_DEBT,
    Budgets,
    Debt,
    Debts,
    Pool,
    after,
    decode_debts,
    encode_debts,
    filled,
    free_at_ms,
    owed,
)

NOW_MS = 1_767_644_100_000
HOUR_MS = DAY_MS // 24
CALLS = st.lists(st.tuples(st.integers(0, HOUR_MS), st.integers(1, 9_000)), min_size=1, max_size=80)


@given(CALLS, st.integers(1_000, 5_000_000))
def test_in_no_24_hours_is_more_spent_than_the_budget_an_hours_worth_and_a_call(
    calls: list[tuple[int, int]], per_day: int
) -> None:
    """Who tries again and again is let through only when something has come in."""
    debt, now_ms = NO_DEBT, NOW_MS
    spent: list[tuple[int, int]] = []
    for pause_ms, tokens in calls:
        now_ms += pause_ms
        if filled(debt, per_day, now_ms) < 1:
            debt = after(debt, tokens, per_day, now_ms)
            spent.append((now_ms, tokens))
    for start_ms, _ in spent:
        in_a_day = [tokens for at_ms, tokens in spent if start_ms <= at_ms < start_ms + DAY_MS]
        assert sum(in_a_day) <= per_day * (1 + ALLOWED_SHARE) + max(in_a_day) + 1e-6 * per_day


@given(st.integers(1, 10**7), st.integers(1, 10**7))
def test_who_is_deferred_is_free_at_the_instant_that_is_said_and_not_before(tokens: int, per_day: int) -> None:
    debt = after(NO_DEBT, tokens, per_day, NOW_MS)
    if filled(debt, per_day, NOW_MS) >= 1:
        at_ms = free_at_ms(debt, per_day)
        assert at_ms > NOW_MS
        assert filled(debt, per_day, at_ms) < 1
        assert filled(debt, per_day, max(NOW_MS, at_ms - 1_000 - DAY_MS // per_day)) >= 1 - 1e-6


def test_a_day_pays_a_days_tokens_back() -> None:
    debt = after(NO_DEBT, 2_400, 2_400, NOW_MS)
    assert [owed(debt, 2_400, NOW_MS + hours * HOUR_MS) for hours in (0, 1, 12, 24, 25)] == [2_400, 2_300, 1_200, 0, 0]
    assert filled(debt, 2_400, NOW_MS) == 24
    assert (filled(debt, 0, NOW_MS), filled(NO_DEBT, 2_400, NOW_MS)) == (0, 0)


def test_a_clock_that_was_ahead_or_goes_back_forgives_nothing_and_adds_nothing() -> None:
    debt = Debt(500, NOW_MS + HOUR_MS)
    assert owed(debt, 2_400, NOW_MS) == 500
    assert after(debt, 10, 2_400, NOW_MS) == Debt(510, NOW_MS)


@pytest.mark.parametrize(("tenant", "per_day"), [("shop", 10), ("", 20), ("news", 30), ("never-met", 30)])
def test_a_tenant_has_its_own_budget_or_that_of_each_other(tenant: str, per_day: int) -> None:
    assert Budgets(tenant=30, tenants={"shop": 10, "": 20}).of_tenant(tenant) == per_day


def pool(budgets: Budgets, share: float = 1, *rows: Debts) -> Pool:
    return Pool(budgets, share, rows, NOW_MS)


def test_what_a_tenant_spends_is_the_systems_and_its_own_and_nobody_elses() -> None:
    one = pool(Budgets(system=48_000, tenant=24_000))
    one.spend("shop", 1_000, NOW_MS)
    assert (one.system_filled(NOW_MS), one.tenant_filled("shop", NOW_MS), one.tenant_filled("news", NOW_MS)) == (0.5, 1.0, 0.0)
    assert one.tenant_filled("shop", NOW_MS + HOUR_MS) == 0


def test_without_a_budget_nothing_is_kept() -> None:
    one = pool(Budgets(user=5))
    assert not one.spend("shop", 10**9, NOW_MS)
    assert (one.row(3, NOW_MS).tenants, one.row(3, NOW_MS).system.tokens, list(one.tenants)) == ({}, 0, [])


def test_a_worker_has_the_part_of_its_partitions() -> None:
    quarter = pool(Budgets(system=96_000), 0.25)
    quarter.spend("", 1_000, NOW_MS)
    assert quarter.system_filled(NOW_MS) == 1


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.sampled_from(["", "shop", "news"]), st.integers(1, 50_000)), max_size=20),
    st.integers(1, 12),
    st.integers(0, HOUR_MS),
)
def test_what_is_owed_survives_a_restart_and_a_move_in_parts(calls: list[tuple[str, int]], num: int, pause_ms: int) -> None:
    """However many partitions have it: kept as rows, read by two workers, and brought together again."""
    budgets = Budgets(system=1_000_000, tenant=500_000, tenants={"news": 100_000})
    before = pool(budgets)
    for tenant, tokens in calls:
        before.spend(tenant, tokens, NOW_MS)
    rows = [decode_debts(encode_debts(before.row(num, NOW_MS)))] * num
    later_ms = NOW_MS + pause_ms
    halves = [Pool(budgets, len(part) / num, part, NOW_MS) for part in (rows[: num // 2], rows[num // 2 :])]
    moved = [
        one.row(count, later_ms) for one, count in zip(halves, (num // 2, num - num // 2), strict=True) for _ in range(count)
    ]
    again = Pool(budgets, 1, moved, later_ms)
    for tenant in ("", "shop", "news"):
        assert again.tenant_filled(tenant, later_ms) == pytest.approx(before.tenant_filled(tenant, later_ms), abs=1e-6)
    assert again.system_filled(later_ms) == pytest.approx(before.system_filled(later_ms), abs=1e-6)


def test_a_tenant_that_owes_nothing_any_more_is_not_kept() -> None:
    one = pool(Budgets(tenant=2_400))
    for number in range(1_000):
        one.spend(f"t{number}", 1, NOW_MS)
    assert len(one.row(1, NOW_MS).tenants) == 1_000
    assert one.row(1, NOW_MS + HOUR_MS).tenants == {}
