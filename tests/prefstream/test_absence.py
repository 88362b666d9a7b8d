"""What is left of a user is found byte by byte, and what a reader finds is told from what only waits to go."""

from __future__ import annotations

import io
import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from rich.console import Console

from prefstream.absence import Absence, Mark, Traces, Wanted, letter_parts, mark_of, traces_of
from prefstream.admin import TopicState
from prefstream.erasure import kept_until
from prefstream.rendering.absence import absence_report
from prefstream.tenants import key_of
from prefstream.topics import TopicNames, topic_specs
from streams.keys import controls_key, event_key, version_key

NAMES = TopicNames("t")
NOW = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
ADA = Wanted(b"ada", ("Tweety “the canary”",))
COMPACTED = TopicState(1, 1, {"cleanup.policy": "compact"})
KEPT = TopicState(1, 1, {"cleanup.policy": "delete"})


def record(topic: str, key: bytes | None, value: bytes | None, headers: tuple[tuple[str, bytes | None], ...] = ()) -> object:
    return SimpleNamespace(topic=topic, partition=2, offset=7, key=key, value=value, headers=headers)


def letter(**fields: bytes) -> bytes:
    return json.dumps({name: b64encode(value).decode() for name, value in fields.items()}).encode()


FOUND = {
    "a summary": (NAMES.summaries, b"ada", b"{}", True),
    "its tombstone": (NAMES.summaries, b"ada", None, True),
    "another's summary": (NAMES.summaries, b"adam", b'{"text": "Canada"}', False),
    "another's, with the canary": (NAMES.summaries, b"bob", '{"text": "Tweety “the canary”"}'.encode(), True),
    "a row": (NAMES.pending, event_key(b"ada", 3), b"", True),
    "a row of a tenant's user": (NAMES.pending, controls_key(key_of("shop", "ada")), b"", False),
    "another's row": (NAMES.pending, event_key(b"adam", 3), b"ada", False),
    "a row of nobody": (NAMES.pending, b"l", b"of ada", True),
    "a version": (NAMES.history, version_key(b"ada", 3), b"{}", True),
    "another's version": (NAMES.history, version_key(b"bob", 3), b"with ada", False),
    "an event": (NAMES.inbox, None, b'{"user":"ada"}', True),
    "an event of nobody": (NAMES.inbox, None, b'{"user":"bob"}', False),
    "a letter by its key": (NAMES.dead_letters, b"T/0/1", letter(key=b"ada"), True),
    "a letter by its value": (NAMES.dead_letters, b"T/0/1", letter(value=b"it was ada"), True),
    "a letter of nobody": (NAMES.dead_letters, b"T/0/1", letter(key=b"bob", value=b"{}"), False),
    "no letter": (NAMES.dead_letters, b"T/0/1", b"\xff", False),
}


@pytest.mark.parametrize("case", FOUND)
def test_a_record_is_somebodys_or_not(case: str) -> None:
    topic, key, value, is_found = FOUND[case]
    assert mark_of(record(topic, key, value), ADA, NAMES) == Mark(2, 7, key, value is None, is_found)


def test_headers_are_searched_too() -> None:
    in_header = record(NAMES.inbox, None, b"{}", (("app", None), ("user", b"ada")))
    assert mark_of(in_header, ADA, NAMES).is_found
    in_letter = json.dumps({"headers": [["user", b64encode(b"ada").decode()]]}).encode()
    assert letter_parts(in_letter) == [b"ada"]


def test_a_text_is_found_as_json_has_it() -> None:
    quoted = Wanted(b"ada", ('say "yes"',))
    assert mark_of(record(NAMES.events, b"bob", json.dumps({"text": 'say "yes"'}).encode()), quoted, NAMES).is_found


def marks(*found: tuple[bytes, int, bool, bool]) -> list[Mark]:
    return [Mark(0, offset, key, is_tombstone, is_found) for key, offset, is_tombstone, is_found in found]


def test_only_the_newest_of_a_key_is_live() -> None:
    read = marks(
        (b"a", 0, False, True), (b"a", 1, False, True), (b"b", 2, False, True), (b"b", 3, True, True), (b"c", 4, False, False)
    )
    found = traces_of("t.summaries", read, COMPACTED, NOW)
    assert found == Traces(
        topic="t.summaries", counts={"replaced": 2, "live": 1, "tombstone": 1}, live=("t.summaries/0/1",), gone_by=NOW
    )
    emptied = marks((b"a", 0, False, True), (b"a", 1, False, False))
    assert traces_of("t.dead-letters", emptied, COMPACTED, NOW).counts == {"replaced": 1}
    assert traces_of("t.events", read, KEPT, NOW).counts == {"retained": 4}
    assert traces_of("t.events", marks((b"c", 0, False, False)), KEPT, NOW).gone_by is None


def test_by_when_the_last_copies_are_gone() -> None:
    configs = {
        spec.name: spec.configs | {"segment.ms": spec.configs.get("segment.ms", "604800000")} for spec in topic_specs("t")
    }
    found = kept_until(configs, NOW)
    days = {topic: (until - NOW) / timedelta(days=1) if until else None for topic, until in found.items()}
    assert {topic: round(one or 0, 1) for topic, one in days.items()} == {
        NAMES.inbox: 14.0,
        NAMES.events: 14.0,
        NAMES.pending: 0.1,
        NAMES.history: 3.0,
        NAMES.summaries: 9.0,
        NAMES.receipts: 37.0,
        NAMES.dead_letters: 3.0,
        NAMES.replays: 14.0,
    }


def test_what_nothing_ends_is_kept_for_ever() -> None:
    forever = {"a": {"cleanup.policy": "delete", "retention.ms": "-1", "segment.ms": "1"}}
    unbounded = {"b": {"cleanup.policy": "compact", "max.compaction.lag.ms": str(2**63 - 1), "delete.retention.ms": "1"}}
    assert kept_until(forever | unbounded, NOW) == {"a": None, "b": None}


def shown(found: Absence, width: int = 120) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(absence_report(found))
    assert isinstance(console.file, io.StringIO)
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def test_what_a_person_sees() -> None:
    gone = Traces(topic="t.pending", counts={"replaced": 3, "tombstone": 1}, live=(), gone_by=NOW)
    clean = Traces(topic="t.history", counts={}, live=(), gone_by=None)
    left = Traces(topic="t.summaries", counts={"live": 1}, live=("t.summaries/2/7",), gone_by=None)
    assert shown(Absence(topics=(gone, clean), files=(), num_files=9)) == [
        "topic live replaced tombstone retained gone by, UTC",
        "t.pending 0 3 1 0 2026-01-05 20:15",
        "t.history 0 0 0 0",
        "",
        "Nothing live is left on 2 topics and 9 files; what is left of older copies goes by itself, as said.",
    ]
    lines = shown(Absence(topics=(left,), files=("state/000012.sst",), num_files=9))
    assert lines[1:] == [
        "t.summaries 1! 0 0 0 never",
        "live t.summaries/2/7",
        "file state/000012.sst",
        "",
        "Something is left: 1 live record, 1 file of 9.",
    ]


def test_without_a_folder_nothing_is_said_of_files_and_each_row_has_a_line_of_80_characters() -> None:
    name = "controls-b68a34.dead-letters"
    left = Traces(topic=name, counts={"live": 2}, live=("t/2/7", "t/2/8"), gone_by=NOW)
    lines = shown(Absence(topics=(left,), files=(), num_files=0), width=80)
    assert (lines[1], lines[-1]) == (f"{name} 2! 0 0 0 2026-01-05 20:15", "Something is left: 2 live records.")


@pytest.mark.parametrize(("live", "files", "is_proven"), [(0, (), True), (1, (), False), (0, ("a.sst",), False)])
def test_absence_is_proven_where_nothing_is_live(live: int, files: tuple[str, ...], is_proven: bool) -> None:
    traces = Traces(topic="t", counts={"live": live, "replaced": 4, "retained": 2}, live=(), gone_by=NOW)
    assert Absence(topics=(traces,), files=files, num_files=3).is_proven is is_proven
