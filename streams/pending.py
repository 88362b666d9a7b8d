"""Pending: who waits for what since when; the in-memory index above one partition's table of pending events.

Place in the flow: collect asks it whether an event is new and notes it, dispatch asks it who is due, write back tells it what
a summary has covered. It is rebuilt from the table after recovery and holds only users with something pending. Nothing here
reads a clock: instants are milliseconds since 1970, given by the caller.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from prefstream.summaries import FlushReason
from prefstream.tenants import tenant_of
from streams.backlog import Backlog
from streams.backpressure import Weight, weigh
from streams.failures import Failures
from streams.flush import FlushPolicy, flush_reason
from streams.places import Place, place_of, source_of
from streams.queues import Queue
from streams.records import MAX_RECENT_IDS, Arrival

Admission = Literal["accepted", "redelivered", "duplicate"]

_ASK_AGAIN_MS = 50  # a due user whose events the ledger has not counted yet; it does twice a second


class Known(Struct, frozen=True):
    """What the stored state knows of a user's past events: covered offset, highest place by source, recent event ids."""

    position: int = -1
    origins: dict[str, Place] = {}
    event_ids: frozenset[str] = frozenset()


class Due(Struct, frozen=True):
    """A user whose turn it is: which pending events to take, oldest first, and why.

    ``num_repeats`` is how often the same share failed in a row. An event that ``is_condemned`` is not called for: it is to be
    given up.
    """

    user: bytes
    offsets: tuple[int, ...]
    reason: FlushReason
    num_repeats: int = 0
    is_condemned: bool = False


class _User:
    __slots__ = ("backlog", "due_at_ms", "event_ids", "failures", "in_flight", "is_deferred", "origins", "queue", "weight")

    def __init__(self, known: Known, queue: Queue, failures: Failures | None = None) -> None:
        self.queue = queue
        self.is_deferred = False
        self.origins: dict[str, Place] = dict(known.origins)
        self.event_ids: dict[str, None] = dict.fromkeys(known.event_ids)  # in the order in which they came
        self.backlog = Backlog()
        self.in_flight = False
        self.failures = failures
        self.due_at_ms: int | None = None
        self.weight = Weight()

    @property
    def is_suspect(self) -> bool:
        return self.failures is not None and self.failures.suspect_to >= self.backlog.first_offset

    def forget_ids(self) -> None:
        """Keep those of pending events and the newest others: somebody who never pauses stays in the index for ever."""
        num_wanted = self.backlog.num_events + MAX_RECENT_IDS
        if len(self.event_ids) > num_wanted + MAX_RECENT_IDS:
            self.event_ids = dict.fromkeys(islice(self.event_ids, len(self.event_ids) - num_wanted, None))

    @property
    def is_condemned(self) -> bool:
        return self.failures is not None and self.failures.condemned == self.backlog.first_offset


def _met(state: _User, arrival: Arrival) -> Admission:
    """Whether this was met before; from now on it was."""
    source, place = source_of(arrival), place_of(arrival)
    if place <= state.origins.get(source, (-1, -1)):
        return "redelivered"
    state.origins[source] = place
    return "duplicate" if arrival.event_id and arrival.event_id in state.event_ids else "accepted"


class PendingIndex:
    """One partition's index. Users are the raw key bytes."""

    def __init__(self, policy: FlushPolicy) -> None:
        self._policy = policy
        self._max_age_ms = int(policy.max_age_seconds * 1_000)
        self._users: dict[bytes, _User] = {}
        self._queues: dict[str, Queue] = {}
        self._oldest: list[tuple[int, bytes]] = []
        self._countersigned: int | None = None
        self._weight = Weight()
        self.num_events = 0

    def countersigned(self, position: int) -> None:
        """The ledger has durably counted all events below this offset. From the first call on only those are flushed.

        An event that a summary covered before it was counted would look like a duplicate when it is read again.
        """
        self._countersigned = position

    def __contains__(self, user: bytes) -> bool:
        return user in self._users

    @property
    def num_users(self) -> int:
        """How many users have something pending."""
        return len(self._users)

    @property
    def queues(self) -> Mapping[str, Queue]:
        """What waits by tenant, of the tenants of whom anything does."""
        return self._queues

    @property
    def weight(self) -> Weight:
        """The memory that waiting users and events take here."""
        return self._weight

    def admit(self, user: bytes, offset: int, arrival: Arrival, known: Known | None) -> Admission:
        """Note an event unless it was met before. ``known`` must be given for a user not in the index, else is not read.

        Per source partition the events of a user come in order, so all up to the highest place met were met.
        """
        state = self._users.get(user)
        if state is None:
            state = _User(known or Known(), self._queue_of(user))
        if (admission := _met(state, arrival)) == "accepted":
            self._note(user, state, offset, arrival)
        return admission

    def passes(self, user: bytes, arrival: Arrival, known: Known | None) -> Admission:
        """The same for what does not wait, a command or an event that is not learnt from: it is only remembered."""
        state = self._users.get(user) or _User(known or Known(), self._queue_of(user))
        if (admission := _met(state, arrival)) == "accepted" and arrival.event_id:
            state.event_ids[arrival.event_id] = None
        return admission

    def _note(self, user: bytes, state: _User, offset: int, arrival: Arrival) -> None:
        if arrival.event_id:
            state.event_ids[arrival.event_id] = None
        if not state.backlog.num_events:
            heapq.heappush(self._oldest, (arrival.arrived_at_ms, user))
        size = self._policy.size_of(arrival.is_impression)
        tokens = arrival.tokens * size // self._policy.impressions_per_event
        state.backlog.append(offset, arrival.arrived_at_ms, tokens, size)
        if user not in self._users:
            self._enter(user, state)
        self.num_events += 1
        state.queue.num_events += 1
        self._weigh(state)
        self._schedule(user, state, arrival.arrived_at_ms)

    def _queue_of(self, user: bytes) -> Queue:
        tenant = tenant_of(user)
        return self._queues.get(tenant) or Queue(tenant)

    def _enter(self, user: bytes, state: _User) -> None:
        self._users[user] = state
        self._queues[state.queue.tenant] = state.queue
        state.queue.num_users += 1

    def _leave(self, user: bytes, state: _User) -> None:
        """Nothing of the user waits any more, and what the user counted for is taken off already."""
        del self._users[user]
        self._is_no_longer_deferred(state)
        state.queue.num_users -= 1
        if not state.queue.num_users:
            del self._queues[state.queue.tenant]

    def _schedule(self, user: bytes, state: _User, now_ms: int, not_before_ms: int = 0) -> None:
        """Put the user where it belongs in the order of dues: at once if full, else when the oldest event is of age.

        A share that was due once and failed is due at once too, whatever is left of it, when the user has waited long enough.
        """
        if state.in_flight:
            return
        due_at_ms = state.backlog.first_arrived_at_ms + self._max_age_ms
        if self._reason(state, now_ms) is not None or state.is_suspect:
            due_at_ms = min(due_at_ms, now_ms)
        if state.failures is not None:
            not_before_ms = max(not_before_ms, state.failures.not_before_ms)
        due_at_ms = max(due_at_ms, not_before_ms)
        if state.due_at_ms is None or due_at_ms < state.due_at_ms:
            state.due_at_ms = due_at_ms
            heapq.heappush(state.queue.due, (due_at_ms, user))

    def _reason(self, state: _User, now_ms: int) -> FlushReason | None:
        backlog = state.backlog
        return flush_reason(backlog.size, backlog.tokens, backlog.first_arrived_at_ms, self._policy, now_ms)

    def next_due_at_ms(self, tenant: str = "") -> int | None:
        """When the tenant's next user is due, or ``None`` if nobody waits."""
        queue = self._queues.get(tenant)
        while queue and queue.due:
            due_at_ms, user = queue.due[0]
            state = self._users.get(user)
            if state is not None and state.due_at_ms == due_at_ms:
                return due_at_ms
            heapq.heappop(queue.due)
        return None

    def take_due(self, now_ms: int, tenant: str = "") -> Due | None:
        """Mark the tenant's user who has been due longest as in flight and say what to take, or ``None`` if nobody is due."""
        while (due_at_ms := self.next_due_at_ms(tenant)) is not None and due_at_ms <= now_ms:
            queue = self._queues[tenant]
            _, user = heapq.heappop(queue.due)
            state = self._users[user]
            self._is_no_longer_deferred(state)
            if due := self._due_now(user, state, now_ms):
                state.due_at_ms, state.in_flight = None, True
                return due
            state.due_at_ms = now_ms + _ASK_AGAIN_MS
            heapq.heappush(queue.due, (state.due_at_ms, user))
        return None

    def larger(self, due: Due, times: int) -> Due:
        """The same turn with a share that is so many times as large, as far as the ledger has counted it.

        A share under suspicion stays as it is: it is small to find the event that fails.
        """
        state = self._users.get(due.user)
        if state is None or due.is_condemned or state.is_suspect:
            return due
        max_size = self._policy.max_size * times
        share = state.backlog.share(max_size, max_size, self._policy.max_tokens * times)
        return replace(due, offsets=self._counted(share))

    def defer(self, user: bytes, failures: Failures, until_ms: int) -> None:
        """The user's turn waits until then for tokens of the user's own budget."""
        state = self._users.get(user)
        if state is None:
            return
        # As after a failure, what comes meanwhile makes nobody due earlier. The row has nothing of it: a restart asks again.
        state.failures = replace(failures, not_before_ms=max(until_ms, failures.not_before_ms))
        self.released(user, state.failures.not_before_ms)
        state.queue.num_deferred += not state.is_deferred
        state.is_deferred = True

    def _is_no_longer_deferred(self, state: _User) -> None:
        state.queue.num_deferred -= state.is_deferred
        state.is_deferred = False

    def _due_now(self, user: bytes, state: _User, now_ms: int) -> Due | None:
        """What to take, or ``None`` until the ledger has counted it.

        A full share is waited for: it does not change any more. One that is due by age grows with every event, so of that
        only the counted part is taken.
        """
        reason = self._reason(state, now_ms) or "age"
        share = self._share(state)
        counted = self._counted(share)
        is_ready = bool(counted) if reason == "age" else counted == share
        if not is_ready:
            return None
        num_repeats = state.failures.num_repeats if state.failures else 0
        return Due(user, counted, reason, num_repeats, state.is_condemned)

    def _counted(self, share: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(offset for offset in share if self._countersigned is None or offset < self._countersigned)

    def _share(self, state: _User) -> tuple[int, ...]:
        """The oldest events that fit one call, and half of those under suspicion; always at least one."""
        max_events = max_size = self._policy.max_size
        if state.failures is not None and state.is_suspect:
            max_events = min(max_events, max(1, state.backlog.num_up_to(state.failures.suspect_to) // 2))
        return state.backlog.share(max_events, max_size, self._policy.max_tokens)

    def covered(self, user: bytes, position: int, now_ms: int, failures: Failures) -> None:
        """It is durably settled what became of the user's events up to ``position``; what is left is scheduled anew."""
        state = self._users.get(user)
        if state is None:
            return
        num_dropped = state.backlog.drop(position)
        self.num_events -= num_dropped
        state.queue.num_events -= num_dropped
        state.in_flight, state.failures = False, failures
        state.forget_ids()
        self._weigh(state)
        if state.backlog.num_events:
            heapq.heappush(self._oldest, (state.backlog.first_arrived_at_ms, user))
            self._schedule(user, state, now_ms)
        else:
            self._leave(user, state)

    def _weigh(self, state: _User) -> None:
        before, state.weight = state.weight, weigh(state.backlog.num_events, len(state.event_ids), self._policy.max_events)
        change = state.weight - before
        self._weight += change
        state.queue.ordinary_bytes += change.ordinary_bytes
        state.queue.surplus_bytes += change.surplus_bytes

    def released(self, user: bytes, not_before_ms: int) -> None:
        """The user's call came to nothing through no fault of its own; the user is due again at ``not_before_ms``."""
        state = self._users.get(user)
        if state is None:
            return
        state.in_flight = False
        if state.backlog.num_events:
            self._schedule(user, state, not_before_ms, not_before_ms)
        else:  # forgotten during the call, and nothing has come since
            self._leave(user, state)

    def forget(self, user: bytes) -> int:
        """Nothing of the user waits any more; returns how many events did. The next call waits for the end of one in flight."""
        state = self._users.get(user)
        if state is None:
            return 0
        num_dropped, state.backlog = state.backlog.num_events, Backlog()
        self.num_events -= num_dropped
        state.queue.num_events -= num_dropped
        state.origins, state.event_ids, state.failures, state.due_at_ms = {}, {}, None, None
        self._weigh(state)
        self._is_no_longer_deferred(state)
        if not state.in_flight:
            self._leave(user, state)
        return num_dropped

    def failed(self, user: bytes, failures: Failures) -> None:
        """The user's call failed, and it is durable what that makes of the user."""
        state = self._users.get(user)
        if state is None:
            return
        state.failures = failures
        self.released(user, failures.not_before_ms)

    def oldest_arrived_at_ms(self) -> int | None:
        """When the event arrived that has been pending longest, or ``None`` if nothing is pending."""
        while self._oldest:
            arrived_at_ms, user = self._oldest[0]
            state = self._users.get(user)
            if state is not None and state.backlog.first_arrived_at_ms == arrived_at_ms:
                return arrived_at_ms
            heapq.heappop(self._oldest)
        return None

    def restore(self, user: bytes, rows: Iterable[tuple[int, Arrival]], known: Known, failures: Failures | None = None) -> None:
        """Recovery: note a user's stored pending events, in offset order. They were admitted before they were stored."""
        state = _User(known, self._queue_of(user), failures)
        for offset, arrival in rows:
            source, place = source_of(arrival), place_of(arrival)
            state.origins[source] = max(place, state.origins.get(source, (-1, -1)))
            self._note(user, state, offset, arrival)
