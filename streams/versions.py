"""Versions: what one evolve call is based on, and the summary it makes when its answer is accepted.

Place in the flow: dispatch builds a :class:`Step` from a user's summary and due events; write back turns the step and the
accepted text into the next version. Text, version, positions and origins are one record: the commit point.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from prefstream.events import Event
from prefstream.summaries import FlushReason, ModelUsed, Summary, Tally
from streams.evidence import Evidence, evidence_of
from streams.pending import Place, highest, place_of, source_of
from streams.records import MAX_RECENT_IDS, Arrival, decode_event
from streams.redaction import DEFAULT_REDACTION, Kind, Redaction, redacted
from streams.tally import fold


class Step(Struct, frozen=True):
    """What one evolve call is based on: the summary it starts from and the pending events it covers, in offset order.

    ``redacted`` counts what was taken out of the events' texts, by kind.
    """

    user: str
    base: Summary | None
    offsets: tuple[int, ...]
    reason: FlushReason
    evidence: tuple[Evidence, ...]
    tally: Tally
    origins: dict[str, Place]
    event_ids: tuple[str, ...]
    first_event_at: datetime
    last_event_at: datetime
    arrived_at_ms: int
    redacted: Mapping[Kind, int]

    @property
    def base_version(self) -> int:
        """The version an answer to this step must still find in place."""
        return self.base.version if self.base else 0

    @property
    def old_text(self) -> str:
        """The text that is to evolve, empty for a new user."""
        return self.base.text if self.base else ""

    @property
    def pins(self) -> tuple[str, ...]:
        """The statements every new text has to keep."""
        return self.base.pins if self.base else ()


def step_from(
    user: bytes,
    base: Summary | None,
    rows: Sequence[tuple[int, Arrival]],
    reason: FlushReason,
    redaction: Redaction = DEFAULT_REDACTION,
) -> Step:
    """The step that covers these pending events (at least one); what ``redaction`` takes out, neither tally nor prompt sees."""
    found: Counter[Kind] = Counter()
    events = []
    for _, arrival in rows:
        event, counts = redacted(decode_event(arrival), redaction)
        events.append(event)
        found.update(counts)
    evidence = tuple(evidence_of(event) for event in events)
    return Step(
        user=user.decode(),
        base=base,
        offsets=tuple(offset for offset, _ in rows),
        reason=reason,
        evidence=evidence,
        tally=fold(base.tally if base else Tally(), evidence),
        origins=_merged_origins(base, rows),
        event_ids=tuple(arrival.event_id for _, arrival in rows if arrival.event_id),
        first_event_at=_earliest(base, events),
        last_event_at=_latest(base, events),
        arrived_at_ms=min(arrival.arrived_at_ms for _, arrival in rows),
        redacted=found,
    )


def _merged_origins(base: Summary | None, rows: Sequence[tuple[int, Arrival]]) -> dict[str, Place]:
    origins = base.origins if base else {}
    for _, arrival in rows:
        origins = highest(origins, {source_of(arrival): place_of(arrival)})
    return dict(origins)


def _earliest(base: Summary | None, events: Sequence[Event]) -> datetime:
    instants = [event.at for event in events]
    return min([*instants, base.first_event_at] if base and base.first_event_at else instants)


def _latest(base: Summary | None, events: Sequence[Event]) -> datetime:
    instants = [event.at for event in events]
    return max([*instants, base.last_event_at] if base and base.last_event_at else instants)


def next_summary(step: Step, text: str, tokens: int, model: ModelUsed, now: datetime) -> Summary:
    """The version that an accepted text makes of a step."""
    base = step.base
    return Summary(
        user=step.user,
        version=step.base_version + 1,
        text=text,
        previous_version=step.base_version,
        reason=step.reason,
        updated_at=now,
        first_event_at=step.first_event_at,
        last_event_at=step.last_event_at,
        num_events=(base.num_events if base else 0) + len(step.offsets),
        num_new_events=len(step.offsets),
        position=step.offsets[-1],
        command_position=base.command_position if base else -1,
        tokens=tokens,
        pins=step.pins,
        model=model,
        tally=step.tally,
        origins=step.origins,
    )


def remember_ids(recent: Sequence[str], new: Sequence[str]) -> tuple[str, ...]:
    """The event ids to remember for a user, newest last, bounded."""
    return tuple(dict.fromkeys([*recent, *new]))[-MAX_RECENT_IDS:]
