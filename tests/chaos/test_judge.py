"""The judge can fail: every kind of crime, planted in an honest run, is found, and nothing else is."""

from __future__ import annotations

import ast
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.chaos.exhibits import Exhibits, RawRecord
from tests.chaos.inquiry import longest_stall_seconds
from tests.chaos.journal import Former, IntendedEvent, Journal, Place, Sent, load_journal
from tests.chaos.judge import judge_records, main
from tests.chaos.judgement import MAX_EXAMPLES, Crime, Findings, Judgement
from tests.chaos.keeping import NUM_SURE, kept_key

SECOND = 1_000
IDS = {"s": "ID-s", "ns.events": "ID-events"}
NEW_ID = "ID-s-again"
OWN = ("events", "dead-letters", "pending", "summaries", "history", "receipts")


class World:
    """A run of one keyed partition, record by record; a crime is what is done to its lists afterwards.

    Source ``s`` has two partitions. Each method writes what a correct worker writes.
    """

    def __init__(self) -> None:
        self.topics: dict[str, list[RawRecord]] = {topic: [] for topic in ("s/0", "s/1", *OWN)}
        self.committed = {("s", 0): 0, ("s", 1): 0, ("ns.events", 0): 0}
        self.sent: list[Sent] = []
        self.aborted: set[tuple[str, int, int]] = set()
        self.topic_ids = dict(IDS)
        self.former: list[Former] = []
        self._marks: dict[tuple[str, int], int] = {}
        for name in ("pending", "summaries"):
            self.write(name, b"\xffowner", b"owner")

    def write(self, topic: str, key: bytes | None, value: bytes | None) -> int:
        """Append a record; returns its offset. Every record is a second younger than the one before in its topic."""
        records = self.topics[topic]
        name, partition = ("s", int(topic[-1])) if topic.startswith("s/") else (f"ns.{topic}", 0)
        offset = records[-1].offset + 1 if records else 0
        records.append(RawRecord(name, partition, offset, len(records) * SECOND, key, value))
        return offset

    def publish(self, partition: int, *users: str, event_id: str = "", reason: str = "") -> int:
        """A source record with an event of each of these users, or one that becomes a dead letter."""
        offset = self.write(f"s/{partition}", None, b"raw")
        self.committed["s", partition] = offset + 1
        self.sent.append(Sent(Place("s", partition, offset), tuple(IntendedEvent(user, event_id) for user in users), reason))
        return offset

    def forward(self, partition: int, offset: int, user: str, index: int = 0, event_id: str = "", mark: int = 0) -> int:
        """The event of a source record on the events topic; returns its offset there."""
        if not mark:
            mark = self._marks[user, partition] = self._marks.get((user, partition), 0) + 1
        event = {"type": "view", "user": user, "item": {"id": "1", "title": f"Heat @s/{partition}#{mark}"}}
        arrival = [[self.topic_ids["s"], partition, offset, index], 1_700_000_000_000, 20, event_id, event]
        place = self.write("events", user.encode(), msgspec.msgpack.encode(arrival))
        self.committed["ns.events", 0] = place + 1
        return place

    def keep(self, user: str, place: int) -> None:
        """The pending row of an event."""
        self.write("pending", row_key(user, place), self.topics["events"][place].value)

    def take(self, partition: int, user: str, event_id: str = "") -> int:
        """A source record with one event, all the way to its row; returns its place on the events topic."""
        place = self.forward(partition, self.publish(partition, user, event_id=event_id), user, event_id=event_id)
        self.keep(user, place)
        return place

    def refuse(self, origin: Iterable[str | int], reason: str, *, is_event: bool = False) -> None:
        """A dead letter, of a record or of an event."""
        letter = {"origin": [*origin], "source": "s", "reason": reason, "message": "m", "is_event": is_event}
        self.write("dead-letters", b"origin", msgspec.json.encode(letter))

    def cover(self, user: str, places: list[int], **fields: Any) -> None:
        """The next version of a user with these events, and the deletion of their rows."""
        versions = [msgspec.json.decode(one.value or b"{}") for one in self.topics["summaries"] if one.key == user.encode()]
        before: dict[str, Any] = versions[-1] if versions else {"version": 0, "num_events": 0, "origins": {}}
        num_events = before["num_events"] + fields.get("num_new_events", len(places))
        summary = {
            "user": user,
            "version": before["version"] + 1,
            "text": f"Text {before['version'] + 1}.",
            "previous_version": before["version"],
            "num_events": num_events,
            "num_new_events": len(places),
            "position": places[-1] if places else before["position"],
            "tally": {"num_events": num_events, "domains": {"": {"num_events": num_events}}},
            "origins": before["origins"] | dict(self._origin(place) for place in places),
        }
        published = summary | fields
        self.write("history", kept_key(user.encode(), published["version"]), msgspec.json.encode(published))
        self.write("summaries", user.encode(), msgspec.json.encode(published))
        for place in places:
            self.write("pending", row_key(user, place), None)

    def _origin(self, place: int) -> tuple[str, list[int]]:
        origin = msgspec.msgpack.decode(self.topics["events"][place].value or b"")[0]
        return f"{origin[0]}/{origin[1]}", origin[2:]

    def ask(self, user: str, kind: str, statement: str = "", text: str = "", *, is_decided: bool = True) -> int:
        """A command, and where it is decided its receipt; with a ``text`` also its version. Returns its place."""
        offset = self.publish(0)
        asked = IntendedEvent(user, fate="command")
        self.sent[-1] = msgspec.structs.replace(self.sent[-1], events=(asked,))
        command = {"type": kind, "user": user} | ({"statement": statement} if statement else {})
        arrival = [[self.topic_ids["s"], 0, offset, 0], 1_700_000_000_000, 0, "", command]
        place = self.write("events", user.encode(), msgspec.msgpack.encode(arrival))
        self.committed["ns.events", 0] = place + 1
        if text:
            self.cover(user, [], text=text, command_position=place)
        if is_decided:
            self.receive(user, kind, place, version=3 if text else 0)
        return place

    def receive(self, user: str, kind: str, place: int, **fields: Any) -> None:
        """A receipt."""
        receipt = {"user": user, "command": kind, "outcome": "applied", "command_position": place} | fields
        self.write("receipts", user.encode(), msgspec.json.encode(receipt))

    def filter(self, partition: int, offset: int) -> None:
        """That a source record makes no event, on the events topic."""
        value = msgspec.msgpack.encode([[self.topic_ids["s"], partition, offset, 0], 1_700_000_000_000])
        self.committed["ns.events", 0] = self.write("events", b"\xff" + struct.pack(">Q", offset), value) + 1

    def count(self, position: int, *counts: int, filtered: int = 0, commands: int = 0) -> None:
        """A ledger: accepted, redelivered, duplicate, dead; the topic's id, which is not read; filtered; places; commands."""
        numbers = (*counts, 0, 0, 0)[:4]
        self.write("pending", b"l", msgspec.msgpack.encode([position, *numbers, "ID-events", filtered, {}, commands]))

    def create_again(self) -> None:
        """The source is deleted, with all that is on it, and created again."""
        records = [self.topics[topic].pop(0)[1:4] for topic in ("s/0", "s/1") for _ in self.topics[topic][:]]
        self.former.append(Former("s", IDS["s"], tuple(records)))
        self.sent = [msgspec.structs.replace(sent, place=sent.place._replace(topic=self.former[0].name)) for sent in self.sent]
        self.topic_ids["s"] = NEW_ID
        self.committed |= {("s", 0): 0, ("s", 1): 0}

    def edit(self, topic: str, index: int, **fields: Any) -> None:
        """Change fields of a JSON record."""
        record = self.topics[topic][index]
        value = msgspec.json.encode(msgspec.json.decode(record.value or b"") | fields)
        self.topics[topic][index] = record._replace(value=value)

    def exhibits(self) -> Exhibits:
        """What the judge is shown."""
        own = {name.replace("-", "_"): tuple(self.topics[name]) for name in OWN}
        records = [one for topic in self.topics.values() for one in topic]
        ends = {(one.topic, one.partition): one.offset + 1 for one in records}
        return Exhibits(
            namespace="ns",
            num_partitions=1,
            read_at_ms=60 * SECOND,
            sources=(*self.topics["s/0"], *self.topics["s/1"]),
            topic_ids=self.topic_ids,
            committed=self.committed,
            beginnings=dict.fromkeys(ends, 0),
            ends=ends,
            aborted=frozenset(self.aborted),
            **own,
        )

    def judged(self, *, expects_poison: bool = False, knows: bool = True) -> Judgement:
        """The judgement; ``knows``: with the journal."""
        journal = Journal({"s": "native"}, tuple(self.sent), former=tuple(self.former)) if knows else None
        return judge_records(self.exhibits(), journal, expects_poison=expects_poison)


def row_key(user: str, place: int) -> bytes:
    encoded = user.encode()
    return struct.pack(">cH", b"e", len(encoded)) + encoded + struct.pack(">Q", place)


def failures_key(user: str) -> bytes:
    return struct.pack(">cH", b"f", len(user)) + user.encode()


ADA, BOB = "a|d\0a", "bob"


def honest() -> World:
    """Two users, two versions of one of them; a retry, a redelivery, a dead letter, a record of two events, one that waits."""
    world = World()
    first = [world.take(0, ADA), world.take(1, ADA, "id-1"), world.take(0, ADA)]  # at 0, 1, 2
    world.forward(0, world.publish(0, ADA, event_id="id-1"), ADA, event_id="id-1")  # 3: a retry
    world.forward(0, 1, ADA, mark=2)  # 4: redelivered
    world.count(5, 3, 1, 1)
    world.cover(ADA, first)
    refused = world.publish(1, reason="undecodable")
    world.refuse([IDS["s"], 1, refused, 0], "undecodable")
    several = world.publish(1, ADA, BOB)
    second = [world.forward(1, several, ADA), world.take(0, ADA)]  # 5, 6
    world.keep(ADA, 5)
    bobs = world.forward(1, several, BOB, 1)  # 7
    world.keep(BOB, bobs)
    world.cover(BOB, [bobs])
    world.cover(ADA, second)
    world.take(1, BOB)  # 8
    world.count(9, 7, 1, 1)
    return world


def test_an_honest_run_is_clean() -> None:
    judgement = honest().judged()
    assert judgement.findings == ()
    assert judgement.counts == {
        "applied": 6, "duplicate": 1, "filtered": 0, "command": 0, "erased": 0, "dead": 1, "pending": 1, "lost": 0
    }  # fmt: skip
    assert (judgement.num_redelivered, judgement.num_users, judgement.num_versions) == (1, 2, 3)
    assert judgement.is_clean
    assert not judgement.is_settled
    assert "Clean so far: 1 events wait." in judgement.report()
    evidence = {(one.partition, one.offset, one.index): (one.fate, one.evidence) for one in judgement.whereabouts}
    assert evidence[0, 0, 0] == ("applied", "ns.summaries/0/1 has 3 of the 3 events up to 2")
    assert evidence[0, 2, 0] == ("duplicate", "ns.events/0/1 has its id 'id-1'")
    assert evidence[1, 1, 0] == ("dead", "ns.dead-letters/0/0")
    assert evidence[1, 3, 0] == ("pending", "its row of ns.events/0/8 on ns.pending")


def test_a_source_that_was_created_again_is_two_sources() -> None:
    judgement = created_again().judged()
    assert judgement.findings == ()
    assert judgement.counts == {
        "applied": 9, "duplicate": 1, "filtered": 0, "command": 0, "erased": 0, "dead": 1, "pending": 0, "lost": 0
    }  # fmt: skip
    fates = {(one.topic, one.partition, one.offset, one.index): one.fate for one in judgement.whereabouts}
    assert (fates["s@ID-s", 1, 1, 0], fates["s", 0, 0, 0], fates["s", 1, 0, 0]) == ("dead", "applied", "applied")


def test_without_a_journal_nobody_knows_that_there_was_a_former_topic() -> None:
    assert created_again().judged(knows=False).crimes.keys() == {"from_nowhere"}


def test_what_is_under_way_is_pending() -> None:
    world = honest()
    world.publish(0, BOB)
    world.committed["s", 0] -= 1  # not read yet
    world.forward(1, world.publish(1, BOB), BOB)  # not collected yet
    judgement = world.judged()
    assert judgement.is_clean
    assert judgement.counts["pending"] == 3


def test_of_a_record_that_is_not_read_yet_some_events_may_be_missing() -> None:
    world = honest()
    offset = world.publish(0, ADA, BOB)
    world.keep(BOB, world.forward(0, offset, BOB, index=1))
    assert world.judged().crimes == {"wrong_fate": 1}
    world.committed["s", 0] = offset
    assert world.judged().is_clean


def test_a_kept_version_that_was_never_published_is_no_crime() -> None:
    """A crash leaves it, above the current version."""
    world = honest()
    world.write("history", kept_key(ADA.encode(), 3), b'{"user": "a", "version": 3, "text": "Never published."}')
    assert world.judged().is_clean


def test_what_newer_versions_replaced_while_the_judge_was_reading_is_no_crime() -> None:
    world = honest()
    world.write("history", kept_key(ADA.encode(), 2 + NUM_SURE), b'{"user": "a", "version": 21, "text": "Newer."}')
    world.write("history", kept_key(ADA.encode(), 1), None)
    world.write("history", kept_key(ADA.encode(), 2), None)
    assert world.judged().is_clean


def test_of_the_versions_the_newest_are_kept() -> None:
    world = honest()
    world.cover(BOB, [8])
    for _ in range(NUM_SURE - 1):
        world.cover(BOB, [world.take(0, BOB)])
    world.count(8 + NUM_SURE, 6 + NUM_SURE, 1, 1)
    world.write("history", kept_key(BOB.encode(), 1), None)
    assert world.judged().is_clean
    world.write("history", kept_key(BOB.encode(), 2), None)
    assert world.judged().crimes == {"not_kept": 1}


def test_a_row_that_a_crash_left_over_is_no_crime() -> None:
    world = honest()
    world.keep(ADA, 6)
    judgement = world.judged()
    assert (judgement.crimes, judgement.num_leftover_rows) == ({}, 1)


def test_a_record_without_an_event_is_filtered() -> None:
    world = honest()
    offset = world.publish(0)
    world.filter(0, offset)
    world.filter(0, offset)  # redelivered
    world.count(11, 7, 2, 1, filtered=1)
    judgement = world.judged()
    assert (judgement.crimes, judgement.counts["filtered"]) == ({}, 1)
    assert judgement.whereabouts[4].evidence == "ns.events/0/9 says so"


def pinned(world: World) -> int:
    """Ada pins a statement, which makes her third version."""
    place = world.ask(ADA, "pin", "Vegetarian.", "Vegetarian. Text 3.")
    world.count(10, 7, 1, 1, commands=1)
    return place


def test_what_somebody_asks_for_is_decided_once_and_stands() -> None:
    world = honest()
    place = pinned(world)
    world.receive(ADA, "pin", place, version=3)  # once more, after a crash
    world.cover(ADA, [world.take(0, ADA)], text="Vegetarian. Text 4.", command_position=place)
    unpinned = world.ask(ADA, "unpin", "Vegetarian.")
    world.cover(ADA, [world.take(0, ADA)], text="Text 5.", command_position=unpinned)
    world.count(13, 9, 1, 1, commands=2)
    judgement = world.judged()
    assert judgement.findings == ()
    assert judgement.counts["command"] == 2


def test_what_was_taken_back_while_the_judge_was_reading_is_no_crime() -> None:
    world = honest()
    pinned(world)
    unpinned = world.ask(ADA, "unpin", "Vegetarian.", is_decided=False)
    world.cover(ADA, [world.take(0, ADA)], text="Text 4.", command_position=unpinned)
    world.count(12, 8, 1, 1, commands=2)
    judgement = world.judged()
    assert (judgement.crimes, judgement.counts["pending"], judgement.counts["command"]) == ({}, 2, 1)


def test_a_command_without_a_receipt_is_pending() -> None:
    world = honest()
    world.ask(ADA, "never", is_decided=False)
    world.count(10, 7, 1, 1, commands=1)
    judgement = world.judged()
    assert (judgement.crimes, judgement.counts["pending"], judgement.counts["command"]) == ({}, 2, 0)


def test_of_who_has_opted_out_nothing_is_learnt_until_they_opt_in() -> None:
    world = honest()
    world.ask(ADA, "opt_out")
    left_out = world.publish(0, ADA)
    world.sent[-1] = msgspec.structs.replace(world.sent[-1], events=(IntendedEvent(ADA, fate="filtered"),))
    world.forward(0, left_out, ADA)
    world.ask(ADA, "opt_in")
    world.take(0, ADA)
    world.count(13, 8, 1, 1, filtered=1, commands=2)
    judgement = world.judged()
    assert judgement.findings == ()
    assert (judgement.counts["filtered"], judgement.counts["command"]) == (1, 2)


def another_receipt(world: World) -> None:
    world.receive(ADA, "pin", pinned(world), version=3, outcome="refused")


def a_receipt_of_nothing(world: World) -> None:
    world.receive(ADA, "pin", 8)


def a_receipt_of_another_command(world: World) -> None:
    place = world.ask(ADA, "never", is_decided=False)
    world.receive(ADA, "pin", place)
    world.count(10, 7, 1, 1, commands=1)


def a_receipt_names_a_version_of_others(world: World) -> None:
    place = world.ask(ADA, "never", is_decided=False)
    world.receive(ADA, "never", place, version=2)
    world.count(10, 7, 1, 1, commands=1)


def no_receipt(world: World) -> None:
    world.write("receipts", ADA.encode(), b"{}")


def a_command_was_not_counted(world: World) -> None:
    world.ask(ADA, "never")
    world.count(10, 7, 1, 1)


def a_pin_is_gone(world: World) -> None:
    place = pinned(world)
    world.cover(ADA, [world.take(0, ADA)], command_position=place)
    world.count(11, 8, 1, 1, commands=1)


def a_pin_is_gone_that_was_not_to_be_taken_back(world: World) -> None:
    place = pinned(world)
    unpinned = world.ask(ADA, "unpin", "Vegetarian.", is_decided=False)
    world.receive(ADA, "unpin", unpinned, outcome="refused")
    world.cover(ADA, [world.take(0, ADA)], command_position=place)
    world.count(12, 8, 1, 1, commands=2)


def an_event_is_left_out_of_who_never_left(world: World) -> None:
    world.ask(ADA, "opt_out")
    world.forward(0, world.publish(0, ADA), ADA)
    world.count(11, 7, 1, 1, filtered=1, commands=1)


def an_event_was_filtered(world: World) -> None:
    world.filter(0, world.publish(0, BOB))
    world.count(10, 7, 1, 1, filtered=1)


def filtered_and_an_event(world: World) -> None:
    world.filter(1, 0)
    world.count(10, 7, 1, 1, filtered=1)


def filtered_from_nowhere(world: World) -> None:
    world.filter(1, 99)
    world.count(10, 7, 1, 1, filtered=1)


def a_filtered_record_was_not_counted(world: World) -> None:
    world.filter(0, world.publish(0))
    world.count(10, 8, 1, 1)


def consumed_without_a_trace(world: World) -> None:
    world.publish(0, BOB)


def covered_and_not_counted(world: World) -> None:
    """A version that reaches past two events, and has one."""
    tally = {"num_events": 4, "domains": {"": {"num_events": 4}}}
    world.edit("summaries", 3, num_new_events=1, num_events=4, tally=tally)


def a_row_is_missing(world: World) -> None:
    world.write("pending", row_key(BOB, 8), None)


def a_letter_is_missing(world: World) -> None:
    world.topics["dead-letters"].clear()


def one_event_twice_in_a_version(world: World) -> None:
    tally = {"num_events": 6, "domains": {"": {"num_events": 6}}}
    world.edit("summaries", 3, num_new_events=3, num_events=6, tally=tally)


def a_redelivered_event_is_applied(world: World) -> None:
    place = world.forward(0, 0, ADA, mark=1)
    world.keep(ADA, place)
    world.cover(ADA, [place], origins={"ID-s/0": [3, 0], "ID-s/1": [2, 0]})
    world.count(10, 8, 1, 1)


def a_retry_is_applied(world: World) -> None:
    place = world.forward(0, world.publish(0, ADA, event_id="id-1"), ADA, event_id="id-1")
    world.keep(ADA, place)
    world.cover(ADA, [place], origins={"ID-s/0": [3, 0], "ID-s/1": [2, 0]})
    world.count(10, 7, 1, 2)


def swapped_and_both_applied(world: World) -> None:
    one, other = world.publish(0, BOB), world.publish(0, BOB)
    places = [world.forward(0, other, BOB, mark=2), world.forward(0, one, BOB, mark=1)]
    world.count(11, 8, 2, 1)
    world.cover(BOB, [8, *places], origins={"ID-s/0": [other, 0], "ID-s/1": [3, 0]})


def swapped_and_the_late_one_dropped(world: World) -> None:
    one, other = world.publish(0, BOB), world.publish(0, BOB)
    places = [world.forward(0, other, BOB, mark=2), world.forward(0, one, BOB, mark=1)]
    world.count(11, 8, 2, 1)
    world.cover(BOB, [8, places[0]])
    assert places[1] > places[0]


def swapped_before_the_source(world: World) -> None:
    """The order of the offsets is kept, and the titles say that it is not the order in which they were sent."""
    places = [world.forward(0, world.publish(0, BOB), BOB, mark=mark) for mark in (2, 1)]
    for place in places:
        world.keep(BOB, place)
    world.count(11, 9, 1, 1)


def a_version_is_skipped(world: World) -> None:
    world.edit("summaries", 3, version=3)


def a_version_is_not_kept(world: World) -> None:
    del world.topics["history"][2]


def a_version_is_deleted_too_soon(world: World) -> None:
    world.write("history", kept_key(ADA.encode(), 1), None)


def a_version_is_kept_in_other_words(world: World) -> None:
    world.edit("history", 0, text="Another text.")


def a_version_comes_after_another_than_it_says(world: World) -> None:
    world.edit("summaries", 3, previous_version=0)


def a_version_is_written_twice(world: World) -> None:
    value = msgspec.json.decode(world.topics["summaries"][3].value or b"")
    world.write("summaries", ADA.encode(), msgspec.json.encode(value | {"text": "Another text."}))


def an_old_version_comes_back(world: World) -> None:
    world.write("summaries", ADA.encode(), world.topics["summaries"][1].value)


def the_same_version_comes_again(world: World) -> None:
    world.write("summaries", ADA.encode(), world.topics["summaries"][3].value)


def a_position_falls(world: World) -> None:
    world.cover(ADA, [2], num_new_events=0)


def a_number_of_events_falls(world: World) -> None:
    world.cover(ADA, [6], num_new_events=0, num_events=4)


def an_applied_event_has_a_letter(world: World) -> None:
    world.refuse([IDS["s"], 0, 0, 0], "poison", is_event=True)
    world.write("pending", failures_key(ADA), msgspec.msgpack.encode([1]))


def more_events_than_new_ones(world: World) -> None:
    tally = {"num_events": 6, "domains": {"": {"num_events": 6}}}
    world.edit("summaries", 3, num_events=6, tally=tally)


def a_tally_counts_too_few(world: World) -> None:
    world.edit("summaries", 3, tally={"num_events": 4, "domains": {"": {"num_events": 4}}})


def a_tally_has_fewer_than_its_domains(world: World) -> None:
    world.edit("summaries", 3, tally={"num_events": 5, "domains": {"": {"num_events": 6}}})


def origins_lag(world: World) -> None:
    world.edit("summaries", 3, origins={"ID-s/0": [1, 0], "ID-s/1": [2, 0]})


def a_position_of_nobody(world: World) -> None:
    """3 is the retry, which is in no summary."""
    world.edit("summaries", 1, position=3)


def another_reason(world: World) -> None:
    world.edit("dead-letters", 0, reason="invalid")


def a_good_record_is_dead(world: World) -> None:
    world.refuse([IDS["s"], 0, world.publish(0, BOB), 0], "undecodable")


def a_bad_record_is_an_event(world: World) -> None:
    world.sent[0] = msgspec.structs.replace(world.sent[0], events=(), reason="invalid")


def an_event_of_another_user(world: World) -> None:
    world.sent[0] = msgspec.structs.replace(world.sent[0], events=(IntendedEvent(BOB),))


def one_event_of_two_is_missing(world: World) -> None:
    offset = world.publish(0, BOB, BOB)
    world.keep(BOB, world.forward(0, offset, BOB))
    world.count(10, 8, 1, 1)


def two_letters_that_disagree(world: World) -> None:
    world.refuse([IDS["s"], 1, 1, 0], "invalid")


def a_letter_of_a_duplicate(world: World) -> None:
    world.refuse([IDS["s"], 0, 2, 0], "poison", is_event=True)


def a_record_with_an_event_has_a_letter(world: World) -> None:
    world.refuse([IDS["s"], 0, 0, 0], "invalid")


def acknowledged_and_not_there(world: World) -> None:
    world.sent.append(Sent(Place("s", 0, 77), (IntendedEvent(BOB),)))


def an_event_of_no_record(world: World) -> None:
    world.keep(BOB, world.forward(0, 77, BOB))
    world.count(10, 8, 1, 1)


def an_aborted_record_is_taken_in(world: World) -> None:
    offset = world.publish(0, BOB)
    world.keep(BOB, world.forward(0, offset, BOB))
    world.count(10, 8, 1, 1)
    world.topics["s/0"].pop()
    world.sent.pop()
    world.publish(0, reason="invalid")  # as if behind it
    world.topics["s/0"][-1] = world.topics["s/0"][-1]._replace(offset=offset + 1)
    world.sent[-1] = msgspec.structs.replace(world.sent[-1], place=Place("s", 0, offset + 1))
    world.refuse([IDS["s"], 0, offset + 1, 0], "invalid")
    world.aborted.add(("s", 0, offset))


def a_letter_of_no_record(world: World) -> None:
    world.refuse(["ID-gone", 0, 0, 0], "invalid")


def a_row_of_nobody(world: World) -> None:
    world.write("pending", row_key(BOB, 3), b"row")


def a_row_that_says_something_else(world: World) -> None:
    world.write("pending", row_key(BOB, 8), b"row")


def a_ledger_counts_one_too_many(world: World) -> None:
    world.count(9, 8, 1, 1)


def a_ledger_takes_a_redelivered_event_for_a_retry(world: World) -> None:
    world.count(9, 7, 0, 2)


def a_ledger_takes_a_retry_for_a_redelivered_event(world: World) -> None:
    place = world.forward(0, world.publish(0, ADA, event_id="id-1"), ADA, event_id="id-1")
    world.count(place + 1, 7, 2, 1)


def an_event_is_taken_for_a_redelivered_one(world: World) -> None:
    """Its row is there, the ledger does not count it, and the next version passes over it."""
    place = world.take(0, BOB)
    world.cover(BOB, [8, place], num_new_events=1, origins={"ID-s/1": [3, 0]})
    world.count(place + 1, 7, 2, 1)
    world.edit("summaries", 4, num_events=2, tally={"num_events": 2})


def a_ledger_goes_back(world: World) -> None:
    world.count(5, 3, 1, 1)
    world.count(9, 7, 1, 1)


def no_ledger(world: World) -> None:
    world.write("pending", b"l", b"ledger")


def no_key_of_a_row(world: World) -> None:
    world.write("pending", b"?", b"row")


def no_summary(world: World) -> None:
    world.write("summaries", ADA.encode(), b"{}")


def a_summary_under_another_key(world: World) -> None:
    world.write("summaries", b"eve", world.topics["summaries"][1].value)


def no_letter(world: World) -> None:
    world.write("dead-letters", b"origin", b"{}")


def a_stranger_without_a_letter(world: World) -> None:
    world.write("events", b"bob", b"{}")
    world.committed["ns.events", 0] += 1


def a_hole_in_the_history(world: World) -> None:
    world.write("summaries", b"\xffowner", b"owner")
    del world.topics["summaries"][4:]
    world.write("summaries", b"\xffowner", b"owner")
    world.topics["summaries"][4] = world.topics["summaries"][4]._replace(offset=5)


def a_poison_that_nobody_counts(world: World) -> None:
    poison(world)
    world.write("pending", failures_key(BOB), msgspec.msgpack.encode([0, 3]))


def created_again() -> World:
    """The honest run, and after it a source that was created again: an event of each user at offsets that were there before."""
    world = honest()
    world.create_again()
    adas, bobs = world.take(0, ADA), world.take(1, BOB)  # 9, 10
    world.cover(ADA, [adas])
    world.cover(BOB, [8, bobs])
    world.count(11, 9, 1, 1)
    return world


def a_former_record_is_lost(world: World) -> None:
    world.publish(0, BOB)
    world.create_again()


def a_former_record_was_not_there(world: World) -> None:
    world.create_again()
    world.sent.append(Sent(Place(world.former[0].name, 0, 77), (IntendedEvent(BOB),)))


def former_records_were_out_of_order(world: World) -> None:
    swapped_before_the_source(world)
    world.create_again()


def an_event_behind_a_former_end(world: World) -> None:
    an_event_of_no_record(world)
    world.create_again()


def an_event_of_what_a_former_topic_hid(world: World) -> None:
    an_aborted_record_is_taken_in(world)
    world.create_again()


def an_event_of_a_topic_that_never_was(world: World) -> None:
    world.create_again()
    world.topic_ids["s"] = "ID-never"
    world.keep(BOB, world.forward(0, 0, BOB))
    world.topic_ids["s"] = NEW_ID
    world.count(10, 8, 1, 1)


def an_event_of_the_new_topic_before_there_is_one(world: World) -> None:
    world.create_again()
    world.keep(BOB, world.forward(0, 0, BOB))
    world.count(10, 8, 1, 1)


def the_new_topic_is_read_from_the_old_offset(world: World) -> None:
    world.create_again()
    world.publish(0, BOB)


def a_new_record_is_taken_for_a_former_one(world: World) -> None:
    """It has the origin of the record that was at its offset, and collect drops it as redelivered."""
    world.create_again()
    offset = world.publish(0, ADA)
    world.topic_ids["s"] = IDS["s"]
    world.forward(0, offset, ADA)
    world.topic_ids["s"] = NEW_ID
    world.count(10, 7, 2, 1)


CRIMES: list[tuple[Callable[[World], None], dict[Crime, int]]] = [
    (another_receipt, {"receipt_rewritten": 1}),
    (a_receipt_of_nothing, {"impossible": 1}),
    (a_receipt_of_another_command, {"impossible": 1}),
    (a_receipt_names_a_version_of_others, {"impossible": 1}),
    (no_receipt, {"impossible": 1}),
    (a_command_was_not_counted, {"miscounted": 1}),
    (a_pin_is_gone, {"pin_lost": 1}),
    (a_pin_is_gone_that_was_not_to_be_taken_back, {"pin_lost": 1}),
    (an_event_is_left_out_of_who_never_left, {"wrong_fate": 1}),
    (an_event_was_filtered, {"wrong_fate": 1}),
    (filtered_and_an_event, {"impossible": 1}),
    (filtered_from_nowhere, {"from_nowhere": 1}),
    (a_filtered_record_was_not_counted, {"miscounted": 1}),
    (consumed_without_a_trace, {"lost": 1}),
    (covered_and_not_counted, {"lost": 1}),
    (a_row_is_missing, {"lost": 1}),
    (a_letter_is_missing, {"lost": 1}),
    (one_event_twice_in_a_version, {"doubled": 1}),
    (a_redelivered_event_is_applied, {"doubled": 1, "impossible": 1, "miscounted": 1}),
    (a_retry_is_applied, {"doubled": 1, "impossible": 1}),
    (swapped_and_both_applied, {"out_of_order": 1}),
    (swapped_and_the_late_one_dropped, {"out_of_order": 1, "lost": 1}),
    (swapped_before_the_source, {"out_of_order": 1}),
    (a_version_is_skipped, {"version_skipped": 1, "not_kept": 1}),
    (a_version_is_not_kept, {"not_kept": 1}),
    (a_version_is_deleted_too_soon, {"not_kept": 1}),
    (a_version_is_kept_in_other_words, {"not_kept": 1}),
    (a_version_comes_after_another_than_it_says, {"impossible": 1}),
    (a_version_is_written_twice, {"version_rewritten": 1}),
    (an_old_version_comes_back, {"went_backwards": 1}),
    (the_same_version_comes_again, {"went_backwards": 1}),
    (a_position_falls, {"went_backwards": 1}),
    (a_number_of_events_falls, {"went_backwards": 1}),
    (an_applied_event_has_a_letter, {"dead_and_applied": 1, "wrong_fate": 1}),
    (a_record_with_an_event_has_a_letter, {"dead_and_applied": 1}),
    (more_events_than_new_ones, {"miscounted": 1}),
    (a_tally_counts_too_few, {"miscounted": 1}),
    (a_tally_has_fewer_than_its_domains, {"impossible": 1}),
    (origins_lag, {"miscounted": 1}),
    (a_position_of_nobody, {"impossible": 1}),
    (another_reason, {"wrong_fate": 1}),
    (a_good_record_is_dead, {"wrong_fate": 1}),
    (a_bad_record_is_an_event, {"wrong_fate": 1}),
    (an_event_of_another_user, {"wrong_fate": 1}),
    (one_event_of_two_is_missing, {"wrong_fate": 1}),
    (two_letters_that_disagree, {"impossible": 1}),
    (a_letter_of_a_duplicate, {"impossible": 1}),
    (acknowledged_and_not_there, {"not_on_source": 1}),
    (an_event_of_no_record, {"from_nowhere": 1}),
    (an_aborted_record_is_taken_in, {"from_nowhere": 1}),
    (a_letter_of_no_record, {"from_nowhere": 1}),
    (a_former_record_is_lost, {"lost": 1}),
    (a_former_record_was_not_there, {"not_on_source": 1}),
    (former_records_were_out_of_order, {"out_of_order": 1}),
    (an_event_behind_a_former_end, {"from_nowhere": 1}),
    (an_event_of_what_a_former_topic_hid, {"from_nowhere": 1}),
    (an_event_of_a_topic_that_never_was, {"from_nowhere": 1}),
    (an_event_of_the_new_topic_before_there_is_one, {"from_nowhere": 1}),
    (the_new_topic_is_read_from_the_old_offset, {"lost": 1}),
    (a_new_record_is_taken_for_a_former_one, {"lost": 1}),
    (a_row_of_nobody, {"impossible": 1}),
    (a_row_that_says_something_else, {"impossible": 1}),
    (a_ledger_counts_one_too_many, {"miscounted": 1}),
    (a_ledger_takes_a_redelivered_event_for_a_retry, {"miscounted": 2}),  # and it goes back
    (a_ledger_takes_a_retry_for_a_redelivered_event, {"miscounted": 1}),
    (an_event_is_taken_for_a_redelivered_one, {"lost": 1, "miscounted": 2}),  # the ledger, and the origins
    (a_ledger_goes_back, {"miscounted": 1}),
    (no_ledger, {"impossible": 1}),
    (no_key_of_a_row, {"impossible": 1}),
    (no_summary, {"impossible": 1}),
    (a_summary_under_another_key, {"impossible": 1}),
    (no_letter, {"impossible": 1}),
    (a_stranger_without_a_letter, {"lost": 1}),
    (a_hole_in_the_history, {"history_incomplete": 1}),
    (a_poison_that_nobody_counts, {"miscounted": 1, "wrong_fate": 1}),
]


@pytest.mark.parametrize(("commit", "crimes"), CRIMES, ids=lambda case: getattr(case, "__name__", ""))
def test_a_planted_crime_is_found_exactly(commit: Callable[[World], None], crimes: dict[Crime, int]) -> None:
    world = honest()
    commit(world)
    judgement = world.judged()
    assert judgement.crimes == crimes, judgement.report()
    assert not judgement.is_clean
    assert "NOT CLEAN" in judgement.report()
    assert all(finding.examples for finding in judgement.findings)


@pytest.mark.parametrize("topic", ["events", "dead-letters", "summaries"])
def test_no_record_can_be_missing_unseen(topic: str) -> None:
    """Whichever record one leaves out, something other than the hole it leaves is found."""
    records = [one for one in honest().topics[topic] if one.key != b"\xffowner"]
    for record in records:
        world = honest()
        world.topics[topic].remove(record)
        assert world.judged().crimes.keys() - {"history_incomplete"}, record


def poison(world: World) -> None:
    """An accepted event of the source becomes a dead letter; its row goes, and the row of failures counts it."""
    world.refuse([IDS["s"], 1, 3, 0], "poison", is_event=True)
    world.write("pending", row_key(BOB, 8), None)


def test_a_counted_poison_event_is_dead() -> None:
    world = honest()
    poison(world)
    world.write("pending", failures_key(BOB), msgspec.msgpack.encode([1, 3]))
    place = world.take(0, BOB)
    world.cover(BOB, [place])
    world.count(10, 8, 1, 1)
    judgement = world.judged(expects_poison=True)
    assert judgement.crimes == {}, judgement.report()
    assert judgement.counts["dead"] == 2
    assert world.judged().crimes == {"wrong_fate": 1}
    assert world.judged(knows=False).crimes == {}


def test_a_stranger_with_a_letter_is_no_crime() -> None:
    world = honest()
    a_stranger_without_a_letter(world)
    world.refuse([IDS["ns.events"], 0, 9, 0], "undecodable")
    world.count(10, 7, 1, 1, 1)
    assert world.judged().crimes == {}


def test_an_erased_user_is_erased() -> None:
    world = honest()
    world.write("summaries", ADA.encode(), None)
    judgement = world.judged()
    assert judgement.crimes == {}
    assert (judgement.counts["erased"], judgement.counts["applied"]) == (5, 1)


def test_without_a_journal_only_the_intended_fates_are_unknown() -> None:
    world = honest()
    another_reason(world)
    assert world.judged(knows=False).crimes == {}
    consumed_without_a_trace(world)
    assert world.judged(knows=False).crimes == {"lost": 1}


@pytest.mark.parametrize(
    ("arrived", "progress", "seconds"),
    [
        ([], [], 0),
        ([5], [(7, 1)], 2),
        ([5], [], 15),  # still waiting when all was read, at 20
        ([1, 2, 3], [(4, 2), (9, 1)], 5),
        ([1, 10], [(2, 1), (12, 1)], 2),  # nothing waited in between
        ([1, 3], [(3, 1), (6, 1)], 3),
    ],
)
def test_the_longest_stall(arrived: list[int], progress: list[tuple[int, int]], seconds: int) -> None:
    in_ms = [(at * SECOND, count) for at, count in progress]
    assert longest_stall_seconds([at * SECOND for at in arrived], in_ms, 20 * SECOND) == seconds


def test_examples_are_bounded_and_counts_are_not() -> None:
    findings = Findings()
    for number in range(100):
        findings.add("lost", f"event {number}")
    (finding,) = findings.all()
    assert (finding.count, len(finding.examples)) == (100, MAX_EXAMPLES)


def test_the_judge_shares_no_code_with_what_it_judges() -> None:
    seen: set[str] = set()
    waiting = ["tests.chaos.judge"]
    while waiting:
        module = waiting.pop()
        seen.add(module)
        if module.startswith("tests."):
            waiting += imported_by(module) - seen
    packages = {module.split(".")[0] for module in seen}
    assert "tests.chaos.readings" in seen
    assert packages.isdisjoint({"prefstream", "streams", "agents", "model_server", "deploy"})


def imported_by(module: str) -> set[str]:
    """The modules that a module of this repository imports."""
    tree = ast.parse((Path(__file__).parents[2] / f"{module.replace('.', '/')}.py").read_text())
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_a_journal_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    world = created_again()
    journal = Journal({"s": "native"}, tuple(world.sent), 3, 1, tuple(world.former))
    journal.save(tmp_path / "journal.json")
    assert load_journal(tmp_path / "journal.json") == journal
    assert (journal.num_events, journal.num_dead) == (9, 1)


def test_the_command_line_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--journal" in capsys.readouterr().out
