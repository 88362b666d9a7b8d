"""Readings: what the records of the internal topics say, read by their documented layouts and by nothing else.

The layouts are those of DESIGN section 5: an arrival, a ledger and a row of failures are msgpack arrays, a summary and a dead
letter are JSON, the key of a pending row is a kind byte, the length of the user, the user, and for an event its offset.
"""

from __future__ import annotations

import re
import struct
from typing import Literal, NamedTuple

import msgspec
from kafka.partitioner.default import murmur2
from msgspec import Struct

from tests.chaos.exhibits import RawRecord

OWNER_KEY = b"\xffowner"
LEDGER_KEY = b"l"
COMMANDS = frozenset({"edit", "pin", "unpin", "never", "allow", "opt_out", "opt_in", "roll_back"})
BUDGET_KEY = b"b"
_HEAD = struct.Struct(">cH")
_OFFSET = struct.Struct(">Q")
_MARK = re.compile(r"@(?P<topic>\S+)/(?P<partition>\d+)#(?P<sequence>\d+)\Z")
_UNREADABLE = (msgspec.MsgspecError, ValueError, TypeError, LookupError, AttributeError, RecursionError)


class Origin(NamedTuple):
    """A source topic's id, partition, offset, and which event of the record."""

    topic_id: str
    partition: int
    offset: int
    number: int


class Arrived(Struct, frozen=True):
    """An event on the events topic, or a ``command``, whose ``statement`` is what it pins or unpins.

    ``mark`` is what a workload wrote at the end of an event's title: topic, partition, sequence.
    """

    partition: int
    offset: int
    user: bytes
    origin: Origin
    event_id: str
    mark: tuple[str, int, int] | None
    value: bytes
    command: str = ""
    statement: str = ""

    @property
    def source(self) -> str:
        """Its source partition, as the origins of a summary name it."""
        return f"{self.origin.topic_id}/{self.origin.partition}"

    @property
    def step(self) -> tuple[int, int]:
        """Where it stands in its source partition."""
        return self.origin.offset, self.origin.number


def read_arrival(record: RawRecord, num_partitions: int) -> Arrived | None:
    """What intake wrote, ``[[topic id, partition, offset, index], arrived at, tokens, id, event]``; None for anything else."""
    try:
        key, value = record.key or b"", record.value or b""
        origin, _, _, event_id, event = msgspec.msgpack.decode(value)[:5]
        if event["user"].encode() != key or (murmur2(key) & 0x7FFFFFFF) % num_partitions != record.partition:
            return None
        command = event["type"] if event["type"] in COMMANDS else ""
        statement = event.get("statement", "")
        mark = _mark(event)
        return Arrived(record.partition, record.offset, key, _origin(origin), event_id, mark, value, command, statement)
    except _UNREADABLE:
        return None


def read_filtered(record: RawRecord, num_partitions: int) -> Origin | None:
    """Where a source record without an event was read: ``[[topic id, partition, offset], arrived at]``, key 0xff and offset."""
    try:
        key = record.key or b""
        fields, arrived_at_ms = msgspec.msgpack.decode(record.value or b"")
        origin = _origin(fields)
        is_ours = key == b"\xff" + _OFFSET.pack(origin.offset) and isinstance(arrived_at_ms, int)
        return origin if is_ours and (murmur2(key) & 0x7FFFFFFF) % num_partitions == record.partition else None
    except (*_UNREADABLE, struct.error):
        return None


def _origin(fields: list[str | int]) -> Origin:
    topic_id, partition, offset, *number = fields
    return Origin(str(topic_id), int(partition), int(offset), int(number[0]) if number else 0)


def _mark(event: dict[str, dict[str, str]]) -> tuple[str, int, int] | None:
    found = _MARK.search(event.get("item", {}).get("title", ""))
    return (found["topic"], int(found["partition"]), int(found["sequence"])) if found else None


class Letter(Struct, frozen=True):
    """A dead letter, and where it lies. ``is_event``: of one event that was accepted, not of a record that was refused."""

    origin: Origin
    is_event: bool
    source: str
    reason: str
    where: str


class _LetterValue(Struct, frozen=True):
    origin: list[str | int]
    source: str
    reason: str
    is_event: bool = False


def read_letter(record: RawRecord) -> Letter | None:
    """The dead letter in a record, None where there is none."""
    try:
        value = msgspec.json.decode(record.value or b"", type=_LetterValue)
        return Letter(_origin(value.origin), value.is_event, value.source, value.reason, named(record))
    except _UNREADABLE:
        return None


class DomainValue(Struct, frozen=True):
    """What is read of one domain's tally."""

    num_events: int = 0


class TallyValue(Struct, frozen=True):
    """What is read of a tally."""

    num_events: int = 0
    domains: dict[str, DomainValue] = {}


class SummaryValue(Struct, frozen=True):
    """What is read of a summary."""

    user: str
    version: int
    text: str
    previous_version: int = 0
    num_events: int = 0
    num_new_events: int = 0
    position: int = -1
    command_position: int = -1
    tally: TallyValue = TallyValue()
    origins: dict[str, tuple[int, int]] = {}


_decode_summary = msgspec.json.Decoder(SummaryValue).decode


def read_summary(record: RawRecord) -> SummaryValue | None:
    """The summary in a record, None where there is none."""
    try:
        return _decode_summary(record.value or b"")
    except _UNREADABLE:
        return None


class ReceiptValue(Struct, frozen=True):
    """What is read of a receipt."""

    user: str
    command: str
    outcome: str
    command_position: int
    version: int = 0


_decode_receipt = msgspec.json.Decoder(ReceiptValue).decode


def read_receipt(record: RawRecord) -> ReceiptValue | None:
    """The receipt in a record, None where there is none."""
    try:
        return _decode_receipt(record.value or b"")
    except _UNREADABLE:
        return None


class LedgerValue(NamedTuple):
    """What a partition's owner counted up to ``position``."""

    position: int = 0
    accepted: int = 0
    redelivered: int = 0
    duplicate: int = 0
    dead: int = 0
    filtered: int = 0
    commands: int = 0


class Row(NamedTuple):
    """The key of a user's row; ``offset`` is -1 unless it is an event's."""

    kind: Literal["event", "failures", "other"]
    user: bytes
    offset: int


def read_row(key: bytes) -> Row | None:
    """What the key of a pending row says, None where it is no row's."""
    if len(key) < _HEAD.size:
        return None
    kind, length = _HEAD.unpack_from(key)
    user, suffix = key[_HEAD.size : _HEAD.size + length], key[_HEAD.size + length :]
    match kind, len(suffix):
        case b"e", _OFFSET.size:
            return Row("event", user, _OFFSET.unpack(suffix)[0])
        case b"f", 0:
            return Row("failures", user, -1)
        case (_, 0) | (b"r", _OFFSET.size):
            return Row("other", user, -1)
    return None


def read_ledger(record: RawRecord) -> LedgerValue | None:
    """The ledger in a record: its first five numbers and, behind the topic's id, two more; None where they are not there."""
    if (numbers := _numbers(record.value, 5)) is None:
        return None
    fields = msgspec.msgpack.decode(record.value or b"")
    more = [*fields[6:7], *fields[8:9]]
    return LedgerValue(*numbers, *more) if all(isinstance(number, int) for number in more) else None


def read_num_dead(value: bytes) -> int | None:
    """How many accepted events of a user became dead letters: the first number of the row of failures."""
    return None if (numbers := _numbers(value, 1)) is None else numbers[0]


def _numbers(value: bytes | None, count: int) -> list[int] | None:
    try:
        found = msgspec.msgpack.decode(value or b"")[:count]
    except _UNREADABLE:
        return None
    is_whole = len(found) == count and all(isinstance(number, int) for number in found)
    return list(found) if is_whole else None


def named(record: RawRecord) -> str:
    """Where a record lies, in words."""
    return f"{record.topic}/{record.partition}/{record.offset}"
