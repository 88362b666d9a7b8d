"""Every record that lies on a topic, in a store or in a commit: its type, how it is written, and a full one of each."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, get_args

import msgspec
from msgspec import inspect

from agents.stamps import Stamp
from prefstream.commands import Command
from prefstream.dead_letters import DeadLetter
from prefstream.events import Event
from prefstream.history import KeptVersion
from prefstream.receipts import Receipt
from prefstream.replays import Replay
from prefstream.sources import Mark
from prefstream.summaries import Summary
from streams.budgets import Debts
from streams.controls import Controls, Decided
from streams.failures import Failures
from streams.forgetting import Fence
from streams.ledger import Ledger
from streams.records import Arrival, Detailed, Filtered, Recent

Codec = Literal["json", "msgpack"]
AT = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)
NEWER = "from_a_newer_version"


class Kind(NamedTuple):
    """One type of record; an event and a command is JSON on the way in, and msgpack inside an arrival."""

    type: type[Any]
    codec: Codec

    def encode(self, record: object) -> bytes:
        """The record's bytes, as workers write them."""
        return msgspec.json.encode(record) if self.codec == "json" else msgspec.msgpack.encode(record)

    def decode(self, written: bytes) -> Any:
        """The record, as workers read it."""
        of_type: Any = self.type
        if self.codec == "json":
            return msgspec.json.decode(written, type=of_type)
        return msgspec.msgpack.decode(written, type=of_type)

    def plain(self, written: bytes) -> Any:
        """The same as objects and arrays, with whatever is in it."""
        return msgspec.json.decode(written) if self.codec == "json" else msgspec.msgpack.decode(written)


PUBLIC: tuple[type[Any], ...] = (*get_args(Event), *get_args(Command), Summary, KeptVersion, DeadLetter, Receipt, Replay, Mark)
INTERNAL: tuple[type[Any], ...] = (
    Arrival,
    Detailed,
    Filtered,
    Recent,
    Controls,
    Decided,
    Failures,
    Fence,
    Ledger,
    Debts,
    Stamp,
    *get_args(Event),
    *get_args(Command),
)


def kinds() -> dict[str, Kind]:
    """All of them by name."""
    public = {one.__name__: Kind(one, "json") for one in PUBLIC}
    return public | {f"{one.__name__} inside": Kind(one, "msgpack") for one in INTERNAL}


def full(kind: Kind) -> Any:
    """A record with something in each field, the same each time."""
    return kind.decode(kind.encode(_sample(inspect.type_info(kind.type))))


def _sample(info: inspect.Type) -> Any:
    match info:
        case inspect.StructType(fields=fields, array_like=True):
            return [_sample(field.type) for field in fields]
        case inspect.StructType(fields=fields, tag_field=tag_field, tag=tag):
            tagged = {tag_field: tag} if tag_field else {}
            return tagged | {field.encode_name: _sample(field.type) for field in fields}
        case inspect.DictType(value_type=value):
            return {"key": _sample(value)}
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return [_sample(item)]
        case inspect.TupleType(item_types=items):
            return (
                [_sample(item) + index for index, item in enumerate(items)]
                if _are_numbers(items)
                else list(map(_sample, items))
            )
        case inspect.UnionType(types=types):
            return _sample(next(one for one in types if not isinstance(one, inspect.NoneType)))
        case inspect.LiteralType(values=values):
            return values[-1]
        case _:
            return _PLAIN[type(info)]


def _are_numbers(items: tuple[inspect.Type, ...]) -> bool:
    return all(isinstance(one, inspect.IntType | inspect.FloatType) for one in items)


_PLAIN: Mapping[type[inspect.Type], Any] = {
    inspect.IntType: 7,
    inspect.FloatType: 0.5,
    inspect.BoolType: True,
    inspect.StrType: "some-text",
    inspect.BytesType: b"some bytes",
    inspect.DateTimeType: AT,
    inspect.RawType: msgspec.Raw(msgspec.msgpack.encode({"type": "view"})),
}


def grown(value: Any, info: inspect.Type) -> Any:
    """What a newer version might have written: one field more in the record, and in each record inside it."""
    match value, info:
        case list(), inspect.StructType(fields=fields):
            known = [grown(one, field.type) for one, field in zip(value, fields, strict=True)]
            return [*known, NEWER]
        case dict(), inspect.StructType(fields=fields):
            types = {field.encode_name: field.type for field in fields}
            return {name: grown(one, types[name]) if name in types else one for name, one in value.items()} | {NEWER: [1]}
        case dict(), inspect.DictType(value_type=of_value):
            return {name: grown(one, of_value) for name, one in value.items()}
        case list(), inspect.VarTupleType(item_type=item):
            return [grown(one, item) for one in value]
        case list(), inspect.TupleType(item_types=items):
            return [grown(one, item) for one, item in zip(value, items, strict=True)]
        case _, inspect.UnionType(types=types):
            return (
                grown(value, next(one for one in types if not isinstance(one, inspect.NoneType))) if value is not None else None
            )
        case _:
            return value
