"""What waits of each tenant is counted by itself, taken in its own order, and larger shares leave nothing out."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.dead_letters import Origin
from prefstream.tenants import key_of, tenant_of
from streams.failures import Failures
from streams.flush import FlushPolicy
from streams.pending import Known, PendingIndex
from streams.records import Arrival

NOW_MS = 1_000_000
POLICY = FlushPolicy(max_events=3, max_tokens=1_000, max_age_seconds=10.0)
TENANTS = ("", "shop", "news")
USERS = [key_of(tenant, user) for tenant in TENANTS for user in ("ada", "bob")]


def arrival(place: int, at_ms: int = NOW_MS) -> Arrival:
    return Arrival(Origin("T1", 0, place), at_ms, 5, "", msgspec.Raw(b"\x80"))


def filled(*counts: tuple[bytes, int], at_ms: int = NOW_MS) -> PendingIndex:
    """An index in which so many events of each of these users wait."""
    index = PendingIndex(POLICY)
    offset = 0
    for user, count in counts:
        for _ in range(count):
            index.admit(user, offset, arrival(offset, at_ms), Known())
            offset += 1
    return index


@given(
    st.lists(
        st.tuples(st.sampled_from(["event", "take", "cover", "release", "defer", "forget"]), st.sampled_from(USERS)),
        max_size=60,
    )
)
def test_each_tenants_queue_counts_what_waits_of_it(steps: list[tuple[str, bytes]]) -> None:
    index, flying, now_ms = PendingIndex(POLICY), dict[bytes, tuple[int, ...]](), NOW_MS
    for offset, (step, user) in enumerate(steps):
        if step == "event":
            index.admit(user, offset, arrival(offset, now_ms), Known())
        elif step == "forget":
            index.forget(user)
            assert_counted(index)
            if flying.pop(user, None):
                index.released(user, now_ms)
        elif step == "take" and (due := index.take_due(now_ms + 10_000, tenant_of(user))):
            flying[due.user] = due.offsets
        elif user in flying:
            offsets = flying.pop(user)
            match step:
                case "cover":
                    index.covered(user, offsets[-1], now_ms, Failures())
                case "release":
                    index.released(user, now_ms)
                case "defer":
                    index.defer(user, Failures(), now_ms + 60_000)
                case _:
                    flying[user] = offsets
        assert_counted(index)


def assert_counted(index: PendingIndex) -> None:
    states = index._users
    assert set(index.queues) == {tenant_of(user) for user in states}
    for tenant, queue in index.queues.items():
        theirs = [state for user, state in states.items() if tenant_of(user) == tenant]
        assert queue.num_users == len(theirs)
        assert queue.num_events == sum(state.backlog.num_events for state in theirs)
        assert queue.ordinary_bytes == sum(state.weight.ordinary_bytes for state in theirs)
        assert queue.num_deferred == sum(state.is_deferred for state in theirs)
    assert sum(queue.num_events for queue in index.queues.values()) == index.num_events


def test_a_tenants_users_are_taken_in_their_order_whatever_waits_of_others() -> None:
    index = filled((b"hot1", 3), (b"hot2", 3), (b"shop\xffada", 3), (b"hot3", 3), (b"shop\xffbob", 1))
    taken = [index.take_due(NOW_MS, "shop"), index.take_due(NOW_MS, "shop"), index.take_due(NOW_MS, "news")]
    assert [due.user if due else None for due in taken] == [b"shop\xffada", None, None]
    assert (index.next_due_at_ms("shop"), index.next_due_at_ms("news")) == (NOW_MS + 10_000, None)
    due = index.take_due(NOW_MS)
    assert due is not None
    assert due.user == b"hot1"


@pytest.mark.parametrize(("times", "count"), [(1, 3), (2, 6), (8, 7)])
def test_a_larger_share_has_the_oldest_events_of_more_turns(times: int, count: int) -> None:
    index = filled((b"ada", 7))
    due = index.take_due(NOW_MS)
    assert due is not None
    assert index.larger(due, times).offsets == tuple(range(count))


def test_of_a_larger_share_only_what_the_ledger_has_counted_is_taken() -> None:
    index = filled((b"ada", 7))
    index.countersigned(5)
    due = index.take_due(NOW_MS)
    assert due is not None
    assert index.larger(due, 8).offsets == (0, 1, 2, 3, 4)


def test_a_share_under_suspicion_and_an_event_that_is_given_up_stay_as_they_are() -> None:
    index = filled((b"ada", 7))
    assert index.take_due(NOW_MS)
    index.failed(b"ada", Failures(suspect_to=4))
    due = index.take_due(NOW_MS)
    assert due is not None
    assert index.larger(due, 8) == due
    index.failed(b"ada", Failures(suspect_to=0, condemned=0))
    due = index.take_due(NOW_MS)
    assert due is not None
    assert due.is_condemned
    assert index.larger(due, 8) == due


def test_who_is_deferred_keeps_what_waits_and_is_due_again_then_and_no_sooner_for_what_comes() -> None:
    index = filled((b"ada", 3))
    assert index.take_due(NOW_MS)
    index.defer(b"ada", Failures(num_repeats=2), NOW_MS + 60_000)
    for offset in range(3, 9):
        index.admit(b"ada", offset, arrival(offset), None)
    assert (index.num_events, index.take_due(NOW_MS + 59_999)) == (9, None)
    due = index.take_due(NOW_MS + 60_000)
    assert due is not None
    assert (due.offsets, due.num_repeats) == ((0, 1, 2), 2)
