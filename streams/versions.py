"""Versions: what one evolve call is based on, and the summary it makes when its answer is accepted.

Place in the flow: dispatch builds a :class:`Step` from a user's summary and due events; write back turns the step and the
accepted text into the next version. Text, version, positions and origins are one record: the commit point.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from prefstream.events import Event
from prefstream.summaries import FlushReason, ModelUsed, Summary, Tally
from prefstream.tenants import user_of
from streams.controls import NO_CONTROLS, Controls
from streams.discretion import discreet_evidence, discreet_tally, discreet_text
from streams.evidence import Evidence, evidence_of
from streams.evolution.guards.sensitive import off_for
from streams.forgetting import FIRST_LIFE, Life
from streams.places import Place, highest, place_of, source_of
from streams.records import Arrival, decode_event
from streams.redaction import DEFAULT_REDACTION, Kind, Redaction, redacted
from streams.sensitive_words import Category
from streams.subjects import evidence_without, speaks_of, tally_without
from streams.tally import fold

_EPOCH = datetime.fromtimestamp(0, UTC)


class Step(Struct, frozen=True):
    """What one evolve call is based on: the summary it starts from and the pending events it covers, in offset order.

    ``redacted`` counts what was taken out of the events' texts, by kind; ``left_out`` the passages on sensitive matters that
    are ``off`` for this person. ``base`` is without them, too.
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
    left_out: Mapping[Category, int]
    off: frozenset[Category]
    controls: Controls = NO_CONTROLS
    tenant: str = ""
    life: Life = FIRST_LIFE

    @property
    def base_version(self) -> int:
        """The version an answer to this step must still find in place."""
        return self.base.version if self.base else self.life.last_version

    @property
    def old_text(self) -> str:
        """The text that is to evolve, empty for a new user."""
        return self.base.text if self.base else ""

    @property
    def covered_at_seconds(self) -> float | None:
        """When the newest event happened that the old text covers (since 1970); ``None`` where that is not known."""
        return self.base.last_event_at.timestamp() if self.base and self.base.last_event_at else None

    @property
    def newest_at_seconds(self) -> float:
        """When the newest of these events happened (seconds since 1970): by its own clock, and not after it arrived."""
        return max(one.at_seconds for one in self.evidence)

    @property
    def kept(self) -> tuple[str, ...]:
        """The statements every new text has to keep."""
        return self.controls.kept


def step_from(
    user: bytes,
    base: Summary | None,
    rows: Sequence[tuple[int, Arrival]],
    reason: FlushReason,
    controls: Controls = NO_CONTROLS,
    redaction: Redaction = DEFAULT_REDACTION,
    allowed: frozenset[Category] = frozenset(),
    life: Life = FIRST_LIFE,
) -> Step:
    """The step that covers these pending events (at least one), without what the person never wants inferred.

    What ``redaction`` takes out, neither tally nor prompt sees; nor what is sensitive, but for the categories ``allowed``.
    """
    off = off_for(allowed, controls.allows, controls.nevers)
    base = _discreet(base, off, controls) if base else None
    events, found = _told(rows, redaction)
    evidence, left_out = _learnt(events, off, controls.nevers)
    tally = _counted(base, evidence, controls)
    tenant, name = user_of(user)
    return Step(
        user=name,
        tenant=tenant,
        base=base,
        offsets=tuple(offset for offset, _ in rows),
        reason=reason,
        evidence=evidence,
        tally=tally,
        origins=_merged_origins(base, rows),
        event_ids=tuple(arrival.event_id for _, arrival in rows if arrival.event_id),
        first_event_at=_earliest(base, events),
        last_event_at=_latest(base, events),
        arrived_at_ms=min(arrival.arrived_at_ms for _, arrival in rows),
        redacted=found,
        left_out=left_out,
        off=off,
        controls=controls,
        life=life,
    )


def _told(rows: Sequence[tuple[int, Arrival]], redaction: Redaction) -> tuple[list[Event], Counter[Kind]]:
    """The events without personal details, none later than its arrival, and how many of these details there were."""
    found: Counter[Kind] = Counter()
    events = []
    for _, arrival in rows:
        event, counts = redacted(decode_event(arrival), redaction)
        events.append(_not_ahead(event, arrival))
        found.update(counts)
    return events, found


def _not_ahead(event: Event, arrival: Arrival) -> Event:
    """The event, dated by its arrival where the clock it was dated by was ahead: or all that comes after it would be late."""
    if int(event.at.timestamp() * 1_000) <= arrival.arrived_at_ms:
        return event
    return replace(event, at=_EPOCH + timedelta(milliseconds=arrival.arrived_at_ms))


def _discreet(base: Summary, off: frozenset[Category], controls: Controls) -> Summary:
    """The summary without what was said before it was off; most are as they were."""
    return replace(base, text=discreet_text(base.text, off, controls.kept), tally=discreet_tally(base.tally, off))


def _learnt(
    events: Sequence[Event], off: frozenset[Category], nevers: Sequence[str]
) -> tuple[tuple[Evidence, ...], Counter[Category]]:
    """The evidence; what a `never` names first, as an item is of it by attributes that are left out for being off."""
    found: Counter[Category] = Counter()
    learnt = []
    for event in events:
        evidence = evidence_without(evidence_of(event), nevers) if nevers else evidence_of(event)
        evidence, left_out = discreet_evidence(evidence, off)
        learnt.append(evidence)
        found.update(left_out)
    return tuple(learnt), found


def _counted(base: Summary | None, evidence: Sequence[Evidence], controls: Controls) -> Tally:
    tally = fold(base.tally if base else Tally(), evidence)
    return tally_without(tally, speaks_of(controls.nevers)) if controls.nevers else tally


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
        tenant=step.tenant,
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
        command_position=step.controls.applied_position,
        tokens=tokens,
        pins=step.controls.pins,
        own_words=step.controls.own_words,
        model=model,
        tally=step.tally,
        origins=step.origins,
    )


def spared_summary(step: Step, base: Summary, now: datetime) -> Summary:
    """The version that keeps the text of ``base``, the step's own: its events say nothing new, and are counted all the same."""
    summary = next_summary(step, base.text, base.tokens, base.model, now)
    return replace(summary, num_spared_events=base.num_spared_events + summary.num_new_events)
