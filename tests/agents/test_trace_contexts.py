"""What is remembered of pending events is bounded, for each user and for all of them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agents.trace_contexts import Remembered

ADA, BOB = b"ada", b"bob"


def context(number: int) -> Any:
    return f"context {number}"


def filled(*places: tuple[bytes, int], max_of_a_user: int = 3, max_of_all: int = 5) -> Remembered:
    remembered = Remembered(max_of_a_user, max_of_all)
    for user, offset in places:
        remembered.add(0, user, offset, context(offset))
    return remembered


def test_of_a_user_the_oldest_are_kept() -> None:
    remembered = filled(*((ADA, offset) for offset in range(10)))
    assert remembered.of(0, ADA, range(10)) == [context(0), context(1), context(2)]
    assert remembered.num == 3


def test_of_all_users_those_who_wait_longest_give_way() -> None:
    remembered = filled((ADA, 0), (BOB, 1), (b"eve", 2), (b"eve", 3), (b"eve", 4), (b"max", 5))
    assert (remembered.of(0, ADA, [0]), remembered.of(0, b"max", [5]), remembered.num) == ([], [context(5)], 5)


def test_an_event_that_comes_again_counts_once() -> None:
    assert filled((ADA, 0), (ADA, 0)).num == 1


def test_another_partitions_user_is_another() -> None:
    remembered = filled((ADA, 0))
    assert remembered.of(1, ADA, [0]) == []
    remembered.forget(1, ADA)
    remembered.drop(1, ADA, [0])
    assert remembered.num == 1


STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "drop", "drop below", "forget"]), st.sampled_from([ADA, BOB, b"eve"]), st.integers(0, 9))
)


@given(STEPS)
def test_it_counts_what_it_has(steps: list[tuple[str, bytes, int]]) -> None:
    remembered = filled()
    for what, user, offset in steps:
        match what:
            case "add":
                remembered.add(0, user, offset, context(offset))
            case "drop":
                remembered.drop(0, user, range(offset))
            case "drop below":
                remembered.drop_below(0, user, offset)
            case _:
                remembered.forget(0, user)
        found = [remembered.of(0, user, range(10)) for user in (ADA, BOB, b"eve")]
        assert remembered.num == sum(map(len, found)) <= 5
        assert max(map(len, found)) <= 3
