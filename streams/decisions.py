"""Decisions: what one command makes of somebody's controls and summary, and the receipt that says so (collect → **decision**).

Place in the flow: behind :mod:`streams.changes` and :mod:`streams.adoption`, which say what each command changes. Every command
that is applied makes a version at once, without a model, if there is a summary: so an answer that began before it finds another
version in place, and is made again. Time is an argument; positions are offsets of the events topic.
"""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from prefstream.commands import Adopt, Command, GiveBack
from prefstream.receipts import Receipt, ReceiptOutcome, RefusalReason
from prefstream.summaries import Summary
from streams.adoption import adopted
from streams.changes import Change, Person, Refusal, change_of
from streams.controls import Controls
from streams.tokens import estimate_text_tokens


class Decision(Struct, frozen=True):
    """The controls after a command, its receipt, and the version it makes, if any."""

    controls: Controls
    receipt: Receipt
    summary: Summary | None


def decide(command: Command, person: Person, position: int, now: datetime) -> Decision:
    """What the command at the offset ``position`` makes of the person. ``forget`` does not come here."""
    is_own = isinstance(command, Adopt | GiveBack)
    match adopted(command, person) if isinstance(command, Adopt | GiveBack) else change_of(command, person):
        case Refusal(reason, message):
            controls = replace(person.controls, position=position)
            return Decision(controls, _receipt(command, position, now, "refused", reason, message), None)
        case Change() as change if change.is_none(person):
            return Decision(replace(person.controls, position=position), _receipt(command, position, now, "unchanged"), None)
        case Change() as change:
            controls = replace(change.controls, position=position)
            if not is_own:  # what the person asked for last, which is no part of what the installation does with a text
                controls = replace(controls, applied_position=position)
            if controls.is_opted_out != person.controls.is_opted_out:
                controls = controls.with_opting(controls.is_opted_out, position)
            summary = _version(person, replace(change, controls=controls), now)
            version = summary.version if summary else 0
            receipt = _receipt(command, position, now, "applied", message=change.message, version=version)
            return Decision(controls, receipt, summary)


def undecided(command: Command, person: Person, position: int, message: str, now: datetime) -> Decision:
    """The decision about a command that meets a defect of this program: it is refused, and stops nobody."""
    controls = replace(person.controls, position=position)
    return Decision(controls, _receipt(command, position, now, "refused", "unprocessable", message), None)


def _receipt(
    command: Command,
    position: int,
    now: datetime,
    outcome: ReceiptOutcome,
    reason: RefusalReason = "",
    message: str = "",
    version: int = 0,
) -> Receipt:
    return Receipt(
        user=command.user,
        tenant=command.tenant,
        command=str(command.__struct_config__.tag),
        id=command.id,
        outcome=outcome,
        reason=reason,
        message=message,
        at=now,
        command_position=position,
        version=version,
    )


def _version(person: Person, change: Change, now: datetime) -> Summary | None:
    """The version that the change makes; none where there is no summary, unless the person wrote one."""
    base = person.summary
    if base is None:
        if not change.is_authored:
            return None
        version = person.life.last_version
        base = Summary(user=person.user, tenant=person.tenant, version=version, text="", reason="control", updated_at=now)
    return replace(
        base,
        version=base.version + 1,
        previous_version=base.version,
        text=change.text,
        reason="control",
        updated_at=now,
        num_new_events=0,
        command_position=change.controls.applied_position,
        tokens=change.tokens or estimate_text_tokens(change.text),
        pins=change.controls.pins,
        own_words=change.controls.own_words,
        model=base.model if change.model is None else change.model,
        tally=change.tally,
    )
