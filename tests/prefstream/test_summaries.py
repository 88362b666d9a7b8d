"""A summary survives the wire, and old and new readers and writers understand each other."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import fields

from prefstream.errors import InvalidRecord
from prefstream.events import EventBase, Instant, Item
from prefstream.summaries import (
    DomainTally,
    FlushReason,
    Mention,
    ModelUsed,
    Summary,
    Tally,
    Weight,
    decode_summary,
    encode_summary,
)

AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)

SUMMARY = Summary(
    user="ada",
    version=3,
    previous_version=2,
    text="Likes slow films. 🦊",
    reason="size",
    updated_at=AT,
    first_event_at=AT,
    last_event_at=AT,
    num_events=60,
    num_new_events=20,
    position=812,
    command_position=17,
    tokens=9,
    pins=("Vegetarian.",),
    model=ModelUsed(name="counting", profile="counting", dialect="plain", prompt_sha256="ab"),
    tally=Tally(
        num_events=60,
        domains={
            "films": DomainTally(
                attributes={"genre:drama": Weight(liked=3.5, disliked=0.5, at_event=58)},
                favourites=(Mention(item="348", title="Alien (1979)", strength=1.0, at_event=60),),
            )
        },
    ),
    origins={"q83v/2": (91, 0)},
)

# What a summary had to have on the day it was first published: never more.
KEY_FIELDS = {"user", "version", "text", "reason", "updated_at"}


class FirstSummary(Struct, frozen=True, kw_only=True):
    """The record as a reader knows it who was written when it had five fields."""

    user: str
    version: int
    text: str
    reason: FlushReason
    updated_at: Instant


def test_a_summary_comes_back_as_it_was() -> None:
    assert decode_summary(encode_summary(SUMMARY)) == SUMMARY


def test_an_old_reader_reads_a_new_record() -> None:
    old = msgspec.json.decode(encode_summary(SUMMARY), type=FirstSummary)
    assert old == FirstSummary(user="ada", version=3, text="Likes slow films. 🦊", reason="size", updated_at=AT)


def test_a_new_reader_reads_an_old_record() -> None:
    old = FirstSummary(user="ada", version=3, text="Likes slow films.", reason="age", updated_at=AT)
    new = decode_summary(msgspec.json.encode(old))
    assert new == Summary(user="ada", version=3, text="Likes slow films.", reason="age", updated_at=AT)
    assert (new.position, new.command_position, new.tally) == (-1, -1, Tally())


def test_fields_of_a_later_version_are_ignored() -> None:
    later = json.loads(encode_summary(SUMMARY)) | {"quality": {"score": 0.7}, "languages": ["en"]}
    later["model"]["quantization"] = "fp8"
    later["tally"]["domains"]["films"]["attributes"]["genre:drama"].append("a later element")
    assert decode_summary(json.dumps(later).encode()) == SUMMARY


def test_only_the_key_fields_are_required() -> None:
    assert {field.name for field in fields(Summary) if field.required} == KEY_FIELDS


@pytest.mark.parametrize(
    ("record", "required"),
    [(EventBase, {"user", "at"}), (Item, {"id"}), (DomainTally, set()), (Tally, set()), (ModelUsed, set())],
)
def test_what_a_writer_may_leave_out_has_a_default(record: type[Struct], required: set[str]) -> None:
    assert {field.name for field in fields(record) if field.required} == required


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reason": "whim"}, "reason: unknown ('whim')"),
        ({"version": "3"}, "version: expected `int`, got `str` ('3')"),
        ({"updated_at": "2026-01-05"}, "updated_at: invalid RFC3339 encoded datetime ('2026-01-05')"),
        ({"origins": {"t/0": [1]}}, "origins[...]: expected `array` of length 2 ({'t/0': [1]})"),
        ({"user": ""}, "user: empty"),
    ],
)
def test_what_is_no_summary_is_refused_by_name(changes: dict[str, object], message: str) -> None:
    document = json.loads(encode_summary(SUMMARY)) | changes
    with pytest.raises(InvalidRecord) as refused:
        decode_summary(json.dumps(document).encode())
    assert str(refused.value) == message
