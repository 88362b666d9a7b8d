"""Tenants are called for in turn, and who has spent their tokens waits: nothing is dropped, nobody else is held up."""

from __future__ import annotations

# ruff: noqa: F811, F401, the fixture of dispatch's tests
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from agents.spending import Spending
from prefstream.events import Post
from prefstream.receipts import Receipt
from prefstream.tenants import key_of, user_of
from streams.budgets import BUDGET_KEY, DAY_MS, Budgets, Debt, decode_debts
from streams.controls import Controls, Decided
from streams.evolution.records import Completion, Unavailable
from streams.failures import Failures
from streams.pending import Due
from streams.records import encode_arrival
from tests.agents.scripted import arrival_of, counted, until
from tests.agents.test_dispatch import START_MS, Run, Running, run

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
HOUR_MS = DAY_MS // 24
COSTLY = Completion("Loves war.", "stop", prompt_tokens=1_900, completion_tokens=100)
PER_DAY = 24_000  # a costly call is two hours' worth
SHOP_ADA = key_of("shop", "ada")


def store(one: Running, key: bytes, num_events: int = 3) -> None:
    """New events of the user with this key are pending; three make the user due at once."""
    tenant, user = user_of(key)
    for _ in range(num_events):
        offset = one.num_stored = one.num_stored + 1
        arrival = arrival_of(Post(user=user, tenant=tenant, at=AT, text=f"{user} {offset}"), offset, one.now_ms)
        assert one.index.admit(key, offset, arrival, one.owned.known(key)) == "accepted"
        one.owned.append(key, offset, encode_arrival(arrival))


def who(one: Running) -> list[str]:
    """Whose calls wait for an answer, by the first word of their newest event."""
    return [prompt.turns[-1].content.rsplit('wrote "', 1)[1].split()[0] for prompt, _ in one.model.calls]


async def test_a_small_tenant_does_not_wait_for_anothers_flood(run: Run) -> None:
    one = run(1)
    for number in range(40):
        store(one, b"hot%d" % number)
    await one.calls(2)
    for name in ("small1", "small2", "small3"):
        store(one, key_of("shop", name))
    order: list[str] = []
    while len(order) < 12:
        await until(lambda: len(one.model.calls) == 2)
        order.append(who(one)[0].rstrip("0123456789"))
        one.model.answer(COSTLY)
        await until(lambda: len(one.model.calls) == 2)
    places = [place for place, name in enumerate(order) if name == "small"]
    assert len(places) == 3
    assert max(places) <= 2 * 3 + 1


async def test_a_tenant_over_its_budget_waits_and_nobody_else_does(run: Run) -> None:
    one = run(4, budgets=Budgets(tenants={"shop": PER_DAY}))
    store(one, SHOP_ADA)
    await one.calls(1)
    with capture_logs() as said:
        one.model.answer(COSTLY)
        await until(lambda: not one.dispatch.num_in_flight)
        store(one, key_of("shop", "bob"), 9)
        store(one, b"eve")
        await one.calls(1)
    assert who(one) == ["eve"]
    assert [line for line in said if line["log_level"] == "warning"] == [
        {
            "event": "a budget is used up: who is due waits, and nothing is dropped",
            "log_level": "warning",
            "budget": "tenant",
            "tenant": "shop",
        }
    ]
    one.model.answer(COSTLY)
    one.now_ms += HOUR_MS - 1_000  # less than has to come in
    store(one, b"zoe")
    await one.calls(1)
    one.model.answer(COSTLY)
    await until(lambda: not one.dispatch.num_in_flight)
    one.now_ms += 2_000
    await one.calls(1)
    assert (who(one), one.owned.failures(key_of("shop", "bob"))) == (["bob"], Failures())
    assert counted(one.metrics)["deferrals tenant"] == 1


async def test_where_tokens_are_short_shares_are_larger(run: Run) -> None:
    one = run(4, budgets=Budgets(tenants={"shop": PER_DAY}))
    store(one, SHOP_ADA, 30)
    await one.calls(1)
    assert one.model.calls[0][0].turns[-1].content.count('wrote "') == 3
    one.model.answer(COSTLY)
    await until(lambda: one.owned.summary(SHOP_ADA) is not None and not one.dispatch.num_in_flight)
    one.now_ms += HOUR_MS + 1_000
    await one.calls(1)
    assert one.model.calls[0][0].turns[-1].content.count('wrote "') == 24
    one.model.answer(Completion("Loves war.", "stop", prompt_tokens=1, completion_tokens=1))
    await until(lambda: one.index.num_events == 3)
    summary = one.owned.summary(SHOP_ADA)
    assert summary is not None
    assert (summary.num_events, summary.num_new_events) == (27, 24)


async def test_over_the_systems_budget_everybody_waits_until_it_comes_in(run: Run) -> None:
    one = run(4, budgets=Budgets(system=PER_DAY))
    store(one, b"ada")
    await one.calls(1)
    one.model.answer(COSTLY)
    await until(lambda: counted(one.metrics).get("deferrals system"))
    store(one, b"bob")
    store(one, SHOP_ADA)
    one.now_ms += HOUR_MS - 1_000
    await one.calls(0)
    one.now_ms += 2_000
    await one.calls(2)
    assert counted(one.metrics)["deferrals system"] == 1


async def test_a_user_over_their_own_budget_waits_alone_also_after_a_restart(run: Run) -> None:
    one = run(4, budgets=Budgets(user=PER_DAY))
    store(one, b"ada")
    await one.calls(1)
    one.model.answer(COSTLY)
    await until(lambda: one.owned.summary(b"ada") is not None and not one.dispatch.num_in_flight)
    store(one, b"ada", 6)
    store(one, b"bob")
    await one.calls(1)
    assert who(one) == ["bob"]
    assert (one.index.queues[""].num_deferred, counted(one.metrics)["deferrals user"]) == (1, 1)
    await one.opened.partitions.flush()
    assert one.owned.failures(b"ada").debt.tokens == 2_000
    restarted = Spending(one.opened.partitions, 1, Budgets(user=PER_DAY), one.metrics)
    assert restarted.admit(one.owned, Due(b"ada", (4,), "size"), one.now_ms) is None
    one.now_ms += HOUR_MS + 1_000
    await one.calls(2)
    assert (who(one), one.index.queues[""].num_deferred, one.owned.failures(b"ada").num_repeats) == (["bob", "ada"], 0, 0)


async def test_a_user_waits_by_this_workers_clock_though_a_former_owners_was_ahead(run: Run) -> None:
    one = run(4, budgets=Budgets(user=PER_DAY))
    one.owned.note_failures(b"ada", Failures(debt=Debt(2_000, one.now_ms + 30 * DAY_MS)))
    store(one, b"ada")
    await until(lambda: counted(one.metrics).get("deferrals user"))
    one.now_ms += HOUR_MS + 1_000
    await one.calls(1)
    assert who(one) == ["ada"]


async def test_what_is_owed_survives_a_restart(run: Run) -> None:
    budgets = Budgets(system=2 * PER_DAY, tenants={"shop": PER_DAY})
    one = run(4, budgets=budgets)
    store(one, SHOP_ADA)
    await one.calls(1)
    one.model.answer(COSTLY)
    await until(lambda: not one.dispatch.num_in_flight)
    one.owned.is_restored = True
    one.spending.write()
    await one.opened.partitions.flush()
    stored = one.opened.pending.get(BUDGET_KEY)
    assert stored is not None
    assert {name: debt.tokens for name, debt in decode_debts(stored).tenants.items()} == {"shop": 2_000}
    again = Spending(one.opened.partitions, 1, budgets, one.metrics)
    again.restore()
    assert (again.pool.system_filled(one.now_ms), again.pool.tenant_filled("shop", one.now_ms)) == (1, 2)


@pytest.mark.parametrize(("budgets", "num_calls"), [(Budgets(system=PER_DAY), 0), (Budgets(), 1)])
async def test_where_nothing_is_owed_nothing_is_written(run: Run, budgets: Budgets, num_calls: int) -> None:
    one = run(4, budgets=budgets)
    one.owned.is_restored = True
    for _ in range(num_calls):
        store(one, b"ada")
        await one.calls(1)
        one.model.answer(COSTLY)
    await until(lambda: not one.dispatch.num_in_flight)
    one.spending.write()
    await one.opened.partitions.flush()
    assert one.opened.pending.get(BUDGET_KEY) is None


async def test_a_worker_that_has_one_of_two_partitions_has_half_of_a_budget(run: Run) -> None:
    one = run(1)
    part = Spending(one.opened.partitions, 2, Budgets(system=2 * PER_DAY), one.metrics)
    part.restore()
    part.pool.spend("", 1_000, START_MS)
    assert part.pool.system_filled(START_MS) == 1


@pytest.mark.parametrize(
    ("result", "tokens"),
    [(Unavailable("connection", "m"), 0), (COSTLY, 2_000), (Completion("Loves war.", "length", 900, 100, 800), 1_000)],
)
async def test_an_answer_costs_what_was_reported_cached_or_not_and_accepted_or_not(
    run: Run,
    result: Completion | Unavailable,
    tokens: int,
) -> None:
    one = run(4)
    store(one, SHOP_ADA)
    await one.calls(1)
    one.model.answer(result)
    await until(lambda: counted(one.metrics).get("tenant_calls other"))
    assert counted(one.metrics).get("tenant_tokens other", 0) == tokens


async def test_where_the_server_counts_nothing_tokens_are_estimated(run: Run) -> None:
    one = run(4)
    store(one, b"ada")
    await one.calls(1)
    one.model.answer(Completion("Loves war.", "stop"))
    await until(lambda: counted(one.metrics).get("tenant_tokens default", 0) > 100)


async def test_an_answer_that_is_thrown_away_writes_nothing_of_its_user(run: Run) -> None:
    """The user may be forgotten meanwhile."""
    one = run(4, budgets=Budgets(user=PER_DAY, tenant=PER_DAY))
    store(one, b"ada")
    await one.calls(1)
    receipt = Receipt(user="ada", command="pin", outcome="applied", at=AT, command_position=90)
    one.owned.decide(b"ada", Controls(90, 90, ("Vegetarian.",)), Decided(receipt), lambda: None)
    one.model.answer(COSTLY)
    await until(lambda: counted(one.metrics).get("calls stale"))
    assert one.owned.failures(b"ada") == Failures()
    assert one.spending.pool.tenant_filled("", one.now_ms) == 2


async def test_of_very_many_tenants_each_is_called_for_in_turn(run: Run) -> None:
    """They are looked through now and then only, which changes nothing of who is next."""
    one = run(1)
    one.task.cancel()
    for number in range(150):
        for user in ("ada", "bob"):
            store(one, key_of(f"t{number}", user))
    order = []
    while (turn := one.spending.next_turn(one.now_ms)) is not None:
        owned, tenant = turn
        due = owned.index.take_due(one.now_ms, tenant)
        assert due is not None
        one.spending.admit(owned, due, one.now_ms)
        order.append(tenant)
    assert len(order) == 300
    assert len(set(order[:150])) == 150
    assert order[150:] == order[:150]


async def test_who_waits_for_tokens_is_no_work_that_is_left_undone(run: Run) -> None:
    """The watchdog ends a worker that has work and does none of it."""
    one = run(4, budgets=Budgets(tenant=PER_DAY))
    store(one, b"ada")
    await one.calls(1)
    one.model.answer(COSTLY)
    await until(lambda: not one.dispatch.num_in_flight)
    store(one, b"bob")
    assert not one.dispatch.has_work(one.now_ms)
    store(one, SHOP_ADA)
    assert one.dispatch.has_work(one.now_ms)
