"""The index of who waits, against a naive one without a heap, over any order of arrivals, calls, failures and restarts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from prefstream.dead_letters import Origin
from prefstream.summaries import FlushReason
from streams.backpressure import Weight, weigh
from streams.failures import Failure, FailureKind, Failures, after_death, after_failure, after_success
from streams.flush import FlushPolicy
from streams.pending import Admission, Due, Known, PendingIndex
from streams.places import Place
from streams.records import MAX_RECENT_IDS, Arrival

POLICY = FlushPolicy(
    max_events=3, max_tokens=50, max_age_seconds=10.0, backoff_seconds=1.0, max_backoff_seconds=8.0, impressions_per_event=3
)
AGE_MS = 10_000
NOW_MS = 1_000_000
ADA, BOB, EVE = b"ada", b"ada\0", "👩‍👩‍👧".encode()
USERS = (ADA, BOB, EVE)


def arrival(place: int, *, at_ms: int = NOW_MS, tokens: int = 5, event_id: str = "", source: str = "T1") -> Arrival:
    return Arrival(Origin(source, 0, place), at_ms, tokens, event_id, msgspec.Raw(b"\x80"))


def index_with(*rows: tuple[bytes, int, Arrival]) -> PendingIndex:
    """An index that accepted these events."""
    index = PendingIndex(POLICY)
    assert [index.admit(user, offset, one, Known()) for user, offset, one in rows] == ["accepted"] * len(rows)
    return index


def taken(index: PendingIndex, now_ms: int) -> list[Due]:
    """Everybody who is due now."""
    return list(iter(lambda: index.take_due(now_ms), None))


@dataclass
class NaiveUser:
    """What the index should know of one user."""

    origins: dict[str, Place]
    event_ids: set[str]
    rows: list[tuple[int, Arrival]] = field(default_factory=list)
    in_flight: Due | None = None
    failures: Failures = field(default_factory=Failures)
    due_at_ms: int | None = None

    def is_full(self) -> bool:
        return weight_of(self.rows) >= POLICY.max_events or tokens_of(self.rows) >= POLICY.max_tokens

    def due_from(self, now_ms: int) -> int:
        of_age_ms = self.rows[0][1].arrived_at_ms + AGE_MS
        of_age_ms = min(of_age_ms, now_ms) if self.is_full() or self.suspects() else of_age_ms
        return max(of_age_ms, self.failures.not_before_ms)

    def suspects(self) -> int:
        return sum(offset <= self.failures.suspect_to for offset, _ in self.rows)

    def share(self) -> tuple[int, ...]:
        offsets: tuple[int, ...] = ()
        most = max(1, self.suspects() // 2) if self.suspects() else len(self.rows)
        for n in range(1, most + 1):
            if n == 1 or (weight_of(self.rows[:n]) <= POLICY.max_events and tokens_of(self.rows[:n]) <= POLICY.max_tokens):
                offsets = tuple(offset for offset, _ in self.rows[:n])
        return offsets

    def reason(self) -> FlushReason:
        if weight_of(self.rows) >= POLICY.max_events:
            return "size"
        return "tokens" if self.is_full() else "age"


def weight_of(rows: list[tuple[int, Arrival]]) -> Fraction:
    """In events: three impressions are one."""
    return sum((Fraction(1, 3 if one.is_impression else 1) for _, one in rows), Fraction(0))


def tokens_of(rows: list[tuple[int, Arrival]]) -> int:
    return sum(one.tokens // (3 if one.is_impression else 1) for _, one in rows)


class NaiveIndex:
    """The index as one would write it without caring for time: every question looks at everything."""

    def __init__(self) -> None:
        self.users: dict[bytes, NaiveUser] = {}

    def admit(self, user: bytes, offset: int, one: Arrival, known: Known) -> Admission:
        state = self.users.get(user) or NaiveUser(dict(known.origins), set(known.event_ids))
        source, place = f"{one.origin.topic}/{one.origin.partition}", (one.origin.offset, one.origin.index)
        if source in state.origins and place <= state.origins[source]:
            return "redelivered"
        state.origins[source] = place
        if one.event_id and one.event_id in state.event_ids:
            return "duplicate"
        state.event_ids.add(one.event_id)
        state.rows.append((offset, one))
        self.users[user] = state
        if state.in_flight is None:
            due = state.due_from(one.arrived_at_ms)
            state.due_at_ms = due if state.due_at_ms is None else min(due, state.due_at_ms)
        return "accepted"

    def next_due(self) -> tuple[int, bytes] | None:
        dues = [(state.due_at_ms, user) for user, state in self.users.items() if state.due_at_ms is not None]
        return min(dues, default=None)

    def take(self, now_ms: int) -> Due | None:
        due = self.next_due()
        if due is None or due[0] > now_ms:
            return None
        state = self.users[due[1]]
        share, failures = state.share(), state.failures
        state.in_flight = Due(due[1], share, state.reason(), failures.num_repeats, failures.condemned == share[0])
        state.due_at_ms = None
        return state.in_flight

    def cover(self, user: bytes, position: int, now_ms: int, failures: Failures) -> None:
        state = self.users[user]
        state.rows = [row for row in state.rows if row[0] > position]
        state.in_flight, state.failures = None, failures
        if state.rows:
            state.due_at_ms = state.due_from(now_ms)
        else:
            del self.users[user]

    def release(self, user: bytes, not_before_ms: int) -> None:
        state = self.users[user]
        if not state.rows:
            del self.users[user]
            return
        state.in_flight, state.due_at_ms = None, max(state.due_from(not_before_ms), not_before_ms)

    def forget(self, user: bytes) -> int:
        state = self.users.pop(user, None)
        if state is None:
            return 0
        if state.in_flight is not None:
            self.users[user] = NaiveUser({}, set(), in_flight=state.in_flight)
        return len(state.rows)

    def fail(self, user: bytes, failures: Failures) -> None:
        self.users[user].failures = failures
        self.release(user, failures.not_before_ms)


class PendingMachine(RuleBasedStateMachine):
    """One partition's life: records come, and come again; calls succeed, fail and come to nothing; the worker restarts."""

    @initialize()
    def begin(self) -> None:
        self.now_ms = NOW_MS
        self.index, self.naive = PendingIndex(POLICY), NaiveIndex()
        self.log: list[tuple[bytes, int, Arrival]] = []  # the keyed topic
        self.places: dict[str, Place] = {}
        self.stored: dict[bytes, Known] = dict.fromkeys(USERS, Known())  # what the summaries and recent ids say
        self.accepted: set[int] = set()
        self.covered_offsets: set[int] = set()
        self.num_dead = 0
        self.past: set[int] = set()  # offsets of lives that were ended: collect lets nothing of them come again

    def admit(self, user: bytes, offset: int, one: Arrival) -> Admission:
        known = self.stored[user]
        outcome = self.index.admit(user, offset, one, None if user in self.index else known)
        assert outcome == self.naive.admit(user, offset, one, known)
        if outcome == "accepted":
            assert offset not in self.accepted
            self.accepted.add(offset)
        return outcome

    def arrival(
        self, source: str, same_record: bool, lag_ms: int, tokens: int, event_id: str, is_impression: bool = False
    ) -> Arrival:
        """The next event of a source: of the same record or of the next one."""
        offset, index = self.places.get(source, (0, -1))
        place = self.places[source] = (offset, index + 1) if same_record else (offset + 1, 0)
        origin, raw = Origin(source, 0, *place), msgspec.Raw(b"\x80")
        return Arrival(origin, self.now_ms - lag_ms, tokens, event_id, raw, is_impression)

    @rule(
        user=st.sampled_from(USERS),
        source=st.sampled_from(["T1", "T2"]),
        same_record=st.booleans(),
        with_id=st.booleans(),
        tokens=st.sampled_from([0, 5, 20, 60]),
        lag_ms=st.sampled_from([0, 0, 3_000, 15_000]),
        is_impression=st.booleans(),
    )
    def a_new_event_comes(
        self, user: bytes, source: str, same_record: bool, with_id: bool, tokens: int, lag_ms: int, is_impression: bool
    ) -> None:
        event_id = f"id{len(self.log)}" if with_id else ""
        arrival = self.arrival(source, same_record, lag_ms, tokens, event_id, is_impression)
        self.log.append((user, len(self.log), arrival))
        assert self.admit(*self.log[-1]) == "accepted"

    def of_this_life(self, *, with_id: bool = False) -> list[tuple[bytes, int, Arrival]]:
        return [row for row in self.log if row[1] not in self.past and (row[2].event_id or not with_id)]

    @precondition(lambda self: self.of_this_life())
    @rule(data=st.data())
    def an_event_is_redelivered(self, data: st.DataObject) -> None:
        assert self.admit(*data.draw(st.sampled_from(self.of_this_life()))) in ("redelivered", "duplicate")

    @precondition(lambda self: self.of_this_life(with_id=True))
    @rule(data=st.data(), source=st.sampled_from(["T1", "T2"]))
    def a_publisher_tries_again(self, data: st.DataObject, source: str) -> None:
        user, _, one = data.draw(st.sampled_from(self.of_this_life(with_id=True)))
        self.log.append((user, len(self.log), self.arrival(source, False, 0, one.tokens, one.event_id)))
        assert self.admit(*self.log[-1]) == "duplicate"

    @rule(ms=st.sampled_from([1, 500, 1_000, 9_999, 10_000, 40_000]))
    def time_passes(self, ms: int) -> None:
        self.now_ms += ms

    @rule()
    def dispatch_looks(self) -> None:
        due = self.index.take_due(self.now_ms)
        assert due == self.naive.take(self.now_ms)
        if due is not None:
            assert not self.covered_offsets & set(due.offsets)

    def in_flight(self, *, is_condemned: bool = False) -> list[Due]:
        flying = [state.in_flight for state in self.naive.users.values()]
        mine = [due for due in flying if due is not None and not self.past & set(due.offsets)]
        return [due for due in mine if due.is_condemned == is_condemned]

    def in_flight_for_a_former_life(self) -> list[Due]:
        flying = [state.in_flight for state in self.naive.users.values()]
        return [due for due in flying if due is not None and self.past & set(due.offsets)]

    @rule(user=st.sampled_from(USERS))
    def somebody_is_forgotten(self, user: bytes) -> None:
        waiting = {offset for offset, _ in self.naive.users[user].rows} if user in self.naive.users else set()
        assert self.index.forget(user) == self.naive.forget(user) == len(waiting)
        self.past |= {offset for other, offset, _ in self.log if other == user}
        self.covered_offsets |= waiting
        self.stored[user] = Known()

    @precondition(lambda self: self.in_flight_for_a_former_life())
    @rule(data=st.data())
    def a_call_for_a_former_life_ends(self, data: st.DataObject) -> None:
        user = data.draw(st.sampled_from(self.in_flight_for_a_former_life())).user
        self.naive.release(user, self.now_ms)
        self.index.released(user, self.now_ms)

    @precondition(lambda self: self.in_flight())
    @rule(data=st.data())
    def a_summary_becomes_durable(self, data: st.DataObject) -> None:
        due = data.draw(st.sampled_from(self.in_flight()))
        self._settle(due, after_success(self.naive.users[due.user].failures, due.offsets[-1]))

    @precondition(lambda self: self.in_flight(is_condemned=True))
    @rule(data=st.data())
    def a_condemned_event_is_buried(self, data: st.DataObject) -> None:
        self._bury(data.draw(st.sampled_from(self.in_flight(is_condemned=True))))

    def _bury(self, due: Due) -> None:
        failures = self.naive.users[due.user].failures
        assert due.offsets == (failures.condemned,)
        self.num_dead += 1
        self._settle(due, after_death(failures))

    def _settle(self, due: Due, failures: Failures) -> None:
        self._store(due.user, due.offsets)
        self.naive.cover(due.user, due.offsets[-1], self.now_ms, failures)
        self.index.covered(due.user, due.offsets[-1], self.now_ms, failures)

    def _store(self, user: bytes, share: tuple[int, ...]) -> None:
        """Write back's part: the summary's origins and the recent ids."""
        known, origins = self.stored[user], dict(self.stored[user].origins)
        for one in (self.log[offset][2] for offset in share):
            source, place = f"{one.origin.topic}/0", (one.origin.offset, one.origin.index)
            origins[source] = max(place, origins.get(source, place))
        ids = known.event_ids | {self.log[offset][2].event_id for offset in share} - {""}
        self.stored[user] = Known(share[-1], origins, ids)
        assert not self.covered_offsets & set(share)
        self.covered_offsets |= set(share)

    @precondition(lambda self: self.in_flight())
    @rule(data=st.data(), pause_ms=st.sampled_from([0, 700, 20_000]))
    def a_call_comes_to_nothing(self, data: st.DataObject, pause_ms: int) -> None:
        user = data.draw(st.sampled_from(self.in_flight())).user
        self.naive.release(user, self.now_ms + pause_ms)
        self.index.released(user, self.now_ms + pause_ms)

    @precondition(lambda self: self.in_flight())
    @rule(
        data=st.data(), kind=st.sampled_from(["refused", "rejected", "unanswered", "unprocessable"]), model_works=st.booleans()
    )
    def a_call_fails(self, data: st.DataObject, kind: FailureKind, model_works: bool) -> None:
        due = data.draw(st.sampled_from(self.in_flight()))
        accepted_at_ms = self.now_ms + 1 if model_works else 0
        before = self.naive.users[due.user].failures
        after = after_failure(before, due.offsets, Failure(kind, "why"), accepted_at_ms, 0.0, POLICY, self.now_ms)
        self.naive.fail(due.user, after)
        self.index.failed(due.user, after)

    @rule()
    def the_worker_restarts(self) -> None:
        before = self.naive.users
        self.index, self.naive = PendingIndex(POLICY), NaiveIndex()
        for user, state in before.items():
            waiting = state.rows
            if not waiting:
                continue
            self.index.restore(user, waiting, self.stored[user], state.failures)
            self.naive.users[user] = NaiveUser(dict(self.stored[user].origins), set(self.stored[user].event_ids))
            self.naive.users[user].failures = state.failures
            outcomes = [self.naive.admit(user, offset, one, self.stored[user]) for offset, one in waiting]
            assert outcomes == ["accepted"] * len(waiting)

    @invariant()
    def it_says_what_the_naive_one_says(self) -> None:
        users = self.naive.users
        assert self.index.num_users == len(users)
        assert self.index.num_events == sum(len(state.rows) for state in users.values())
        assert [user in self.index for user in USERS] == [user in users for user in USERS]
        due = self.naive.next_due()
        assert self.index.next_due_at_ms() == (due[0] if due else None)
        weights = [weigh(len(user.rows), len(user.event_ids - {""}), POLICY.max_events) for user in users.values()]
        assert self.index.weight == sum(weights, Weight())
        oldest = min((state.rows[0][1].arrived_at_ms for state in users.values() if state.rows), default=None)
        assert self.index.oldest_arrived_at_ms() == oldest

    @invariant()
    def every_event_is_pending_or_covered(self) -> None:
        pending = {offset for state in self.naive.users.values() for offset, _ in state.rows}
        assert pending | self.covered_offsets == self.accepted
        assert not pending & self.covered_offsets

    def teardown(self) -> None:
        """In the end every accepted event is taken, each once, in order."""
        for due in self.in_flight() + self.in_flight(is_condemned=True) + self.in_flight_for_a_former_life():
            self.naive.release(due.user, self.now_ms)
            self.index.released(due.user, self.now_ms)
        self.now_ms += 10**9
        while (waiting := self.index.take_due(self.now_ms)) is not None:
            assert self.naive.take(self.now_ms) == waiting
            if waiting.is_condemned:
                self._bury(waiting)
            else:
                self._settle(waiting, after_success(self.naive.users[waiting.user].failures, waiting.offsets[-1]))
        assert self.covered_offsets == self.accepted
        assert (self.index.num_users, self.index.num_events, self.index.next_due_at_ms()) == (0, 0, None)
        assert self.index.weight == Weight()


TestPending = PendingMachine.TestCase
TestPending.settings = settings(max_examples=150, stateful_step_count=60)


def test_who_is_full_is_due_at_once_and_who_is_not_when_the_oldest_event_is_of_age() -> None:
    index = index_with((ADA, 0, arrival(0)), (ADA, 1, arrival(1, at_ms=NOW_MS + 500)))
    assert index.next_due_at_ms() == NOW_MS + AGE_MS
    assert index.take_due(NOW_MS + AGE_MS - 1) is None
    index.admit(ADA, 2, arrival(2, at_ms=NOW_MS + 900), None)
    assert index.next_due_at_ms() == NOW_MS + 900
    assert index.take_due(NOW_MS + 900) == Due(ADA, (0, 1, 2), "size")


def test_who_has_been_due_longest_comes_first() -> None:
    index = index_with((BOB, 0, arrival(0, at_ms=NOW_MS + 2)), (ADA, 1, arrival(1, at_ms=NOW_MS + 1)), (EVE, 2, arrival(2)))
    assert [due.user for due in taken(index, NOW_MS + AGE_MS + 2)] == [EVE, ADA, BOB]


def test_a_user_in_flight_is_not_due_however_much_arrives() -> None:
    index = index_with((ADA, 0, arrival(0)))
    assert taken(index, NOW_MS + AGE_MS) == [Due(ADA, (0,), "age")]
    for n in range(1, 9):
        assert index.admit(ADA, n, arrival(n), None) == "accepted"
    assert taken(index, NOW_MS + 10**9) == []
    index.covered(ADA, 0, NOW_MS + 50, Failures())
    assert taken(index, NOW_MS + 50) == [Due(ADA, (1, 2, 3), "size")]


@pytest.mark.parametrize(
    ("tokens", "share"),
    [([20, 20, 10], (0, 1, 2)), ([20, 20, 20], (0, 1)), ([60, 1], (0,)), ([1, 60], (0,)), ([5] * 9, (0, 1, 2)), ([50], (0,))],
)
def test_a_call_takes_the_oldest_events_that_fit_and_always_one(tokens: list[int], share: tuple[int, ...]) -> None:
    index = index_with(*((ADA, n, arrival(n, tokens=size)) for n, size in enumerate(tokens)))
    assert [due.offsets for due in taken(index, NOW_MS + AGE_MS)] == [share]


def test_what_a_summary_covers_is_gone_and_the_rest_waits_for_its_own_age() -> None:
    index = index_with(*((ADA, n, arrival(n, at_ms=NOW_MS + n)) for n in range(4)))
    assert [due.offsets for due in taken(index, NOW_MS + 2)] == [(0, 1, 2)]
    index.covered(ADA, 2, NOW_MS + 100, Failures())
    assert (index.num_users, index.num_events, index.next_due_at_ms()) == (1, 1, NOW_MS + 3 + AGE_MS)
    assert taken(index, NOW_MS + 3 + AGE_MS) == [Due(ADA, (3,), "age")]
    index.covered(ADA, 3, NOW_MS + 20_000, Failures())
    assert ADA not in index
    assert (index.num_users, index.num_events, index.next_due_at_ms()) == (0, 0, None)


def test_who_failed_waits_and_new_events_do_not_cut_that_short() -> None:
    index = index_with((ADA, 0, arrival(0)))
    now_ms = NOW_MS + AGE_MS
    taken(index, now_ms)
    index.failed(ADA, Failures(num_repeats=1, not_before_ms=now_ms + 1_000))
    for n in range(1, 9):
        index.admit(ADA, n, arrival(n, at_ms=now_ms + n), None)
    assert index.next_due_at_ms() == now_ms + 1_000
    assert taken(index, now_ms + 1_000) == [Due(ADA, (0, 1, 2), "size", num_repeats=1)]
    index.covered(ADA, 2, now_ms + 1_100, Failures())
    assert taken(index, now_ms + 1_100) == [Due(ADA, (3, 4, 5), "size")]


def test_of_a_suspect_share_half_is_taken_at_once_until_it_is_past() -> None:
    index = PendingIndex(FlushPolicy(max_events=8))
    for n in range(20):
        index.admit(ADA, n, arrival(n), Known())
    failures, shares = Failures(suspect_to=6), []
    assert [due.offsets for due in taken(index, NOW_MS)] == [tuple(range(8))]
    index.failed(ADA, failures)
    for _ in range(5):
        (due,) = taken(index, NOW_MS)
        shares.append(due.offsets)
        index.covered(ADA, due.offsets[-1], NOW_MS, failures)
    assert shares == [(0, 1, 2), (3, 4), (5,), (6,), tuple(range(7, 15))]


def test_who_never_pauses_is_known_by_the_newest_ids() -> None:
    index = PendingIndex(FlushPolicy())
    for n in range(5_000):
        index.admit(ADA, n, arrival(n, event_id=f"id{n}"), Known())
        if n % 20 == 19:
            index.covered(ADA, n - 10, NOW_MS, Failures())
    assert len(index._users[ADA].event_ids) < 2 * (MAX_RECENT_IDS + 50)
    known = [index.admit(ADA, 9_000 + n, arrival(9_000 + n, event_id=f"id{n}"), None) == "duplicate" for n in range(5_000)]
    assert all(known[-MAX_RECENT_IDS - 10 :])


def test_a_condemned_event_is_taken_alone_and_not_called_for() -> None:
    index = index_with((ADA, 0, arrival(0)), (ADA, 1, arrival(1)))
    taken(index, NOW_MS + AGE_MS)
    index.failed(ADA, Failures(suspect_to=0, condemned=0, num_repeats=3))
    assert taken(index, NOW_MS + AGE_MS) == [Due(ADA, (0,), "age", num_repeats=3, is_condemned=True)]
    index.covered(ADA, 0, NOW_MS + AGE_MS, Failures(1, 0))
    assert taken(index, NOW_MS + AGE_MS) == [Due(ADA, (1,), "age")]


@pytest.mark.parametrize(
    "failures", [Failures(suspect_to=1), Failures(suspect_to=0, condemned=0)], ids=["suspect", "condemned"]
)
def test_a_restart_forgets_no_suspicion(failures: Failures) -> None:
    index = PendingIndex(POLICY)
    index.restore(ADA, [(0, arrival(0)), (1, arrival(1))], Known(), msgspec.structs.replace(failures, not_before_ms=NOW_MS + 5))
    assert index.next_due_at_ms() == NOW_MS + 5
    assert taken(index, NOW_MS + 5) == [Due(ADA, (0,), "age", 0, failures.condemned == 0)]


def test_an_outage_burns_no_attempt() -> None:
    index = index_with((ADA, 0, arrival(0)))
    for n in range(20):
        assert len(taken(index, NOW_MS + AGE_MS + n)) == 1
        index.released(ADA, NOW_MS + AGE_MS + n + 1)
        assert index.next_due_at_ms() == NOW_MS + AGE_MS + n + 1
    assert taken(index, NOW_MS + 90_000) == [Due(ADA, (0,), "age")]


def test_a_user_the_index_does_not_know_is_nobodys_business() -> None:
    """A call may end after its user was erased."""
    index = index_with((ADA, 0, arrival(0)))
    index.covered(BOB, 5, NOW_MS, Failures())
    index.released(BOB, NOW_MS)
    index.failed(BOB, Failures())
    assert (index.num_users, index.num_events, BOB in index) == (1, 1, False)


KNOWN = Known(7, {"T1/0": (4, 1), "T2/0": (9, 0)}, frozenset({"old"}))


@pytest.mark.parametrize(
    ("source", "place", "event_id", "outcome"),
    [
        ("T1", (4, 1), "", "redelivered"),
        ("T1", (4, 0), "", "redelivered"),
        ("T1", (3, 9), "new", "redelivered"),
        ("T1", (4, 2), "", "accepted"),
        ("T1", (5, 0), "new", "accepted"),
        ("T1", (5, 0), "old", "duplicate"),
        ("T2", (8, 9), "", "redelivered"),
        ("T2", (9, 1), "", "accepted"),
        ("T3", (0, 0), "", "accepted"),
        ("T3", (0, 0), "old", "duplicate"),
    ],
)
def test_the_stored_state_tells_old_events_from_new(source: str, place: Place, event_id: str, outcome: Admission) -> None:
    index = PendingIndex(POLICY)
    one = Arrival(Origin(source, 0, *place), NOW_MS, 5, event_id, msgspec.Raw(b"\x80"))
    assert index.admit(ADA, 8, one, KNOWN) == outcome
    assert (ADA in index) == (outcome == "accepted")


def test_partitions_of_one_source_are_told_apart() -> None:
    index = index_with((ADA, 0, arrival(5)))
    assert index.admit(ADA, 1, Arrival(Origin("T1", 1, 0), NOW_MS, 5, "", msgspec.Raw(b"\x80")), None) == "accepted"


EVENTS = st.lists(
    st.tuples(st.sampled_from(USERS), st.sampled_from([0, 5, 30, 60]), st.integers(0, 9_000), st.booleans()), max_size=20
)


@given(EVENTS, st.integers(0, 20_000))
def test_what_is_restored_is_what_was_admitted(events: list[tuple[bytes, int, int, bool]], wait_ms: int) -> None:
    rows = [
        (user, n, arrival(10 + n, at_ms=NOW_MS + at_ms, tokens=tokens, event_id=f"id{n}" if with_id else ""))
        for n, (user, tokens, at_ms, with_id) in enumerate(events)
    ]
    admitted, restored = index_with(*rows), PendingIndex(POLICY)
    for user in USERS:
        restored.restore(user, [(offset, one) for owner, offset, one in rows if owner == user], Known())
    assert facts(restored) == facts(admitted)
    for user, offset, one in rows:
        assert restored.admit(user, offset, one, None) == "redelivered"
        again = msgspec.structs.replace(one, origin=Origin("T1", 0, 10**6))
        assert restored.admit(user, offset, again, None) == admitted.admit(user, offset, again, None)
    assert taken(restored, NOW_MS + wait_ms) == taken(admitted, NOW_MS + wait_ms)
    assert facts(restored) == facts(admitted)


def facts(index: PendingIndex) -> tuple[int, int, int | None, int | None]:
    return index.num_users, index.num_events, index.next_due_at_ms(), index.oldest_arrived_at_ms()


def test_a_user_with_nothing_stored_is_not_restored() -> None:
    index = PendingIndex(POLICY)
    index.restore(ADA, [], KNOWN)
    assert ADA not in index


def ada_waits(offsets: Iterable[int], policy: FlushPolicy) -> PendingIndex:
    index = PendingIndex(policy)
    for offset in offsets:
        index.admit(b"ada", offset, arrival(offset), Known())
    return index


def test_a_full_share_waits_until_the_ledger_has_counted_all_of_it() -> None:
    index = ada_waits(range(4), FlushPolicy(max_events=3))
    index.countersigned(2)
    assert index.take_due(NOW_MS) is None
    index.countersigned(3)
    assert index.take_due(NOW_MS + 1_000) == Due(b"ada", (0, 1, 2), "size")


def test_a_user_who_never_pauses_is_flushed_by_age_as_far_as_counted() -> None:
    index = ada_waits(range(5), FlushPolicy(max_age_seconds=1.0))
    index.countersigned(0)
    assert index.take_due(NOW_MS + 1_000) is None
    index.countersigned(3)
    assert index.take_due(NOW_MS + 2_000) == Due(b"ada", (0, 1, 2), "age")


def test_the_oldest_arrival_is_that_of_who_waits_longest() -> None:
    index = PendingIndex(FlushPolicy(max_events=1))
    assert index.oldest_arrived_at_ms() is None
    for offset, (user, at_ms) in enumerate([(b"ada", 30), (b"bob", 10), (b"ada", 40), (b"bob", 50)]):
        index.admit(user, offset, arrival(offset, at_ms=at_ms), Known())
    assert index.oldest_arrived_at_ms() == 10
    index.covered(b"bob", 1, 60, Failures())
    assert index.oldest_arrived_at_ms() == 30
    index.covered(b"ada", 2, 60, Failures())
    assert index.oldest_arrived_at_ms() == 50


def test_what_waits_weighs_with_the_ids_of_its_users_past() -> None:
    index = PendingIndex(POLICY)
    index.admit(ADA, 0, arrival(0), Known(event_ids=frozenset(f"old{n}" for n in range(7))))
    index.admit(BOB, 1, arrival(1), Known())
    index.admit(ADA, 2, arrival(2, event_id="new"), None)
    assert index.weight == weigh(2, 8, POLICY.max_events) + weigh(1, 0, POLICY.max_events)
    index.covered(ADA, 0, NOW_MS, Failures())
    assert index.weight == weigh(1, 8, POLICY.max_events) + weigh(1, 0, POLICY.max_events)
    index.covered(ADA, 2, NOW_MS, Failures())
    assert index.weight == weigh(1, 0, POLICY.max_events)


def test_a_user_who_never_stops_does_not_collect_ids_for_ever() -> None:
    index = PendingIndex(POLICY)
    for n in range(3_000):
        assert index.admit(ADA, n, arrival(n, event_id=f"id{n}"), Known()) == "accepted"
        index.covered(ADA, n - 5, NOW_MS, Failures())  # five are always pending
        assert index.weight.ordinary_bytes <= weigh(5, 5 + 2 * MAX_RECENT_IDS, POLICY.max_events).ordinary_bytes
    newest = range(3_000 - MAX_RECENT_IDS - 5, 3_000)
    outcomes = {index.admit(ADA, 3_000 + n, arrival(3_000 + n, event_id=f"id{n}"), None) for n in newest}
    assert outcomes == {"duplicate"}


@given(st.lists(st.integers(0, 9_999), min_size=1, max_size=40), st.integers(2, 4))
def test_a_hot_user_has_one_call_and_nobody_else_waits_for_its_backlog(arrived_after_ms: list[int], num_calls: int) -> None:
    """Thousands of events of one user wait, and one of each of some others; each call takes a second.

    The hot user has at most one of the calls at a time, as if it were any other user: the others share what is left, in the
    order in which they came.
    """
    hot = [(b"hot", n, arrival(n, at_ms=NOW_MS + n // 10)) for n in range(3_000)]
    ordinary = [
        (b"user%d" % n, 3_000 + n, arrival(3_000 + n, at_ms=NOW_MS + at_ms)) for n, at_ms in enumerate(sorted(arrived_after_ms))
    ]
    index, now_ms, num_rounds = index_with(*hot, *ordinary), NOW_MS + 2 * AGE_MS, 0
    arrived_at_ms = {user: one.arrived_at_ms for user, _, one in ordinary}
    served: list[int] = []
    while index.num_users > 1:
        calls = [due for due in (index.take_due(now_ms) for _ in range(num_calls)) if due is not None]
        assert [due.user for due in calls].count(b"hot") <= 1
        served += [arrived_at_ms[due.user] for due in calls if due.user != b"hot"]
        now_ms, num_rounds = now_ms + 1_000, num_rounds + 1
        for due in calls:
            index.covered(due.user, due.offsets[-1], now_ms, Failures())
    assert served == sorted(arrived_at_ms.values())
    assert num_rounds <= -(-len(ordinary) // (num_calls - 1))
