"""Collect: stores each new event of the keyed topic as pending, notes it in the index, and does nothing slow.

Place in the flow: after intake, before dispatch. Duplicates stop here: redelivered ones by origin, a publisher's retries by id;
so do commands, which are obeyed in their place, and the events of who has opted out.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from faust import StreamT
from faust.types import Message

from agents.clock import now_ms
from agents.failstop import stopping_on_error
from agents.forget import Forget
from agents.intake import raw_record
from agents.metrics import Metrics
from agents.obey import Obey
from agents.outbox import Outbox
from agents.owned import Owned
from agents.partitions import Partitions
from agents.progress import Progress
from agents.tracing import OFF, Tracing
from prefstream.commands import Command, CommandBase
from prefstream.commands import Forget as ForgetCommand
from prefstream.events import Event
from prefstream.tenants import key_of
from streams.forgetting import fate_behind
from streams.ledger import Outcome
from streams.pending import Known
from streams.records import (
    FILTERED_MARK,
    Arrival,
    Detailed,
    Filtered,
    decode_detailed,
    decode_filtered,
    decode_record,
    filtered_key,
    not_after,
)
from streams.routing import refuse


class _Read(NamedTuple):
    """What intake wrote of an event or command."""

    arrival: Detailed
    record: Event | Command


class Collect:
    """The agent's body: admit, store, note."""

    def __init__(
        self,
        partitions: Partitions,
        outbox: Outbox,
        obey: Obey,
        forget: Forget,
        events_topic_id: str,
        progress: Progress,
        metrics: Metrics,
        tracing: Tracing = OFF,
    ) -> None:
        self._partitions = partitions
        self._outbox = outbox
        self._obey = obey
        self._forget = forget
        self._events_topic_id = events_topic_id
        self._progress = progress
        self._metrics = metrics
        self._tracing = tracing

    @stopping_on_error("collect")
    async def run(self, events: StreamT[bytes]) -> None:
        """Collect events in offset order; an offset is done when its pending row is on its way to the log."""
        async for event in events.events():
            message = event.message
            if not self._progress.accept(message.tp, message.offset):
                continue
            owned = self._partitions.get(message.partition)
            if owned is None:
                continue
            if message.offset >= owned.ledger.position:  # below it everything was counted before a crash
                read = _read(message)
                if _is_forget(read) and not await self._forget.is_settled(owned):
                    continue
                trace = self._tracing.collects(message)
                outcome = self._collect(owned, message, read)
                owned.count(message.offset, outcome)
                trace.ended(outcome, is_failure=outcome == "dead")
            self._progress.done(message.tp, message.offset)
            await owned.writer.room()

    def _collect(self, owned: Owned, message: Message, read: _Read | Filtered | None) -> Outcome:
        if read is None or self._outbox.partition_of(message.key) != message.partition:
            self._refuse(message)
            return "dead"
        outcome = owned.note_filtered(read.origin) if isinstance(read, Filtered) else self._take(owned, message, *read)
        self._metrics.collected.labels(outcome).inc()
        return outcome

    def _take(self, owned: Owned, message: Message, arrival: Detailed, record: Event | Command) -> Outcome:
        fence = owned.fences.of(message.key)
        if fence is not None and message.offset > fence.position and (fate := fate_behind(fence, arrival, record)):
            return fate
        if isinstance(record, ForgetCommand):
            self._forget.forget(owned, message.key, message.offset, arrival, record)
            self._tracing.forgets(message)
            return "command"
        if isinstance(record, CommandBase) or owned.controls(message.key).was_opted_out(message.offset):
            return self._pass(owned, message, arrival, record)
        return self._admit(owned, message, arrival)

    def _admit(self, owned: Owned, message: Message, arrival: Arrival) -> Outcome:
        user = message.key
        outcome = owned.index.admit(user, message.offset, not_after(arrival, now_ms()), _known(owned, user))
        if outcome == "accepted":
            owned.append(user, message.offset, message.value)
        elif outcome == "duplicate":
            owned.note_passed(user, message.offset, arrival)
        return outcome

    def _pass(self, owned: Owned, message: Message, arrival: Arrival, record: Event | Command) -> Outcome:
        """A command is obeyed, an event left out. Its place is noted first: a row of the same lane, so durable before."""
        user, offset = message.key, message.offset
        outcome: Outcome = owned.index.passes(user, arrival, _known(owned, user))
        if outcome != "redelivered":
            owned.note_passed(user, offset, arrival)
        if outcome != "accepted":
            return outcome
        if not isinstance(record, CommandBase):
            return "filtered"
        self._obey.obey(owned, user, offset, record)
        return "command"

    def _refuse(self, message: Message) -> None:
        """Somebody else wrote to the keyed topic what intake did not."""
        reason = "not a record of intake: publish events to a source topic instead"
        self._metrics.dead_letters.labels("undecodable").inc()
        self._outbox.refuse(refuse(raw_record(message), "undecodable", reason, self._events_topic_id, now_ms()))


def _is_forget(read: _Read | Filtered | None) -> bool:
    return isinstance(read, _Read) and isinstance(read.record, ForgetCommand)


def _known(owned: Owned, user: bytes) -> Known | None:
    """What the index does not know of a user who is not in it."""
    return None if user in owned.index else owned.known(user)


def _read(message: Message) -> _Read | Filtered | None:
    """What intake wrote, or ``None`` for what somebody else did: once stored, that would stop every worker that takes it up."""
    try:
        if (message.key or b"").startswith(FILTERED_MARK):
            filtered = decode_filtered(message.value)
            return filtered if filtered_key(filtered.origin) == message.key else None
        arrival = decode_detailed(message.value)
        record = decode_record(arrival)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError, OverflowError):
        return None
    return _Read(arrival, record) if key_of(record.tenant, record.user) == message.key else None
