"""The commit watermark against a naive partition: the broker's own gaps, redelivery, rebalances, vanished messages."""

from __future__ import annotations

import pytest
from faust.types import TP
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agents.progress import HoleFound, Progress, SourcePartition

SOURCE = ("clicks", 0)
OTHER = ("clicks", 1)


def started(committed: int | None, *batches: list[int]) -> Progress:
    progress = Progress()
    progress.start(SOURCE, committed)
    for batch in batches:
        progress.hand_over(SOURCE, batch)
    return progress


def process(progress: Progress, *offsets: int) -> list[bool]:
    """Accept each message, and be done with it if it was."""
    accepted = []
    for offset in offsets:
        accepted.append(progress.accept(SOURCE, offset))
        if accepted[-1]:
            progress.done(SOURCE, offset)
    return accepted


class PartitionMachine(RuleBasedStateMachine):
    """A log in which some offsets hold no record; a fetch position, a queue to the agent, and what the agent has done."""

    @initialize(log=st.lists(st.booleans(), min_size=1, max_size=40), data=st.data())
    def begin(self, log: list[bool], data: st.DataObject) -> None:
        self.records = [offset for offset, has_record in enumerate(log) if has_record]
        self.end = len(log)
        self.committed: int | None = data.draw(st.none() | st.integers(0, self.end), label="committed")
        self.skipped = set(range(self.committed or 0))  # done in a former life
        self.done: set[int] = set()
        self.is_stopped = False
        self.progress = Progress()
        self.begin_again()

    def begin_again(self) -> None:
        self.progress.start(SOURCE, self.committed)
        self.fetch_at = self.committed or 0
        self.queue: list[int] = []
        self.handed_over: set[int] = set()
        if self.committed is not None:
            self.done -= set(range(self.committed, self.end))  # done, not committed: to be done again

    def undone(self) -> list[int]:
        return [offset for offset in self.records if offset not in self.done | self.skipped]

    @precondition(lambda self: not self.is_stopped and self.fetch_at < self.end)
    @rule(size=st.integers(1, 8))
    def the_broker_hands_over_a_batch(self, size: int) -> None:
        upto = min(self.fetch_at + size, self.end)
        batch = [offset for offset in self.records if self.fetch_at <= offset < upto]
        self.progress.hand_over(SOURCE, batch)
        self.queue += batch
        self.handed_over |= set(batch)
        self.fetch_at = upto

    @precondition(lambda self: not self.is_stopped and self.queue)
    @rule(ends_well=st.booleans())
    def the_agent_takes_a_message(self, ends_well: bool) -> None:
        offset, first = self.queue.pop(0), self.undone()[:1]
        if first and offset > first[0]:
            self.is_stopped = True
            with pytest.raises(HoleFound, match=f"clicks/0: expected offset {first[0]}, got {offset}"):
                self.progress.accept(SOURCE, offset)
            return
        assert self.progress.accept(SOURCE, offset) == (offset in first)
        if ends_well and offset in first:
            self.progress.done(SOURCE, offset)
            self.done.add(offset)
        elif offset in first:
            self.queue.insert(0, offset)  # still at it

    @precondition(lambda self: self.queue)
    @rule()
    def a_message_vanishes(self) -> None:
        self.queue.pop(0)

    @precondition(lambda self: not self.is_stopped)
    @rule(data=st.data(), queue_is_cleared=st.booleans())
    def the_consumer_seeks_back(self, data: st.DataObject, queue_is_cleared: bool) -> None:
        self.fetch_at = data.draw(st.integers(min(self.committed or 0, self.fetch_at), self.fetch_at))
        if queue_is_cleared:
            self.queue.clear()

    @rule(succeeds=st.booleans())
    def a_commit_ends(self, succeeds: bool) -> None:
        offsets = self.progress.committable()
        if succeeds and offsets:
            self.progress.committed(offsets)
            self.committed = offsets[SOURCE]
            assert self.progress.committable() == {}

    @precondition(lambda self: not self.is_stopped)
    @rule()
    def the_group_rebalances(self) -> None:
        self.progress.stop([SOURCE])
        assert (self.progress.accept(SOURCE, self.end), self.progress.committable()) == (False, {})
        self.begin_again()
        if self.committed is None:
            self.done.clear()

    @invariant()
    def no_commit_passes_an_undone_record(self) -> None:
        offset = self.progress.committable().get(SOURCE, self.committed)
        passed = [undone for undone in self.undone() if offset is not None and undone < offset]
        assert passed == []
        assert offset is None or 0 <= offset <= self.end

    @invariant()
    def everything_done_may_be_committed(self) -> None:
        offset = self.progress.committable().get(SOURCE, self.committed)
        assert not self.done or (offset or 0) > max(self.done)

    @invariant()
    def a_known_gap_is_passed(self) -> None:
        """As far as the next record that came: else a partition that ends in gaps would lag for ever."""
        first = self.undone()[:1]
        if set(first) & self.handed_over:
            self.progress.committable()
            assert self.progress.position(SOURCE) == first[0]


TestProgress = PartitionMachine.TestCase
TestProgress.settings = settings(max_examples=200, stateful_step_count=40)


@pytest.mark.parametrize(
    ("committed", "batches", "offsets", "committable"),
    [
        (0, [[0, 1, 2]], [0, 1, 2], 3),
        (0, [[0, 1, 2]], [0, 1], 2),
        (5, [[5], [6, 7]], [5, 6, 7], 8),
        (None, [[7, 8]], [7], 8),
        (0, [[3, 4]], [3], 4),
        (0, [[0, 3, 9]], [0], 3),
        (0, [[0, 3, 9]], [0, 3, 9], 10),
        (0, [[0], [], [5]], [0], 5),
        (0, [[0, 1], [4, 5]], [0, 1, 4], 5),
        (0, [[0, 1, 2], [1, 2, 3]], [0, 1, 2, 3], 4),
    ],
)
def test_a_commit_reaches_what_is_done_and_the_gaps_behind_it(
    committed: int | None, batches: list[list[int]], offsets: list[int], committable: int
) -> None:
    progress = started(committed, *batches)
    assert process(progress, *offsets) == [True] * len(offsets)
    assert progress.committable() == {SOURCE: committable}


def test_what_is_accepted_and_not_done_is_not_committed() -> None:
    progress = started(0, [0, 1])
    assert progress.accept(SOURCE, 0)
    assert progress.committable() == {}
    progress.done(SOURCE, 0)
    assert progress.committable() == {SOURCE: 1}


def test_a_redelivered_message_is_refused_and_changes_nothing() -> None:
    progress = started(0, [0, 1], [0, 1, 2])
    assert process(progress, 0, 1, 0, 1, 2) == [True, True, False, False, True]
    progress.done(SOURCE, 0)
    assert progress.committable() == {SOURCE: 3}


@pytest.mark.parametrize(
    ("batches", "before", "found"), [([[0, 1, 2]], [0], 2), ([[0, 1]], [], 1), ([[0, 4, 5]], [0], 5), ([[2, 3]], [], 3)]
)
def test_a_message_that_vanished_is_a_hole(batches: list[list[int]], before: list[int], found: int) -> None:
    progress = started(0, *batches)
    process(progress, *before)
    before_the_hole = progress.committable()
    with pytest.raises(
        HoleFound, match=rf"^clicks/0: expected offset \d+, got {found}: what lies between was lost on the way$"
    ):
        progress.accept(SOURCE, found)
    progress.done(SOURCE, found)
    assert progress.committable() == before_the_hole


def test_what_lies_below_the_committed_offset_is_not_taken_again() -> None:
    assert process(started(5, [3, 4, 5]), 3, 4, 5) == [False, False, True]


def test_a_commit_that_failed_is_due_again() -> None:
    progress = started(0, [0, 1])
    process(progress, 0)
    assert progress.committable() == progress.committable() == {SOURCE: 1}
    progress.committed({SOURCE: 1})
    assert progress.committable() == {}
    process(progress, 1)
    assert progress.committable() == {SOURCE: 2}


def test_partitions_do_not_know_each_other() -> None:
    progress = started(0, [0, 1])
    progress.start(OTHER, 7)
    progress.hand_over(OTHER, [7])
    process(progress, 0, 1)
    assert (progress.committable(), progress.position(OTHER)) == ({SOURCE: 2}, 7)
    progress.stop([SOURCE])
    assert progress.accept(OTHER, 7)
    progress.done(OTHER, 7)
    assert progress.committable() == {OTHER: 8}


def test_a_partition_of_somebody_else_is_ignored() -> None:
    progress = Progress()
    progress.hand_over(SOURCE, [0])
    progress.done(SOURCE, 0)
    progress.committed({SOURCE: 9})
    assert (progress.accept(SOURCE, 0), progress.position(SOURCE), progress.committable()) == (False, None, {})


def test_a_partition_that_went_away_is_forgotten() -> None:
    progress = started(0, [0, 1])
    process(progress, 0)
    progress.stop([SOURCE])
    assert (progress.accept(SOURCE, 1), progress.committable(), progress.position(SOURCE)) == (False, {}, None)


def test_nothing_is_accepted_before_the_broker_handed_anything_over() -> None:
    assert not started(None).accept(SOURCE, 0)


def test_an_assignment_begins_where_the_last_commit_ended() -> None:
    progress = started(0, [0, 1, 2, 3])
    process(progress, 0, 1, 2)
    progress.committed({SOURCE: 2})
    progress.start(SOURCE, 2)
    progress.hand_over(SOURCE, [2, 3])
    assert process(progress, 1, 2, 3) == [False, True, True]


def test_fausts_own_tuples_name_the_same_partition() -> None:
    progress = started(0, [0])
    assert progress.accept(TP(*SOURCE), 0)
    progress.done(SourcePartition(*SOURCE), 0)
    assert progress.committable() == {TP(*SOURCE): 1}
