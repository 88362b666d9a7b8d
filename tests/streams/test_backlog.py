"""A backlog against a plain list, and that a long one is as cheap as a short one."""

from __future__ import annotations

import sys

from hypothesis import given
from hypothesis import strategies as st

from streams.backlog import Backlog

EVENTS = st.tuples(st.integers(1, 5), st.integers(0, 99), st.sampled_from([1, 5]))
STEPS = st.lists(st.one_of(EVENTS, st.integers(-1, 200)), max_size=60)


@given(STEPS, st.integers(1, 6), st.integers(1, 20), st.integers(0, 200))
def test_it_is_a_list_that_is_dropped_from_the_front(
    steps: list[tuple[int, int, int] | int], max_events: int, max_size: int, max_tokens: int
) -> None:
    backlog, plain, offset = Backlog(), list[tuple[int, int, int, int]](), 0
    for step in steps:
        if isinstance(step, int):
            left = [row for row in plain if row[0] > step]
            assert backlog.num_up_to(step) == len(plain) - len(left) == backlog.drop(step)
            plain = left
        else:
            offset += step[0]
            plain.append((offset, 1_000 + offset, step[1], step[2]))
            backlog.append(*plain[-1])
        sums = tuple(sum(row[field] for row in plain) for field in (2, 3))
        assert (backlog.num_events, backlog.tokens, backlog.size) == (len(plain), *sums)
        if plain:
            assert (backlog.first_offset, backlog.first_arrived_at_ms) == plain[0][:2]
            fits = [n for n in range(1, max_events + 1) if n == 1 or within(plain[:n], max_size, max_tokens)]
            assert backlog.share(max_events, max_size, max_tokens) == tuple(row[0] for row in plain[: max(fits)])


def within(rows: list[tuple[int, int, int, int]], max_size: int, max_tokens: int) -> bool:
    return sum(row[3] for row in rows) <= max_size and sum(row[2] for row in rows) <= max_tokens


def test_what_was_dropped_takes_no_room() -> None:
    """A user who never pauses is in the index for ever."""
    backlog = Backlog()
    for offset in range(100_000):
        backlog.append(offset, offset, 5, 1)
        if offset % 20 == 19:
            backlog.drop(offset - 10)
    assert backlog.num_events == 10
    assert sys.getsizeof(backlog._numbers) + sys.getsizeof(backlog._sizes) < 5_000


def test_an_event_takes_no_more_than_thirty_bytes() -> None:
    backlog = Backlog()
    for offset in range(10_000):
        backlog.append(offset, 1_700_000_000_000 + offset, 12, 5)
    assert (sys.getsizeof(backlog._numbers) + sys.getsizeof(backlog._sizes)) / 10_000 < 30
