"""The audit finds what is planted, and says "holds" of every moment of a flow in which nothing is wrong."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.console import Console

from prefstream import audit_reader
from prefstream.audit import Audit, PartitionFolds, Verdict, conclude
from prefstream.audit_findings import Finding
from prefstream.audit_folds import PendingFold, SummariesFold
from prefstream.audit_origins import KeptFold, Reach, SourceFold
from prefstream.receipts import Receipt
from prefstream.rendering.audit import audit_report
from prefstream.summaries import Summary, encode_summary
from prefstream.topics import OWNER_KEY
from streams.controls import Decided, encode_decided
from streams.forgetting import ALL_GONE, ROWS_GONE, Fence, encode_fence
from streams.keys import controls_key, decided_key, event_key, failures_key, fence_key, recent_ids_key, user_prefix
from streams.ledger import LEDGER_KEY, encode_ledger
from streams.ledger import Ledger as WorkersLedger

NOW = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
Record = tuple[bytes | None, bytes | None]


def row(offset: int, user: str = "ada", value: bytes | None = b"event") -> Record:
    return event_key(user.encode(), offset), value


def deleted(offset: int, user: str = "ada") -> Record:
    return row(offset, user, None)


def ledger(
    position: int,
    accepted: int,
    redelivered: int = 0,
    duplicate: int = 0,
    dead: int = 0,
    *,
    filtered: int = 0,
    erased: int = 0,
) -> Record:
    to = {"s/0": 7}
    counts = WorkersLedger(position, accepted, redelivered, duplicate, dead, filtered=filtered, filtered_to=to, erased=erased)
    return LEDGER_KEY, encode_ledger(counts)


def summary(version: int, num_events: int, position: int, user: str = "ada", text: str = "") -> Record:
    record = Summary(
        user=user,
        version=version,
        text=text or f"Text {version}.",
        reason="size",
        updated_at=NOW,
        num_events=num_events,
        position=position,
    )
    return user.encode(), encode_summary(record)


def failures(num_dead: int, last_dead: int = -1, user: str = "ada") -> Record:
    """The row ``f`` of a user: of it, the audit reads the first two fields."""
    return failures_key(user.encode()), msgspec.msgpack.encode([num_dead, last_dead, -1, 0, "why"])


def decided(offset: int, user: str = "ada", command: str = "forget") -> Record:
    """The row ``r`` of a command that is decided."""
    receipt = Receipt(user=user, command=command, outcome="applied", at=NOW, command_position=offset)
    return decided_key(user.encode(), offset), encode_decided(Decided(receipt, b"{}"))


def receipted(offset: int, user: str = "ada") -> Record:
    return decided_key(user.encode(), offset), None


def fence(
    position: int, num_applied: int = 0, num_waiting: int = 0, *, user: str = "ada", version: int = 0, before: int = 0
) -> Record:
    """A forget fence, under a hash that says nothing of the user."""
    ended = num_applied + num_waiting
    made = Fence(position, "f1", NOW, {"s/0": 7}, version, version, num_applied, ended, before + ended, False, b"check")
    return fence_key(b"ada".hex().encode()), encode_fence(made)


TOMBSTONE: Record = (b"ada", None)
BARRIER: Record = (OWNER_KEY, b"owner")


def folded(
    pending: Sequence[Record] = (),
    summaries: Sequence[Record] = (),
    later: Sequence[Record] = (),
    *,
    events: Iterable[int] | None = None,
    beginning: int = 0,
) -> PartitionFolds:
    """One partition. ``events``: the offsets on its events topic; up to the ledger's position if not given."""
    waiting = PendingFold()
    for offset, (key, value) in enumerate(pending):
        waiting.read(key, value, offset)
    versions = SummariesFold(waiting.ledger.position)
    for offset, (key, value) in enumerate(summaries):
        versions.read(key, value, offset)
    for offset, (key, value) in enumerate(later, start=len(pending)):
        waiting.read_later(key, value, offset)
    versions.settle(waiting.forgets)
    kept = KeptFold(waiting.ledger.position)
    for offset in range(waiting.ledger.position) if events is None else events:
        kept.read(offset, 0)
    kept.beginning = beginning
    return PartitionFolds(waiting, versions, kept)


def audited(folds: PartitionFolds, *sources: SourceFold, namespace: str = "test") -> Audit:
    return conclude(namespace, {3: folds}, sources)


def test_a_shadow_begins_where_the_events_began_then_and_no_installation_does() -> None:
    """What lay before it was never its own to count, also when retention has moved on since."""
    counts = encode_ledger(WorkersLedger(9, accepted=4, began_at=5))
    folds = folded([row(8), (LEDGER_KEY, counts)], [summary(1, 3, 7)], events=[7, 8], beginning=7)
    assert audited(folds, namespace="shop.shadow-next").verdict == "holds"
    assert audited(folds, namespace="shop").verdict == "undecided"
    fewer = encode_ledger(WorkersLedger(9, accepted=4, began_at=4))
    folds = folded([row(8), (LEDGER_KEY, fewer)], [summary(1, 3, 7)], events=[7, 8], beginning=7)
    assert audited(folds, namespace="shop.shadow-next").verdict == "undecided"


class Case(NamedTuple):
    """What was read, and what has to be concluded; ``words`` of the one finding."""

    name: str
    folds: PartitionFolds
    verdict: Verdict = "holds"
    words: str = ""


THREE = [row(0), row(1), row(2), ledger(3, 3)]  # three events of one user, counted
DONE = [*THREE, deleted(0), deleted(1), deleted(2)]

CASES = [
    Case("nothing", folded()),
    Case("a barrier only", folded([BARRIER], [BARRIER])),
    Case("all pending", folded(THREE)),
    Case("all applied", folded(DONE, [summary(1, 3, 2)])),
    Case("applied and not yet deleted", folded(THREE, [summary(1, 3, 2)])),
    Case("in part applied", folded([*THREE, deleted(0)], [BARRIER, summary(1, 1, 0)])),
    Case("two users", folded([row(0), row(1, "bob"), ledger(2, 2)], [summary(1, 1, 0)])),
    Case("other outcomes", folded([row(0), ledger(6, 1, 1, 2, 2)])),
    Case("filtered records", folded([row(0), ledger(6, 1, filtered=5)])),
    Case("not counted yet", folded([*THREE, row(3), row(4)])),
    Case("compacted summaries", folded(DONE, [summary(3, 3, 2)])),
    Case("the same version again", folded(DONE, [summary(1, 3, 2), summary(1, 3, 2)])),
    Case("other kinds of rows", folded([*THREE, (recent_ids_key(b"ada"), b"x"), (controls_key(b"ada"), None)])),
    # in motion
    Case("ledger goes on", folded(THREE, [], [row(3), ledger(4, 4)])),
    Case("applied while reading", folded(THREE, [summary(1, 3, 2)], [deleted(0), deleted(1), deleted(2)])),
    Case("applied across the instant", folded(THREE, [summary(1, 4, 3)], [row(3), ledger(4, 4), deleted(0)])),
    Case("first counted while reading", folded([row(0)], [summary(1, 1, 0)], [ledger(1, 1)])),
    Case("cut, every offset counted", folded(DONE, [summary(1, 3, 2)], events=[2], beginning=2)),
    # given up
    Case("given up", folded([*THREE, failures(1, 0), deleted(0)])),
    Case("given up and not yet deleted", folded([*THREE, failures(1, 0)])),
    Case("given up, and others applied", folded([*THREE, failures(1, 0), *DONE[4:]], [summary(1, 2, 2)])),
    Case("only failed", folded([*THREE, failures(0), failures(0)])),
    Case("forgiven", folded([*THREE, failures(0), (failures_key(b"ada"), None)])),
    Case("given up while reading", folded(THREE, [], [failures(1, 0), deleted(0)])),
    Case("given up and covered while reading", folded(THREE, [summary(1, 2, 2)], [failures(1, 0), deleted(0)])),
    Case("given up across the instant", folded([*THREE, failures(1, 0)], [summary(1, 2, 2)], [deleted(0), failures(1, 0)])),
    Case("two of them", folded([*THREE, failures(1, 0), deleted(0)], [summary(1, 1, 2)], [failures(2, 1), deleted(1)])),
    Case("given up before it was counted here", folded([row(0), ledger(1, 1)], [], [row(1), ledger(2, 2), failures(1, 1)])),
    # forgotten
    Case("late events", folded([row(0), ledger(6, 1, erased=5)])),
    Case("forgotten while they wait", folded([*THREE, decided(3), fence(3, 0, 3), deleted(0), deleted(1), deleted(2)])),
    Case("forgotten, and the rows are still there", folded([*THREE, decided(3), fence(3, 0, 3)])),
    Case("decided, and not fenced yet", folded([*THREE, decided(3)])),
    Case("another command", folded([*THREE, decided(3, command="pin")])),
    Case("forgotten, and the summary is still there", folded([*DONE, decided(3), fence(3, 3, version=1)], [summary(1, 3, 2)])),
    Case("forgotten", folded([*DONE, decided(3), fence(3, 3, version=1)], [summary(1, 3, 2), TOMBSTONE])),
    Case("receipted", folded([*DONE, decided(3), fence(3, 3, version=1), receipted(3)], [summary(1, 3, 2), TOMBSTONE])),
    Case("long forgotten", folded([fence(3, 3, version=1), ledger(3, 3)])),
    Case("forgotten while reading", folded(DONE, [summary(1, 3, 2), TOMBSTONE], [decided(3), fence(3, 3, version=1)])),
    Case("forgotten while reading, tombstone to come", folded(DONE, [summary(1, 3, 2)], [decided(3), fence(3, 3, version=1)])),
    Case(
        "forgotten with what was given up",
        folded([*THREE, failures(1, 0), deleted(0), decided(3), fence(3, 0, 3), (failures_key(b"ada"), None)]),
    ),
    Case("a new life", folded([*DONE, fence(3, 3, version=1), row(4), ledger(5, 4, erased=1)], [summary(1, 3, 2), TOMBSTONE])),
    Case(
        "a new life with a summary",
        folded([*DONE, fence(3, 3, version=1), ledger(5, 4, erased=1)], [summary(1, 3, 2), TOMBSTONE, summary(2, 1, 4)]),
    ),
    Case(
        "forgotten twice",
        folded(
            [*DONE, fence(3, 3, version=1), ledger(5, 4, erased=1), fence(5, 1, version=2, before=3)],
            [summary(1, 3, 2), TOMBSTONE, summary(2, 1, 4), TOMBSTONE],
        ),
    ),
    Case(
        "the second time while reading",
        folded(
            [*DONE, fence(3, 3, version=1), ledger(5, 4, erased=1)],
            [summary(1, 3, 2), TOMBSTONE, summary(2, 1, 4), TOMBSTONE, summary(3, 1, 7)],
            [decided(5), fence(5, 1, version=2, before=3), ledger(8, 5, erased=3)],
        ),
    ),
    Case("forgotten while reading, by whom is gone", folded(DONE, [TOMBSTONE], [fence(3, 3, version=1)]), "undecided", "again"),
    Case("forgotten, and not all counted", folded([*DONE, fence(3, 2, version=1)], [TOMBSTONE]), "broken", "1 event missing"),
    Case("forgotten, and too much", folded([*DONE, fence(3, 4, version=1)], [TOMBSTONE]), "broken", "1 event too many"),
    Case(
        "forgotten, and the summary stays",
        folded([*DONE, decided(3), fence(3, 3, version=1), receipted(3)], [summary(1, 3, 2)]),
        "broken",
        "3 events too many: 3 applied + 0 pending + 3 erased, of 3 accepted",
    ),
    Case(
        "forgotten, and a row stays",
        folded([*THREE, decided(3), fence(3, 0, 3), deleted(0), deleted(1), receipted(3)]),
        "broken",
        "1 event too many",
    ),
    Case(
        "versions begin anew",
        folded([*DONE, fence(3, 3, version=2), row(3), ledger(4, 4)], [summary(2, 3, 2), TOMBSTONE, summary(1, 1, 3)]),
        "broken",
        "version 2 is followed by 1",
    ),
    Case(
        "the version before comes again",
        folded([*DONE, fence(3, 3, version=2), ledger(4, 4)], [summary(2, 3, 2), TOMBSTONE, summary(2, 1, 3)]),
        "broken",
        "2 comes again with another text",
    ),
    Case(
        "no fence", folded([*THREE, (fence_key(b"x"), b"\xff")]), "broken", "offset 4 of the pending topic is no forget fence"
    ),
    # compacted while it was read
    Case("failures gone", folded(THREE, [], [failures(2, 1), deleted(0), deleted(1)]), "undecided", "read again"),
    Case("row gone", folded(THREE[1:], [summary(1, 3, 2)], [deleted(0)]), "undecided", "read again"),
    Case("version gone", folded(THREE, [summary(2, 4, 3)], [ledger(4, 4)]), "undecided", "read again"),
    Case("ledger gone", folded([deleted(0), row(1)], [summary(1, 1, 0)], [ledger(2, 2)]), "undecided", "read again"),
    Case(
        "given up, and the ledger that counted it was compacted away",
        folded([failures(1, 0)], [], [row(1), ledger(2, 2)]),
        "undecided",
        "compaction went over what was being read",
    ),
    # planted
    Case("lost row", folded([*THREE, deleted(1)]), "broken", "1 event missing: 0 applied + 2 pending, of 3 accepted"),
    Case("lost events", folded(DONE, [summary(1, 1, 2)]), "broken", "2 events missing: 1 applied + 0 pending, of 3 accepted"),
    Case("lost while in motion", folded([*THREE, deleted(1)], [], [ledger(9, 9)]), "broken", "1 event missing"),
    Case("doubled", folded(DONE, [summary(1, 4, 2)]), "broken", "1 event too many: 4 applied + 0 pending, of 3 accepted"),
    Case("row twice", folded([*THREE, row(2, "bob")]), "broken", "1 event too many"),
    Case("erased", folded(DONE, [summary(1, 3, 2), (b"ada", None)]), "broken", "3 events missing"),
    Case("backwards", folded(DONE, [summary(2, 3, 2), summary(1, 3, 2)]), "broken", "version 2 is followed by 1 at offset 1"),
    Case("another text", folded(DONE, [summary(1, 3, 2), summary(1, 3, 2, text="X")]), "broken", "1 comes again with another"),
    Case("no summary", folded(DONE, [summary(1, 3, 2), (b"ada", b"{}")]), "broken", "offset 1 of the summaries topic is no"),
    Case("ledger behind", folded(THREE[:3], [summary(1, 3, 2)]), "broken", "stands at 0, and the event at 2 is applied"),
    Case("ledger behind deletes", folded([*DONE, deleted(3)], [summary(1, 3, 2)]), "broken", "stands at 3, and the event at 3"),
    Case("poison in a summary", folded([*THREE, failures(1, 0), deleted(0)], [summary(1, 3, 2)]), "broken", "1 event too many"),
    Case("poison not counted", folded([*THREE, deleted(0)], [summary(1, 2, 2)]), "broken", "1 event missing: 2 applied + 0"),
    Case("poison twice", folded([*THREE, failures(2, 0), deleted(0)]), "broken", "0 applied + 2 pending + 2 poison, of 3"),
    Case("no failures", folded([*THREE, (failures_key(b"ada"), b"\xff")]), "broken", "offset 4 of the pending topic is no row"),
    Case("no ledger", folded([*THREE, (LEDGER_KEY, b"\xff")]), "broken", "offset 4 of the pending topic is no ledger"),
    Case("filtered and not counted", folded([row(0), ledger(6, 1, filtered=4)]), "broken", "counts 5 events below 6"),
    Case("miscounted", folded([row(0), ledger(2, 1)]), "broken", "counts 1 event below 2, and the events topic has 2"),
    Case("too much counted", folded([row(0), ledger(2, 1, 1)], events=[0]), "broken", "counts 2 events below 2"),
    Case("cut, not every offset counted", folded([row(3), ledger(4, 1)], events=[3], beginning=3), "undecided", "removed what"),
    Case("cut, too little counted", folded([row(3), ledger(4, 1)], events=[2, 3], beginning=2), "broken", "counts 1 event"),
    Case("cut before it was counted", folded(THREE, events=[], beginning=5), "broken", "events from offset 3 on before"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_partition(case: Case) -> None:
    found = audited(case.folds)
    assert found.verdict == case.verdict
    assert [finding.where for finding in found.findings] == ["partition 3"] * bool(case.words)
    assert case.words in "".join(finding.what for finding in found.findings)
    assert case.words in found.sentence


def test_a_ledger_that_goes_back() -> None:
    findings = audited(folded([*THREE, ledger(2, 2)])).findings
    assert Finding("broken", "partition 3", "the ledger goes back at offset 4 of the pending topic") in findings


def test_a_count_of_events_given_up_that_goes_back() -> None:
    findings = audited(folded([*THREE, failures(2, 1), failures(1, 0)])).findings
    words = "the count of events given up goes back at offset 5 of the pending topic"
    assert Finding("broken", "partition 3", words) in findings


def test_what_moves_is_said() -> None:
    moving = [audited(folded(THREE, [], later)).partitions[0].is_moving for later in ([], [row(3)], [ledger(4, 4)])]
    assert moving == [False, False, True]


def test_only_what_reading_again_may_decide_is_worth_another_look() -> None:
    unsettled = folded(THREE[1:], [summary(1, 3, 2)], [deleted(0)])
    cut = folded([row(3), ledger(4, 1)], events=[3], beginning=3)
    broken = folded([*THREE[1:], (LEDGER_KEY, b"")], [summary(1, 3, 2)], [deleted(0)])
    assert [audited(folds).is_worth_another_look for folds in (unsettled, cut, broken, folded())] == [True, False, False, False]


@pytest.mark.parametrize(("wait_seconds", "verdict"), [(0.0, "undecided"), (60.0, "holds")])
def test_it_waits_only_for_what_may_be_decided(wait_seconds: float, verdict: Verdict, monkeypatch: pytest.MonkeyPatch) -> None:
    unsettled = audited(folded(THREE[1:], [summary(1, 3, 2)], [deleted(0)]))
    readings = iter([unsettled, unsettled, audited(folded()), unsettled])
    monkeypatch.setattr(audit_reader, "_audit_once", lambda *_: next(readings))
    assert audit_reader.audit("nobody:1", "test", lambda *_: None, wait_seconds).verdict == verdict


@pytest.mark.parametrize("width", [80, 120])
def test_what_a_person_sees(width: int) -> None:
    folds = {3: folded([*THREE, deleted(1)], [], [ledger(9, 9)]), 12: folded([row(0), ledger(6, 1, 1, 2, 2), failures(1, 0)])}
    others = [SourceFold("views", 1, range(9)), SourceFold("ratings", 0, range(0))]
    found = conclude("test", folds | {13: folded()}, [others[0], source(range(5, 1_209), range(5, 1_209)), others[1]])
    assert seen(found, width) == [
        "partition accepted applied pending poison redelivered duplicate dead on topic",
        "3 3 0 2 0 0 0 0 3",
        "12 1 0 0 1 1 2 2 6",
        "1 partition is empty",
        "total 4 0 2 1 1 2 2 9",
        "in motion: 3",
        "",
        "partition from committed found",
        "ratings",
        "1 5 1,209 1,204",
        "1 partition is empty",
        "views",
        "1 0 9 0",
        "",
        *" ".join(("broken partition 3: 1 event missing: 0 applied + 2 pending, of 3 accepted", found.sentence)).split("\n"),
    ]


def test_columns_without_a_number_are_left_out() -> None:
    assert seen(conclude("test", {3: folded(THREE)}, ()), 80)[:3] == [
        "partition accepted applied pending on topic",
        "3 3 0 3 3",
        "total 3 0 3 3",
    ]


def seen(found: Audit, width: int) -> list[str]:
    """Each line, its spaces made one; the findings and the verdict are one line."""
    console = Console(file=io.StringIO(), width=width)
    console.print(audit_report(found))
    assert isinstance(console.file, io.StringIO)
    lines = [" ".join(line.split()) for line in console.file.getvalue().splitlines()]
    assert all(len(line) <= width for line in console.file.getvalue().splitlines())
    end = len(lines) - lines[::-1].index("")
    return [*lines[:end], " ".join(lines[end:])]


def test_replays_are_counted_apart_from_what_platforms_published() -> None:
    replayed = SourceFold("test.replays", 0, range(9))
    for offset in range(5):
        replayed.met.add(offset)
    found = conclude("test", {}, [source(range(12), range(12)), replayed])
    assert "and 12 source records and 5 replays are accounted for" in found.sentence


def test_filtered_records_are_named_where_there_are_any() -> None:
    folds = {0: folded([row(0), ledger(6, 1, filtered=5)]), 1: folded([row(0), ledger(2, 1, filtered=1)])}
    assert conclude("ns", folds, []).sentence.endswith("accounted for; 6 filtered.")


def test_many_faults_are_counted_and_few_are_told() -> None:
    found = audited(folded(DONE, [summary(1, 3, 2, text=f"Text {number}.") for number in range(9)]))
    assert [finding.what[:9] for finding in found.findings] == ["version 1"] * 3 + ["and 5 mor"]
    assert found.sentence.endswith("; and 1 more.")


# What a worker does to one partition, in order; the audit may look at any moment of it.


class Flow:
    """A partition as a worker writes it: rows first, then the ledger, then summaries of counted events, then deletes."""

    def __init__(self) -> None:
        self.pending: list[Record] = []
        self.summaries: list[Record] = []
        self.moments = [(0, 0)]
        self._ledger = WorkersLedger()
        self._written = self._ledger
        self._waiting: dict[str, list[int]] = {user: [] for user in "ab"}
        self._applied: dict[str, tuple[int, int]] = dict.fromkeys("ab", (0, 0))
        self._deletes: list[Record] = []
        self._num_dead = dict.fromkeys("ab", 0)
        self._erased = dict.fromkeys("ab", 0)
        self._last_version = dict.fromkeys("ab", 0)
        self._unfinished: list[tuple[str, Fence]] = []
        self._ended: set[str] = set()  # whose summary's tombstone has its place in the order, and is not sent yet

    def act(self, action: str, user: str, count: int) -> None:
        match action:
            case "accept":
                self._waiting[user].append(self._ledger.position)
                self.pending.append(row(self._ledger.position, user))
                self._ledger = self._ledger.counted(self._ledger.position, "accepted")
            case "refuse":
                self._ledger = self._ledger.counted(self._ledger.position, "duplicate")
            case "filter":
                self._ledger = self._ledger.counted(self._ledger.position, "filtered")
            case "count":
                self._written = self._ledger
                self.pending.append((LEDGER_KEY, encode_ledger(self._ledger)))
            case "flush":
                self._flush(user, count)
            case "give up":
                self._give_up(user)
            case "forget":
                self._forget(user)
            case "finish":
                self._finish()
            case _:
                self.pending += self._deletes[:count]
                self._deletes = self._deletes[count:]
        self.moments.append((len(self.pending), len(self.summaries)))

    def _flush(self, user: str, count: int) -> None:
        taken = [offset for offset in self._waiting[user] if offset < self._written.position][:count]
        if not taken:
            return
        self._bury(user)
        version, num_events = self._applied[user]
        self._applied[user] = (version + 1, num_events + len(taken))
        self.summaries.append(summary(version + 1, num_events + len(taken), taken[-1], user))
        self._waiting[user] = self._waiting[user][len(taken) :]
        self._deletes += [deleted(offset, user) for offset in taken]

    def _give_up(self, user: str) -> None:
        """The user's oldest event, if it is counted: the count first, and at once or later the delete."""
        if not self._waiting[user] or self._waiting[user][0] >= self._written.position:
            return
        offset = self._waiting[user].pop(0)
        self._num_dead[user] += 1
        self.pending.append(failures(self._num_dead[user], offset, user))
        self.moments.append((len(self.pending), len(self.summaries)))
        self.pending.append(deleted(offset, user))

    def _write(self, *records: Record) -> None:
        """Records that the audit may see one by one."""
        for record in records:
            self.pending.append(record)
            self.moments.append((len(self.pending), len(self.summaries)))

    def _forget(self, user: str) -> None:
        """What was collected is counted first, then decision, fence and deletes in one order; the rest comes later."""
        self._written = self._ledger
        offset, (version, num_applied) = self._ledger.position, self._applied[user]
        ended = num_applied + len(self._waiting[user]) + self._num_dead[user]
        self._erased[user] += ended
        first, last = self._last_version[user] + 1, max(version, self._last_version[user])
        self._last_version[user] = last
        made = Fence(offset, "f", NOW, {}, first, last, num_applied, ended, self._erased[user], False, b"")
        late = [record for record in self._deletes if (record[0] or b"").startswith(user_prefix(b"e", user.encode()))]
        self._deletes = [record for record in self._deletes if record not in late]
        rows = [*late, *(deleted(waiting, user) for waiting in self._waiting[user])]
        rows += [(failures_key(user.encode()), None)] if self._num_dead[user] else []
        done = replace(made, stage=ROWS_GONE)
        self._write((LEDGER_KEY, encode_ledger(self._ledger)), decided(offset, user), self._fence(user, made), *rows)
        self._write(self._fence(user, done))
        self._ledger = self._ledger.counted(offset, "command")
        self._waiting[user], self._num_dead[user], self._applied[user] = [], 0, (last, 0)
        self._unfinished.append((user, done))
        if num_applied:
            self._ended.add(user)

    def _bury(self, user: str) -> None:
        """The tombstone of a life that was ended; a version of the next one comes behind it."""
        if user in self._ended:
            self._ended.remove(user)
            self.summaries.append((user.encode(), None))
            self.moments.append((len(self.pending), len(self.summaries)))

    def _finish(self) -> None:
        """The tombstone, and when that is durable the receipt, its row, and that nothing is left."""
        if not self._unfinished:
            return
        user, made = self._unfinished.pop(0)
        self._bury(user)
        self._write(receipted(made.position, user))
        if user not in [other for other, _ in self._unfinished]:  # else a newer fence stands there
            self._write(self._fence(user, replace(made, stage=ALL_GONE)))

    def _fence(self, user: str, made: Fence) -> Record:
        return fence_key(user.encode().hex().encode()), encode_fence(made)


def cleaned(log: Sequence[Record], end: int) -> list[Record | None]:
    """What compaction of everything before ``end`` leaves; ``None`` where it removed a record."""
    newest = {key: index for index, (key, _) in enumerate(log[:end])}
    return [record if index >= end or newest[record[0]] == index else None for index, record in enumerate(log)]


def left(records: Iterable[Record | None]) -> list[Record]:
    return [record for record in records if record is not None]


def up_to(end: int) -> st.SearchStrategy[int]:
    """How much is compacted; often as much as can be."""
    return st.just(end) | st.integers(0, end)


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            ["accept", "accept", "refuse", "filter", "count", "flush", "flush", "delete", "give up", "forget", "finish"]
        ),
        st.sampled_from("ab"),
        st.integers(1, 4),
    ),
    min_size=15,
    max_size=60,
)


@st.composite
def readings(draw: st.DrawFn) -> tuple[Flow, tuple[int, int, int]]:
    """A flow, and the three moments up to which pending, summaries, and the rest of pending are read."""
    flow = Flow()
    for action in draw(ACTIONS):
        flow.act(*action)
    moments = draw(st.lists(st.integers(0, len(flow.moments) - 1), min_size=3, max_size=3))
    first, second, third = sorted(moments)
    return flow, (flow.moments[first][0], flow.moments[second][1], flow.moments[third][0])


def test_a_count_that_a_forget_deletes_and_compaction_removed_is_not_missed() -> None:
    """The event was given up before the instant, and its count deleted, and compacted away, before it was read."""
    made = Fence(1, "f", NOW, {}, 1, 0, 0, 1, 1, False, b"")
    fence = fence_key(b"61"), encode_fence(made)
    rest = [decided(1, "a"), fence, (failures_key(b"a"), None)]
    found = audited(folded([ledger(1, 1), deleted(0, "a")], [], rest))
    assert found.verdict == "undecided"


@given(readings())
def test_every_moment_of_a_flow_holds(reading: tuple[Flow, tuple[int, int, int]]) -> None:
    flow, (instant, end, later) = reading
    found = audited(folded(flow.pending[:instant], flow.summaries[:end], flow.pending[instant:later]))
    assert (found.verdict, found.findings) == ("holds", ())


@given(readings(), st.data())
def test_compaction_is_never_taken_for_a_loss(reading: tuple[Flow, tuple[int, int, int]], data: st.DataObject) -> None:
    """What removes a record of a part is read after it: the rest of pending, or the same part's own end."""
    flow, (instant, end, later) = reading
    until_end = max(pending for pending, summaries in flow.moments if summaries <= end)
    first = left(cleaned(flow.pending, data.draw(up_to(min(until_end, later))))[:instant])
    rest = left(cleaned(flow.pending[:later], data.draw(up_to(later)))[instant:])
    versions = left(cleaned(flow.summaries, data.draw(up_to(end)))[:end])
    assert audited(folded(first, versions, rest)).verdict != "broken"


@given(readings(), st.data())
def test_a_lost_row_is_found_at_every_moment(reading: tuple[Flow, tuple[int, int, int]], data: st.DataObject) -> None:
    flow, (instant, end, later) = reading
    sound = folded(flow.pending[:instant], flow.summaries[:end], flow.pending[instant:later])
    position = sound.pending.ledger.position
    pending = [row for row in sound.pending.waiting if row.offset < position and not sound.summaries.covers(row)]
    pending = [row for row in pending if sound.pending.is_pending(row) and row not in sound.pending.died_later]
    if pending:
        lost = event_key(*data.draw(st.sampled_from(sorted(pending))))
        rest = [record for record in flow.pending[instant:later] if record[0] != lost]
        without = [record for record in flow.pending[:instant] if record[0] != lost]
        assert audited(folded(without, flow.summaries[:end], rest)).verdict == "broken"


# Sources


def source(
    bounds: range, met: Iterable[int], records: Iterable[tuple[int, int]] = (), how_far: Reach | None = None
) -> SourceFold:
    """A source partition; ``records`` are the offsets and times of those that exist where none was met."""
    fold = SourceFold("ratings", 1, bounds)
    for offset in met:
        fold.met.add(offset)
    for offset, at_ms in records:
        fold.read(offset, at_ms, how_far or Reach())
    return fold


def test_what_expired_before_it_was_read_is_noted() -> None:
    found = conclude("test", {}, [SourceFold("ratings", 1, range(0), num_expired=1_200)])
    assert found.verdict == "holds"
    assert [(one.kind, one.where, one.what) for one in found.findings] == [
        ("note", "ratings, partition 1", "1,200 expired before they were read, which the workers noticed and said")
    ]


@pytest.mark.parametrize(
    ("fold", "verdict", "words"),
    [
        (source(range(0), []), "holds", "0 source records are accounted for"),
        (source(range(5, 6), range(12)), "holds", "1 source record is accounted for"),
        (source(range(5, 9), range(12)), "holds", "4 source records are accounted for"),
        (
            source(range(5, 9), [5, 7, 8]),
            "holds",
            "3 source records are accounted for",
        ),  # nothing at offset 6, a marker perhaps
        (
            source(range(5, 9), [5, 7, 8], [(6, 99)]),
            "broken",
            "ratings, partition 1: 1 record is committed and found nowhere: offset 6",
        ),
        (
            source(range(9), [0], [(n, 99) for n in range(1, 9)]),
            "broken",
            "8 records are committed and found nowhere: offset 1, 2, 3, ...",
        ),
        (
            source(range(9), [8], [(n, n) for n in range(8)], Reach(10, 10)),
            "holds",
            "8 records are older than retention reaches",
        ),
        (
            source(range(9), [8], [(n, n) for n in range(8)], Reach(4, 10)),
            "undecided",
            "4 records are committed and found nowhere; what",
        ),
        (
            source(range(9), [8], [(n, n) for n in range(8)], Reach(4, 7)),
            "broken",
            "1 record is committed and found nowhere: offset 7",
        ),
        (source(range(9, 5), []), "broken", "retention removed records from offset 5 on"),
        (source(range(3), [0, 1], [(2, 99), (3, 99)]), "broken", "1 record is committed and found nowhere: offset 2"),
    ],
)
def test_a_source_partition(fold: SourceFold, verdict: Verdict, words: str) -> None:
    found = audited(folded(), fold)
    assert found.verdict == verdict
    assert words in found.sentence
