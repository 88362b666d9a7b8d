"""What a failed call makes of a user: poison is found in a few calls, and nothing else is ever given up."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from math import ceil, log2

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from prefstream.dead_letters import Origin
from prefstream.events import Event, Item, Rating
from streams.availability import Availability
from streams.budgets import Debt
from streams.evolution.records import Unavailable
from streams.failures import (
    MAX_ATTEMPTS,
    MAX_REASON_CHARS,
    MAX_UNANSWERED,
    Failure,
    FailureKind,
    Failures,
    after_death,
    after_failure,
    after_success,
    decode_failures,
    encode_failures,
    poison_letter,
)
from streams.flush import FlushPolicy
from streams.pending import Known, PendingIndex
from streams.records import Arrival, encode_event

POLICY = FlushPolicy()
NOW_MS = 1_000_000
ADA = b"ada"
REFUSED, REJECTED, UNANSWERED = (Failure(kind, "why") for kind in ("refused", "rejected", "unanswered"))


def failed(
    before: Failures, *offsets: int, failure: Failure = REJECTED, model_works: bool = True, share: float = 0.0
) -> Failures:
    """What a failure a second after the last one makes; in between the model answered somebody well, or nobody."""
    now_ms = max(before.failed_at_ms, NOW_MS) + 1_000
    return after_failure(before, offsets, failure, now_ms - 500 if model_works else 0, share, POLICY, now_ms)


@pytest.mark.parametrize("model_works", [True, False])
@pytest.mark.parametrize("failure", [REFUSED, REJECTED])
def test_a_share_that_fails_is_suspect_whoever_is_to_blame(failure: Failure, model_works: bool) -> None:
    after = failed(Failures(), 3, 4, 9, failure=failure, model_works=model_works)
    assert (after.suspect_to, after.not_before_ms - after.failed_at_ms, after.condemned) == (9, 1_000, -1)


def test_an_unanswered_share_is_suspect_only_while_others_are_answered() -> None:
    first = failed(Failures(), 3, 4, 9, failure=UNANSWERED)
    assert (first.suspect_to, first.num_repeats) == (-1, 1)  # of a first failure nobody knows what happened since the last
    assert failed(first, 3, 4, 9, failure=UNANSWERED, model_works=False).suspect_to == -1
    assert failed(first, 3, 4, 9, failure=UNANSWERED).suspect_to == 9


@pytest.mark.parametrize(
    ("failure", "attempts"), [(REFUSED, MAX_ATTEMPTS), (REJECTED, MAX_ATTEMPTS), (UNANSWERED, MAX_UNANSWERED)]
)
def test_an_event_that_fails_alone_while_the_model_works_is_condemned(failure: Failure, attempts: int) -> None:
    after = failed(Failures(), 7, failure=failure)
    for attempt in range(attempts):
        assert (after.condemned, after.num_attempts + after.num_unanswered) == (-1, attempt)
        after = failed(after, 7, failure=failure)
    assert (after.condemned, after.num_attempts + after.num_unanswered, after.not_before_ms) == (7, attempts, 0)


@pytest.mark.parametrize("failure", [REFUSED, REJECTED, Failure("unprocessable", "why")])
@pytest.mark.parametrize(("share", "attempts"), [(0.0, 3), (0.2, 3), (0.5, 7), (0.9, 44), (0.97, 152), (0.99, 459)])
def test_the_more_a_model_fails_others_the_more_attempts_it_takes(failure: Failure, share: float, attempts: int) -> None:
    after = failed(Failures(), 7, failure=failure, share=share)
    for _ in range(attempts):
        assert after.condemned == -1
        after = failed(after, 7, failure=failure, share=share)
    assert (after.condemned, after.num_attempts) == (7, attempts)


def test_of_a_model_that_fails_all_others_nothing_is_proof_and_unanswered_calls_ask_for_no_share() -> None:
    after = failed(Failures(), 7, share=1.0)
    for _ in range(1_000):
        after = failed(after, 7, share=1.0)
    assert (after.condemned, after.num_attempts) == (-1, 1_000)
    after = failed(Failures(), 7, failure=UNANSWERED, share=1.0)
    for _ in range(MAX_UNANSWERED):
        after = failed(after, 7, failure=UNANSWERED, share=1.0)
    assert after.condemned == 7


def test_each_attempt_counts_by_the_share_of_its_own_time() -> None:
    """Or a worker that starts, and met one good answer so far, would give up all who waited long with a weak model."""
    after = failed(Failures(), 7, share=0.97)
    for _ in range(60):
        after = failed(after, 7, share=0.97)
    for share in (0.25, 0.5, 0.75):
        after = failed(decode_failures(encode_failures(after)), 7, share=share)
    assert (after.condemned, after.num_attempts) == (-1, 63)


@pytest.mark.parametrize("failure", [REFUSED, REJECTED, UNANSWERED])
def test_with_a_model_that_answers_nobody_well_users_wait_longer_and_nothing_is_given_up(failure: Failure) -> None:
    after, waits = Failures(), []
    for _ in range(50):
        after = failed(after, 7, failure=failure, model_works=False)
        waits.append((after.not_before_ms - after.failed_at_ms) // 1_000)
    assert (after.condemned, after.num_attempts, after.num_unanswered) == (-1, 0, 0)
    assert waits[:10] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    assert waits[10:] == [300] * 40


@pytest.mark.parametrize("accepted_at_ms", [0, NOW_MS - 1, NOW_MS])
def test_what_was_accepted_before_the_last_failure_proves_nothing(accepted_at_ms: int) -> None:
    before = Failures(suspect_to=7, num_attempts=2, failed_at_ms=NOW_MS)
    assert after_failure(before, (7,), REJECTED, accepted_at_ms, 0.0, POLICY, NOW_MS + 9_000).num_attempts == 2
    assert after_failure(before, (7,), REJECTED, NOW_MS + 1, 0.0, POLICY, NOW_MS + 9_000).condemned == 7


def test_attempts_of_another_event_do_not_count() -> None:
    """A crash may leave the row as it was before a success."""
    stale = Failures(suspect_to=6, num_attempts=2, num_unanswered=7, failed_at_ms=NOW_MS, chance=0.1)
    after = failed(stale, 7, share=0.5)
    assert (after.num_attempts, after.num_unanswered, after.condemned, after.chance) == (1, 0, -1, 0.5)


def test_unanswered_calls_do_not_help_to_condemn_what_is_rejected() -> None:
    before = Failures(suspect_to=7, num_unanswered=MAX_UNANSWERED - 1, failed_at_ms=NOW_MS)
    after = failed(failed(before, 7), 7)
    assert (after.condemned, after.num_attempts) == (-1, 2)


@pytest.mark.parametrize(
    ("position", "left"),
    [
        (5, Failures(2, 1, 9, failed_at_ms=NOW_MS)),
        (8, Failures(2, 1, 9, failed_at_ms=NOW_MS)),
        (9, Failures(2, 1)),
        (12, Failures(2, 1)),
    ],
)
def test_a_success_leaves_the_suspicion_until_it_is_past(position: int, left: Failures) -> None:
    before = Failures(2, 1, 9, num_attempts=1, num_unanswered=2, num_repeats=3, failed_at_ms=NOW_MS, reason="why")
    assert after_success(before, position) == left


def test_a_success_leaves_nothing_of_who_never_lost_an_event() -> None:
    assert after_success(Failures(suspect_to=4, failed_at_ms=NOW_MS), 4) == Failures()


def test_the_next_event_starts_afresh_but_waits_as_long() -> None:
    before = Failures(1, 2, 7, num_attempts=3, num_repeats=4, failed_at_ms=NOW_MS, condemned=7, reason="why")
    assert after_death(before) == Failures(2, 7, num_repeats=4, failed_at_ms=NOW_MS)


def test_the_count_of_the_dead_is_the_first_field_of_the_row() -> None:
    row = Failures(3, 8, 9, 1, 2, 4, 5, 6, 9, "why", 0.5, Debt(7.5, 8))
    assert msgspec.msgpack.decode(encode_failures(row)) == [3, 8, 9, 1, 2, 4, 5, 6, 9, "why", 0.5, [7.5, 8]]
    assert decode_failures(encode_failures(row)) == row
    assert decode_failures(msgspec.msgpack.encode([3])) == Failures(3)


def test_a_long_reason_is_cut() -> None:
    after = failed(Failures(), 7, failure=Failure("refused", "x" * 10_000))
    assert after.reason == ("refused: " + "x" * 10_000)[:MAX_REASON_CHARS]


def test_the_dead_letter_holds_the_event_itself() -> None:
    event: Event = Rating(user="ada", id="e1", at=datetime(2026, 1, 5, tzinfo=UTC), item=Item(id="1", title="Fargo"), value=4)
    arrival = Arrival(Origin("T1", 2, 30, 4), NOW_MS, 12, "e1", msgspec.Raw(encode_event(event)))
    failures = Failures(suspect_to=7, num_attempts=3, num_unanswered=2, condemned=7, reason="refused: HTTP 400")
    letter = poison_letter(ADA, arrival, failures, "ratings", NOW_MS + 60_000)
    assert letter.value is not None
    assert msgspec.json.decode(letter.value, type=Rating) == event
    assert (letter.origin, letter.source, letter.key, letter.value_size) == (arrival.origin, "ratings", ADA, len(letter.value))
    assert (letter.reason, letter.message, letter.attempts) == ("poison", "refused: HTTP 400", 5)
    assert (letter.last_seen_at - letter.first_seen_at).total_seconds() == 60


class Run:
    """One user's pending events, worked off in fast motion by a model that fails with a kind, or answers."""

    def __init__(self, num_events: int, policy: FlushPolicy, answer: Callable[[tuple[int, ...]], FailureKind | None]) -> None:
        self.applied: list[int] = []
        self.dead: list[int] = []
        self.num_calls = 0
        self.failures = Failures()
        index = PendingIndex(policy)
        index.restore(ADA, [(n, arrival(n)) for n in range(num_events)], Known())
        now_ms = NOW_MS
        while (due_at_ms := index.next_due_at_ms()) is not None:
            now_ms = max(now_ms, due_at_ms) + 1
            due = index.take_due(now_ms)
            assert due is not None
            if due.is_condemned:
                self.dead += due.offsets
                self._settle(index, due.offsets, after_death(self.failures), now_ms)
                continue
            self.num_calls += 1
            if kind := answer(due.offsets):
                # Somebody else is always answered well in between.
                self.failures = after_failure(self.failures, due.offsets, Failure(kind, ""), now_ms - 1, 0.0, policy, now_ms)
                index.failed(ADA, self.failures)
            else:
                self.applied += due.offsets
                self._settle(index, due.offsets, after_success(self.failures, due.offsets[-1]), now_ms)

    def _settle(self, index: PendingIndex, offsets: tuple[int, ...], failures: Failures, now_ms: int) -> None:
        self.failures = decode_failures(encode_failures(failures))
        index.covered(ADA, offsets[-1], now_ms, self.failures)


def arrival(offset: int) -> Arrival:
    return Arrival(Origin("T1", 0, offset), NOW_MS, 5, "", msgspec.Raw(b"\x80"))


@given(
    num_events=st.integers(1, 90),
    max_events=st.integers(1, 25),
    poison=st.sets(st.integers(0, 89), max_size=12),
    kind=st.sampled_from(["refused", "rejected", "unanswered", "unprocessable"]),
)
def test_exactly_the_poison_is_given_up_in_few_calls(
    num_events: int, max_events: int, poison: set[int], kind: FailureKind
) -> None:
    poison = {offset for offset in poison if offset < num_events}
    run = Run(num_events, FlushPolicy(max_events=max_events), lambda share: kind if poison & set(share) else None)
    assert run.applied == sorted(set(range(num_events)) - poison)
    assert run.dead == sorted(poison)
    assert run.failures.num_dead == len(poison)
    levels = ceil(log2(max_events)) if max_events > 1 else 0
    attempts = 1 + (MAX_UNANSWERED if kind == "unanswered" else MAX_ATTEMPTS)
    assert run.num_calls <= ceil(num_events / max_events) + len(poison) * (2 * levels + 2 + attempts)


@pytest.mark.parametrize("poison", range(20))
def test_one_poison_event_of_twenty_takes_a_handful_of_calls(poison: int) -> None:
    """Five halvings at most, four attempts alone, and the rest in few shares."""
    run = Run(20, POLICY, lambda share: "rejected" if poison in share else None)
    assert (run.dead, run.num_calls <= 13) == ([poison], True)


@given(fits=st.integers(1, 20), num_events=st.integers(1, 60))
def test_a_share_that_is_too_much_for_the_model_is_nobodys_poison(fits: int, num_events: int) -> None:
    run = Run(num_events, POLICY, lambda share: "refused" if len(share) > fits else None)
    assert (run.applied, run.dead) == (list(range(num_events)), [])


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.3, 0.5, 0.8, 0.95])
def test_a_server_that_fails_now_and_then_poisons_nothing(rate: float) -> None:
    """Users with one event each, the worst case, and one whose event fails always."""
    chance, model, now_ms = random.Random(7), Availability(POLICY), NOW_MS
    waiting = {b"%d" % n: Failures() for n in range(30)}
    dead = set()
    for _ in range(20_000):
        now_ms = max(now_ms + 100, model.paused_until_ms)
        user = min(waiting, key=lambda user: waiting[user].not_before_ms)
        now_ms = max(now_ms, waiting[user].not_before_ms)
        model.calls(now_ms)
        if user != b"0" and chance.random() >= rate:
            model.answered()
            model.accepted(user, now_ms)
            waiting[user] = Failures()  # and has a new event
        elif model.unanswered(user, Unavailable("server_error", ""), now_ms):
            waiting[user] = replace(waiting[user], not_before_ms=model.paused_until_ms)
        else:
            accepted_at_ms = 0 if model.fails_others(user) else model.accepted_at_ms
            waiting[user] = after_failure(waiting[user], (0,), UNANSWERED, accepted_at_ms, 0.0, POLICY, now_ms)
        if waiting[user].condemned == 0:
            dead.add(user)
            waiting[user] = Failures()
    assert dead <= {b"0"}
    assert dead or rate >= 0.1


def work_off(rate: float, num_steps: int, steps_to_restart: int, bad: bytes) -> tuple[int, list[tuple[bytes, int]]]:
    """Thirty users with one event each, and a next one after it; the model accepts none of one user, and a share of the others.

    Returns how many it accepted, and whose events were given up, after how many attempts.
    """
    chance, model, now_ms, num_applied, dead = random.Random(7), Availability(POLICY), NOW_MS, 0, []
    waiting = {b"%d" % n: Failures() for n in range(30)}
    for step in range(num_steps):
        if step % steps_to_restart == 0:
            model = Availability(POLICY)
        user = min(waiting, key=lambda user: waiting[user].not_before_ms)
        now_ms = max(now_ms + 100, waiting[user].not_before_ms)
        if user != bad and chance.random() < rate:
            model.accepted(user, now_ms)
            num_applied += 1
            waiting[user] = Failures(not_before_ms=now_ms + 3_000)  # its next event
            continue
        model.failed(user)
        share = model.failed_share(user)
        waiting[user] = after_failure(waiting[user], (0,), REJECTED, model.accepted_at_ms, share, POLICY, now_ms)
        if waiting[user].condemned == 0:
            dead.append((user, waiting[user].num_attempts))
            waiting[user] = Failures(not_before_ms=now_ms + 3_000)
    return num_applied, dead


@pytest.mark.parametrize("steps_to_restart", [200, 10**9])
@pytest.mark.parametrize("rate", [0.03, 0.1, 0.5, 0.8])
def test_of_a_model_that_often_fails_at_most_one_good_event_of_a_hundred_is_given_up(
    rate: float, steps_to_restart: int
) -> None:
    num_applied, dead = work_off(rate, 20_000, steps_to_restart, b"nobody")
    assert num_applied > 500
    assert len(dead) <= 0.01 * (num_applied + len(dead))


def test_of_a_model_that_takes_all_others_a_bad_event_dies_as_soon_as_ever() -> None:
    num_applied, dead = work_off(1.0, 1_000, 10**9, b"7")
    assert set(dead) == {(b"7", MAX_ATTEMPTS)}
    assert num_applied > 900


def test_of_a_weak_model_a_bad_event_dies_too() -> None:
    _, dead = work_off(0.1, 20_000, 10**9, b"7")
    assert next(attempts for user, attempts in dead if user == b"7") in range(35, 55)


def test_a_user_who_can_never_be_rewritten_loses_events_slower_and_slower() -> None:
    """The old text may be the poison: then each of the user's events fails alone."""
    died_at_ms, failures, now_ms = [], Failures(), NOW_MS
    for offset in range(6):
        while failures.condemned != offset:
            now_ms = max(now_ms, failures.not_before_ms) + 1
            failures = after_failure(failures, (offset,), REJECTED, now_ms - 1, 0.0, POLICY, now_ms)
        died_at_ms.append(now_ms)
        failures = after_death(failures)
    waits = [(later - earlier) // 1_000 for earlier, later in pairwise(died_at_ms)]
    assert waits == [56, 448, 900, 900, 900]
