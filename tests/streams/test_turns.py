"""Tenants in turn: whoever has had the fewest tokens is next, and nobody waits for another's flood."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.turns import Turns


def served(turns: Turns, waiting: dict[str, list[int]]) -> list[str]:
    """Who is called for until nothing waits; the calls of each tenant cost so many tokens, one after the other."""
    order = []
    while due := {tenant: place for place, (tenant, calls) in enumerate(waiting.items()) if calls}:
        turns.begin_round(due)
        tenant = turns.next()
        assert tenant is not None
        order.append(tenant)
        turns.charge(tenant, waiting[tenant].pop(0))
    return order


@given(st.integers(1, 200), st.integers(1, 20), st.integers(0, 300))
def test_the_small_tenants_nth_call_waits_for_as_many_of_the_flood_and_one_more(flood: int, few: int, before: int) -> None:
    turns = Turns()
    served(turns, {"hot": [700] * before})
    order = served(turns, {"hot": [700] * flood, "small": [700] * few})
    places = [place for place, tenant in enumerate(order) if tenant == "small"]
    assert all(place <= 2 * number + 1 for number, place in enumerate(places))


@given(st.lists(st.integers(1, 50), min_size=2, max_size=6), st.lists(st.integers(100, 5_000), min_size=1, max_size=6))
def test_all_who_have_something_waiting_have_had_as_many_tokens_but_for_a_call(counts: list[int], costs: list[int]) -> None:
    turns, waiting = Turns(), {f"t{n}": [costs[n % len(costs)]] * count for n, count in enumerate(counts)}
    had = dict.fromkeys(waiting, 0)
    while all(waiting.values()):
        turns.begin_round(dict.fromkeys(waiting, 0))
        tenant = turns.next()
        assert tenant is not None
        had[tenant] += waiting[tenant].pop()
        turns.charge(tenant, costs[int(tenant[1:]) % len(costs)])
    assert max(had.values()) - min(had.values()) <= 2 * max(costs)


def test_nobody_saves_turns_up() -> None:
    """A tenant that had nothing to do for long comes in where the others stand."""
    turns = Turns()
    served(turns, {"busy": [1_000] * 500})
    assert served(turns, {"busy": [1_000] * 3, "new": [1_000] * 3}) == ["new", "busy", "new", "busy", "new", "busy"]


def test_of_those_who_have_had_as_little_who_was_due_first_is_next() -> None:
    turns = Turns()
    assert turns.next() is None
    turns.begin_round({"b": 5, "a": 7})
    assert turns.next() == "b"


def test_what_is_charged_too_much_is_given_back() -> None:
    turns = Turns()
    turns.charge("a", 1_000)
    turns.charge("a", -900)
    turns.charge("b", 500)
    turns.begin_round({"a": 9, "b": 1})
    assert turns.next() == "a"


def test_tenants_with_nothing_ahead_are_not_kept() -> None:
    turns = Turns()
    for number in range(5_000):
        turns.charge(f"t{number}", 10)
        turns.begin_round({"other": 0})
        turns.next()
        turns.charge("other", 11)
    assert len(turns._had) <= 1_001


def test_within_a_round_turns_change_with_what_is_charged_and_who_drops_out_is_not_asked_again() -> None:
    turns = Turns()
    turns.begin_round({"a": 1, "b": 2, "c": 3})
    order = []
    for _ in range(4):
        tenant = turns.next()
        assert tenant is not None
        order.append(tenant)
        if tenant == "b":
            turns.drop()
        else:
            turns.charge(tenant, 100)
    assert order == ["a", "b", "c", "a"]
