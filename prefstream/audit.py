"""Audit: whether the topics themselves prove that no event is lost and none is counted twice; the accounts and the verdict.

Place in the flow: beside it. :mod:`prefstream.audit_reader` reads the topics into :mod:`prefstream.audit_folds` and
:mod:`prefstream.audit_origins`, and this judges what was read. ``docs/audit.md`` says what is compared, and why it can be
compared while workers run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from msgspec import Struct

from prefstream.audit_findings import MAX_EXAMPLES, Finding
from prefstream.audit_folds import PendingFold, SummariesFold
from prefstream.audit_origins import KeptFold, SourceFold
from prefstream.audit_rows import EventRow
from prefstream.topics import TopicNames

Verdict = Literal["holds", "undecided", "broken"]


class PartitionAccount(Struct, frozen=True, kw_only=True):
    """One partition of the keyed topics, at the ledger's ``position``.

    ``accepted`` are those of the users who are in it: of somebody who was moved here with all that was accepted elsewhere.

    ``poison`` are accepted events that were given up later, ``dead`` are records that nobody should have written there,
    ``erased`` are accepted events of people who were forgotten since, ``late`` such as came when they were forgotten already.
    ``filtered`` stand for source records without an event, or are events of who had opted out; ``commands`` are what people
    asked for, whatever became of it.
    ``num_on_topic`` events lie below it on the events topic, from the offset ``beginning`` on. ``is_moving``: the ledger went
    on while the topics were read. ``began_at``: of a shadow, the first offset that it counted.
    """

    partition: int
    position: int
    accepted: int
    applied: int
    pending: int
    poison: int
    erased: int
    late: int
    redelivered: int
    duplicate: int
    dead: int
    filtered: int
    commands: int
    num_on_topic: int
    beginning: int
    is_moving: bool
    began_at: int = 0


class SourceAccount(Struct, frozen=True, kw_only=True):
    """One source partition from ``beginning`` to ``committed``: how many of its records were met again by their origin.

    Not met: ``older`` ones, whose event or dead letter may be gone by age, ``unsure`` ones, whose may be gone otherwise, and
    ``lost`` ones.
    """

    topic: str
    partition: int
    beginning: int
    committed: int
    met: int
    older: int
    unsure: int
    lost: int


class Audit(Struct, frozen=True, kw_only=True):
    """What the topics of a namespace prove."""

    namespace: str
    verdict: Verdict
    sentence: str
    partitions: tuple[PartitionAccount, ...]
    sources: tuple[SourceAccount, ...]
    findings: tuple[Finding, ...]

    @property
    def is_worth_another_look(self) -> bool:
        """Whether nothing is wrong, and reading again may decide what could not be decided."""
        return self.verdict == "undecided" and any(finding.kind == "unsettled" for finding in self.findings)


class PartitionFolds(NamedTuple):
    """What was read of one partition of the keyed topics."""

    pending: PendingFold
    summaries: SummariesFold
    events: KeptFold


def conclude(namespace: str, partitions: Mapping[int, PartitionFolds], sources: Sequence[SourceFold]) -> Audit:
    """What follows from everything that was read."""
    is_shadow = bool(TopicNames(namespace).shadow_of)
    accounts = tuple(_partition_account(number, folds, is_shadow) for number, folds in sorted(partitions.items()))
    source_accounts = tuple(_source_account(source) for source in sources)
    findings = [
        finding
        for account in accounts
        for finding in _partition_findings(account, partitions[account.partition], f"partition {account.partition}")
    ]
    findings += [finding for source in sources for finding in _source_findings(source)]
    verdict = _verdict(findings)
    return Audit(
        namespace=namespace,
        verdict=verdict,
        sentence=_sentence(namespace, verdict, accounts, source_accounts, findings),
        partitions=accounts,
        sources=source_accounts,
        findings=tuple(findings),
    )


def _partition_account(number: int, folds: PartitionFolds, is_shadow: bool) -> PartitionAccount:
    pending, summaries, events = folds
    ledger = pending.ledger
    return PartitionAccount(
        partition=number,
        position=ledger.position,
        accepted=ledger.accepted + ledger.moved,
        applied=summaries.applied,
        pending=sum(_is_below(row, folds) and not summaries.covers(row) and pending.is_pending(row) for row in pending.waiting),
        poison=_num_given_up(folds),
        erased=pending.forgets.num_erased,
        late=ledger.erased,
        redelivered=ledger.redelivered,
        duplicate=ledger.duplicate,
        dead=ledger.dead,
        filtered=ledger.filtered,
        commands=ledger.commands,
        num_on_topic=events.num_below_position,
        beginning=events.beginning,
        is_moving=pending.later != ledger,
        began_at=ledger.began_at if is_shadow else 0,
    )


def _is_below(row: EventRow, folds: PartitionFolds) -> bool:
    return row.offset < folds.pending.ledger.position


def _num_given_up(folds: PartitionFolds) -> int:
    """Events given up at the instant; and later ones, where the summary that counts as the instant's goes beyond them."""
    pending, summaries, _ = folds
    later = (row for row in pending.died_later if _is_below(row, folds))
    return sum(deaths.num_dead for deaths in pending.deaths.values()) + sum(
        summaries.covers(row) or not pending.is_pending(row) for row in later
    )


def _partition_findings(account: PartitionAccount, folds: PartitionFolds, where: str) -> Iterator[Finding]:
    pending, summaries, _ = folds
    yield from pending.faults.findings(where)
    yield from summaries.faults.findings(where)
    ahead = max(summaries.highest_position, pending.last_settled)
    if ahead >= pending.later.position:
        what = f"the ledger stands at {pending.later.position}, and the event at {ahead} is applied or given up already"
        yield Finding("broken", where, what)
    elif pending.num_unseen or summaries.num_unseen or pending.last_settled >= account.position:
        yield Finding("unsettled", where, "compaction went over what was being read: read again")
    else:
        yield from _sum_findings(account, where)
    yield from _topic_findings(account, pending.ledger.total, pending.later.position, where)


def _sum_findings(account: PartitionAccount, where: str) -> Iterator[Finding]:
    """Every event that was accepted is applied, pending, given up or erased, and no other is."""
    surplus = account.applied + account.pending + account.poison + account.erased - account.accepted
    if surplus:
        fate = "too many" if surplus > 0 else "missing"
        what = f"{_events(abs(surplus))} {fate}: {_fates(account.applied, account.pending, account.poison, account.erased)}"
        yield Finding("broken", where, f"{what}, of {account.accepted:,} accepted")


def _fates(applied: int, pending: int, poison: int, erased: int) -> str:
    rare = [f" + {count:,} {name}" for name, count in (("poison", poison), ("erased", erased)) if count]
    return f"{applied:,} applied + {pending:,} pending{''.join(rare)}"


def _topic_findings(account: PartitionAccount, counted: int, later: int, where: str) -> Iterator[Finding]:
    """Every event of the topic is counted once. There are at most as many as offsets, so that many decide it after a cut."""
    what = f"the ledger counts {_events(counted)} below {account.position:,}, and the events topic has {account.num_on_topic:,}"
    if account.beginning > later:
        yield Finding("broken", where, f"retention removed events from offset {later} on before they were counted")
    elif not account.num_on_topic <= counted <= account.num_on_topic + account.beginning:
        yield Finding("broken", where, what)
    elif account.beginning and counted != account.position - account.began_at:
        yield Finding("undecided", where, f"{what}: retention removed what lay below {account.beginning:,}")


def _source_account(source: SourceFold) -> SourceAccount:
    return SourceAccount(
        topic=source.topic,
        partition=source.partition,
        beginning=source.met.bounds.start,
        committed=source.met.bounds.stop,
        met=len(source.met),
        older=source.older,
        unsure=source.unsure,
        lost=source.lost,
    )


def _source_findings(source: SourceFold) -> Iterator[Finding]:
    where = f"{source.topic}, partition {source.partition}"
    if source.met.bounds.start > source.met.bounds.stop:
        what = f"retention removed records from offset {source.met.bounds.stop} on before they were taken in"
        yield Finding("broken", where, what)
    if source.lost:
        offsets = ", ".join(str(offset) for offset in source.first_lost)
        more = ", ..." if source.lost > MAX_EXAMPLES else ""
        what = f"{_records(source.lost)} committed and found nowhere: offset {offsets}{more}"
        yield Finding("broken", where, what)
    if source.unsure:
        what = f"{_records(source.unsure)} committed and found nowhere; what was made of them may have been removed"
        yield Finding("undecided", where, what)
    if source.num_expired:
        yield Finding(
            "note", where, f"{source.num_expired:,} expired before they were read, which the workers noticed and said"
        )
    if source.older:
        what = f"{_records(source.older)} older than retention reaches, and not looked for"
        yield Finding("note", where, what)


def _events(count: int) -> str:
    return f"{count:,} event{'' if count == 1 else 's'}"


def _records(count: int) -> str:
    return f"{count:,} record{' is' if count == 1 else 's are'}"


def _verdict(findings: Iterable[Finding]) -> Verdict:
    kinds = {finding.kind for finding in findings}
    if "broken" in kinds:
        return "broken"
    return "undecided" if kinds & {"unsettled", "undecided"} else "holds"


def _sentence(
    namespace: str,
    verdict: Verdict,
    accounts: Sequence[PartitionAccount],
    sources: Sequence[SourceAccount],
    findings: Sequence[Finding],
) -> str:
    shown = [finding for finding in findings if finding.kind == "broken" or (verdict != "broken" and finding.kind != "note")]
    if shown:
        opening = "Does not hold" if verdict == "broken" else "Cannot be decided"
        facts = "; ".join(f"{finding.where}: {finding.what}" for finding in shown[:MAX_EXAMPLES])
        more = f"; and {len(shown) - MAX_EXAMPLES:,} more" if len(shown) > MAX_EXAMPLES else ""
        return f"{opening}: {facts}{more}."
    accepted = sum(account.accepted for account in accounts)
    fates = _fates(
        *(sum(getattr(account, name) for account in accounts) for name in ("applied", "pending", "poison", "erased"))
    )
    replays = TopicNames(namespace).replays
    num_replays = sum(source.met for source in sources if source.topic == replays)
    met, older = sum(source.met for source in sources) - num_replays, sum(source.older for source in sources)
    again = f" and {num_replays:,} replay{'' if num_replays == 1 else 's'}" if num_replays else ""
    notes = f", and {_records(older)} older than retention reaches" if older else ""
    filtered = sum(account.filtered for account in accounts)
    notes += f"; {filtered:,} filtered" if filtered else ""
    late = sum(account.late for account in accounts)
    notes += f"; {late:,} of people who were forgotten came late" if late else ""
    read = f"{met:,} source record{'' if met == 1 else 's'}{again} {'is' if met == 1 and not again else 'are'} accounted for"
    return f"Holds: {_events(accepted)} accepted = {fates}, and {read}{notes}."
