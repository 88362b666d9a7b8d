"""Failures: what a failed call makes of a user: the same share again, half of it, or one event that can never succeed.

Place in the flow: write back asks it when a call has failed, the index of who waits obeys it. It is kept in the user's row
``f`` beside what is pending, so a restart forgets neither where the search stands nor how long the user waits.

A share that fails is suspect, and the older half of what is suspect is tried next, success or not, until what is left is one
event: log2 of a share in calls. That alone drops nothing, so it needs no proof. An event is given up when it failed alone often
enough, and only those failures count that the model cannot be blamed for: since the user's last failure it answered well for
somebody. With a model that answers nobody well, users wait, longer each time, and nothing is given up.

Often enough is what would hardly happen to a good event. An attempt is what became of a user's turn, whether that was one call
or two, where a rejected answer was asked for again at once. If a share ``s`` of the other users' attempts fails too, a good
event fails ``n`` times in a row with a chance of ``s ** n``. It is given up when that is at most 1 in 100, which takes
``ceil(log(0.01) / log(s))`` attempts, and three at least: 3 for s = 0, 7 for 0.5, 44 for 0.9, 152 for 0.97; for 1 none suffice.
The share changes, and a restart forgets it. So each attempt counts by the share of its own time, and the product is in the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from prefstream.dead_letters import MAX_LETTER_VALUE_BYTES, DeadLetter
from prefstream.tenants import tenant_of
from streams.budgets import NO_DEBT, Debt
from streams.flush import FlushPolicy, backoff_ms
from streams.records import Arrival

FailureKind = Literal[
    "refused",  # the server will not take this prompt
    "rejected",  # the guards will not take the answer
    "unanswered",  # no answer, or a server error, while others are answered
    "unprocessable",  # a defect of ours, before or after the call
]

MAX_ATTEMPTS = 3  # of one event alone, by a model that works for all others
MAX_CHANCE = 0.01  # that a good event fails as often
MAX_UNANSWERED = 8  # the same where nobody answered: a server that fails now and then must not cost a good event
MAX_REASON_CHARS = 400


class Failure(Struct, frozen=True):
    """Why a call failed, or could not be made. ``reason`` may quote what the server said: it is kept, and not logged."""

    kind: FailureKind
    reason: str


class Failures(Struct, frozen=True, array_like=True):
    """A user's row ``f``. Offsets are those of the keyed topic, -1 for none; instants are ms since 1970, 0 for never.

    ``num_dead`` counts the events given up so far: the auditor reads it, as the first field. ``last_dead`` is the last of
    them, whose pending row a crash may have left over. Up to ``suspect_to`` no call takes more than half of what is there.
    ``num_attempts`` and ``num_unanswered`` count the failures of the event at ``suspect_to`` alone; ``num_repeats`` the
    failures that left the share as it was, since the user's last success. The event at ``condemned`` is to be given up, for
    ``reason``. ``chance`` is that of a good event to fail ``num_attempts`` times. ``debt`` is what the user owes of their own
    budget, which has nothing to do with failing, and is kept here because this is the row that says how long a user waits.
    """

    num_dead: int = 0
    last_dead: int = -1
    suspect_to: int = -1
    num_attempts: int = 0
    num_unanswered: int = 0
    num_repeats: int = 0
    failed_at_ms: int = 0
    not_before_ms: int = 0
    condemned: int = -1
    reason: str = ""
    chance: float = 1.0
    debt: Debt = NO_DEBT


encode_failures = msgspec.msgpack.Encoder().encode
decode_failures = msgspec.msgpack.Decoder(Failures).decode


def after_failure(
    before: Failures,
    offsets: Sequence[int],
    failure: Failure,
    accepted_at_ms: int,
    failed_share: float,
    policy: FlushPolicy,
    now_ms: int,
) -> Failures:
    """What the failed call of the share at these ``offsets`` makes of a user.

    ``accepted_at_ms`` is when an answer was last accepted, for whomever; 0 if the failure proves nothing anyway.
    ``failed_share`` of the other users' attempts fails, 0 to 1.
    """
    model_works = 0 < before.failed_at_ms < accepted_at_ms
    failed = replace(before, failed_at_ms=now_ms, reason=f"{failure.kind}: {failure.reason}"[:MAX_REASON_CHARS])
    if len(offsets) == 1:
        return _alone(failed, offsets[0], failure, model_works, failed_share, policy)
    if failure.kind == "unanswered" and not model_works:
        return _repeated(failed, policy)
    return replace(failed, suspect_to=offsets[-1], not_before_ms=now_ms + backoff_ms(1, policy))


def _repeated(failed: Failures, policy: FlushPolicy) -> Failures:
    num_repeats = failed.num_repeats + 1
    return replace(failed, num_repeats=num_repeats, not_before_ms=failed.failed_at_ms + backoff_ms(num_repeats, policy))


def _alone(
    failed: Failures, offset: int, failure: Failure, model_works: bool, failed_share: float, policy: FlushPolicy
) -> Failures:
    if failed.suspect_to != offset or failed.condemned >= 0:
        failed = replace(failed, suspect_to=offset, num_attempts=0, num_unanswered=0, condemned=-1, chance=1.0)
    if model_works and failure.kind == "unanswered":
        failed = replace(failed, num_unanswered=failed.num_unanswered + 1)
    elif model_works:
        failed = replace(failed, num_attempts=failed.num_attempts + 1, chance=failed.chance * failed_share)
    is_unlikely = failed.num_attempts >= MAX_ATTEMPTS and failed.chance <= MAX_CHANCE
    if is_unlikely or failed.num_unanswered >= MAX_UNANSWERED:
        return replace(failed, condemned=offset, not_before_ms=0)
    return _repeated(failed, policy)


def after_success(before: Failures, position: int) -> Failures:
    """What a summary that covers all up to ``position`` leaves of a user's failures."""
    if position < before.suspect_to:
        return Failures(
            before.num_dead, before.last_dead, before.suspect_to, failed_at_ms=before.failed_at_ms, debt=before.debt
        )
    return Failures(before.num_dead, before.last_dead, debt=before.debt)


def after_death(before: Failures) -> Failures:
    """The condemned event is given up. The next one starts afresh, but not the waiting: it may be the user's old text."""
    return Failures(
        before.num_dead + 1,
        before.condemned,
        num_repeats=before.num_repeats,
        failed_at_ms=before.failed_at_ms,
        debt=before.debt,
    )


def not_waiting_for(failures: Failures, policy: FlushPolicy, now_ms: int) -> Failures:
    """The same by the clock of who reads it: a former owner's may have been ahead, and nobody waits for that."""
    latest_ms = now_ms + int(policy.max_backoff_seconds * 1_000)
    if failures.failed_at_ms <= now_ms and failures.not_before_ms <= latest_ms:
        return failures
    return replace(
        failures, failed_at_ms=min(failures.failed_at_ms, now_ms), not_before_ms=min(failures.not_before_ms, latest_ms)
    )


def poison_letter(user: bytes, arrival: Arrival, failures: Failures, source: str, now_ms: int) -> DeadLetter:
    """The dead letter of a condemned event: the event itself as JSON of the contract, so that it can be read and replayed.

    ``source`` is the name of the topic it came from, empty if nobody knows it any more. What the event is does not matter here:
    it may be condemned because this version does not know it.
    """
    value = msgspec.json.encode(msgspec.msgpack.decode(arrival.event))
    return DeadLetter(
        origin=arrival.origin,
        source=source,
        reason="poison",
        message=failures.reason,
        key=user,
        value=value[:MAX_LETTER_VALUE_BYTES],
        value_size=len(value),
        attempts=failures.num_attempts + failures.num_unanswered,
        first_seen_at=datetime.fromtimestamp(arrival.arrived_at_ms / 1_000, UTC),
        last_seen_at=datetime.fromtimestamp(now_ms / 1_000, UTC),
        is_event=True,
        tenant=tenant_of(user),
    )
