"""The judge: says of every record that was published where it went, from what lies on the topics alone.

It shares no code with what it judges: the formats are read anew, from their documentation. :func:`judge` reads the topics
(``tests/chaos/exhibits.py``), :func:`judge_records` judges what was read (``tests/chaos/inquiry.py``). With a journal of what
was published it also knows what should have become of it.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from tests.chaos.exhibits import Exhibits, RawRecord, read_exhibits, with_former
from tests.chaos.inquiry import (
    Events,
    Found,
    Letters,
    Pending,
    Summaries,
    check_history,
    longest_stall_seconds,
    num_leftovers,
    settle,
)
from tests.chaos.journal import Journal, Place, Sent, load_journal
from tests.chaos.judgement import FATES, Fate, Findings, Judgement, Whereabouts
from tests.chaos.keeping import check_kept
from tests.chaos.readings import Arrived, Letter, Origin
from tests.chaos.wishes import Wishes


def judge(
    bootstrap_servers: str,
    namespace: str,
    sources: Iterable[str] = (),
    journal: Journal | None = None,
    *,
    expects_poison: bool = False,
) -> Judgement:
    """Read the topics of ``namespace`` and its source topics, and judge them.

    Source topics are the inbox, those of the consumer group's offsets, and ``sources``. Workers may run: what they have not
    done yet is pending.
    """
    return judge_records(read_exhibits(bootstrap_servers, namespace, sources), journal, expects_poison=expects_poison)


def judge_records(exhibits: Exhibits, journal: Journal | None = None, *, expects_poison: bool = False) -> Judgement:
    """Judge what was read. ``expects_poison``: good events may become dead letters, whatever the journal says."""
    findings = Findings()
    exhibits = with_former(exhibits, journal.former if journal else ())
    events = Events(exhibits, findings)
    letters = Letters(exhibits, events, findings)
    pending = Pending(exhibits, findings)
    summaries = Summaries(exhibits, events, letters, findings)
    wishes = Wishes(exhibits, findings)
    found = settle(exhibits, events, letters, pending, summaries, wishes, findings)
    wishes.check(events.commands, summaries.versions)
    pending.check_ledgers(events)
    check_history(exhibits, findings)
    check_kept(exhibits, summaries.chains, findings)
    sources = _Sources(exhibits, events, letters, found)
    sources.check_origins(findings)
    if journal is not None:
        sources.check_journal(journal, findings, expects_poison=expects_poison)
    for one in sources.whereabouts:
        if one.fate == "lost":
            findings.add("lost", f"{one.topic}/{one.partition}/{one.offset}: {one.evidence}")
    fates = Counter(one.fate for one in sources.whereabouts)
    return Judgement(
        namespace=exhibits.namespace,
        counts={fate: fates[fate] for fate in FATES},
        num_redelivered=events.num_redelivered,
        num_leftover_rows=num_leftovers(pending, summaries),
        num_users=sum(chain.version > 0 for chain in summaries.chains.values()),
        num_versions=summaries.num_versions,
        longest_stall_seconds=longest_stall_seconds(sources.waited_from_ms, summaries.progress, exhibits.read_at_ms),
        findings=findings.all(),
        whereabouts=tuple(sources.whereabouts),
    )


class _Sources:
    """The source topics: what each of their records became."""

    def __init__(self, exhibits: Exhibits, events: Events, letters: Letters, found: Mapping[Origin, Found]) -> None:
        self.whereabouts: list[Whereabouts] = []
        self.waited_from_ms: list[int] = []
        self._exhibits = exhibits
        self._events = events
        self._letters = letters
        self._found = found
        self._made: dict[Place, list[Arrived]] = defaultdict(list)
        self._names = {topic_id: topic for topic, topic_id in exhibits.topic_ids.items()}
        for one in events.by_origin.values():
            self._made[self._place(one.origin)].append(one)
        for record in exhibits.sources:
            self._trace(record)

    def _place(self, origin: Origin) -> Place:
        return Place(self._names.get(origin.topic_id, ""), origin.partition, origin.offset)

    def _trace(self, record: RawRecord) -> None:
        made = self._made.get(Place(*record[:3]), [])
        found = {one.origin.number: self._found[one.origin] for one in made} or {0: self._without_event(record)}
        for index, (fate, evidence) in sorted(found.items()):
            self.whereabouts.append(Whereabouts(*record[:3], index, fate, evidence))
            if fate in ("applied", "pending"):
                self.waited_from_ms.append(record.timestamp_ms)

    def _letter(self, place: Place) -> Letter | None:
        """The dead letter of a whole record."""
        return self._letters.of_records.get(self._origin_of(place))

    def _origin_of(self, place: Place) -> Origin:
        """The origin of a whole record."""
        return Origin(self._exhibits.topic_ids[place.topic], place.partition, place.offset, 0)

    def _without_event(self, record: RawRecord) -> Found:
        """What became of a record of which nothing is on the events topic."""
        letter = self._letter(Place(*record[:3]))
        if letter is not None:
            return Found("dead", letter.where)
        if filtered := self._events.filtered.get(self._origin_of(Place(*record[:3]))):
            return filtered
        if self._is_read(Place(*record[:3])):
            return Found("lost", "read and committed, and nothing came of it")
        return Found("pending", "not read yet")

    def check_origins(self, findings: Findings) -> None:
        """What is on the internal topics comes from a record that a source shows, and no record is dead and an event."""
        for one in self._events.by_origin.values():
            self._check_origin(one.origin, self._events.where(one), findings)
        for origin, found in self._events.filtered.items():
            self._check_origin(origin, found.evidence, findings)
            if self._made.get(self._place(origin)) or origin in self._letters.of_records:
                findings.add("impossible", f"{found.evidence}, and the record has events or a dead letter too")
        accepted = {one.origin for accepted in self._events.accepted.values() for one in accepted}
        for letter in (*self._letters.of_records.values(), *self._letters.of_events.values()):
            self._check_origin(letter.origin, letter.where, findings)
            if letter.is_event and letter.origin not in accepted:
                findings.add("impossible", f"{letter.where} is the dead letter of an event that was not accepted")
            elif not letter.is_event and self._made.get(self._place(letter.origin)):
                findings.add("dead_and_applied", f"{letter.where} refuses a record of which events are on the events topic")

    def _check_origin(self, origin: Origin, where: str, findings: Findings) -> None:
        place = self._place(origin)
        if origin.offset >= self._exhibits.ends.get(place[:2], 0) or place in self._exhibits.aborted:
            findings.add("from_nowhere", f"{where} comes from {tuple(origin)}, and no source shows such a record")

    def check_journal(self, journal: Journal, findings: Findings, *, expects_poison: bool) -> None:
        """What was sent is there, and became what it should."""
        fates: dict[Place, list[Fate]] = defaultdict(list)
        for one in self.whereabouts:
            fates[Place(one.topic, one.partition, one.offset)].append(one.fate)
        for sent in journal.records:
            words = "/".join(map(str, sent.place))
            if sent.place not in fates:
                findings.add("not_on_source", f"{words} was acknowledged")
            elif problem := self._wrong(sent, fates[sent.place], expects_poison):
                findings.add("wrong_fate", f"{words}: {problem}")

    def _wrong(self, sent: Sent, fates: Sequence[Fate], expects_poison: bool) -> str:
        """What is other than the journal says about a record; empty if nothing is."""
        made = sorted(self._made.get(sent.place, []), key=lambda one: one.origin)
        if not made:
            if "filtered" in fates and (sent.events or sent.reason):
                return f"filtered, not {sent.reason or 'its events'}"
            letter = self._letter(sent.place)
            reason = letter.reason if letter else ""
            # What waits or is lost has no fate yet to be wrong.
            return f"a dead letter with {reason!r}, not {sent.reason!r}" if letter and reason != sent.reason else ""
        if sent.reason:
            return f"an event, not a dead letter with {sent.reason!r}"
        if "dead" in fates and not expects_poison:
            return "a dead letter of a good event"
        intended = [(index, event.user.encode(), event.event_id) for index, event in enumerate(sent.events)]
        actual = [(one.origin.number, one.user, one.event_id) for one in made]
        # Its events go to several partitions, each on its own way: until it is committed, some may not have arrived.
        if problem := _unlike_intended(sent, fates):
            return problem
        is_right = actual == intended if self._is_read(sent.place) else set(actual) <= set(intended)
        return "" if is_right else f"its events are {actual}, not {intended}"

    def _is_read(self, place: Place) -> bool:
        """Whether the group has committed the record: all that is made of it is there."""
        return place.offset < self._exhibits.committed.get((place.topic, place.partition), 0)


def _unlike_intended(sent: Sent, fates: Sequence[Fate]) -> str:
    """Whether an event was left out that was to be learnt from, or the other way round; and the same of commands."""
    for event, fate in zip(sent.events, fates, strict=False):
        if fate in ("applied", "filtered", "command") and fate != event.fate:
            return f"{fate}, not {event.fate}"
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns 0 when nothing was found, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.judge", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--bootstrap-servers", default="127.0.0.1:9092", help="where Kafka is (default: %(default)s)")
    parser.add_argument("--namespace", default="prefstream", help="whose topics to judge (default: %(default)s)")
    parser.add_argument("--source", action="append", default=[], help="a source topic that the group may not have read")
    parser.add_argument("--journal", type=Path, help="what a workload saved; without it the intended fates are unknown")
    parser.add_argument("--expects-poison", action="store_true", help="accepted events may become dead letters")
    options = parser.parse_args(arguments)
    journal = load_journal(options.journal) if options.journal else None
    judgement = judge(
        options.bootstrap_servers, options.namespace, options.source, journal, expects_poison=options.expects_poison
    )
    Console().print(judgement)
    return 0 if judgement.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
