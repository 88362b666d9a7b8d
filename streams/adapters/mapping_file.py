"""A mapping file: the TOML in which a platform says which fields of its JSON become which of ours (docs/mapping.md).

It is read strictly when the worker starts, so that a typing error is a message then and not a topic of dead letters later.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Literal, cast, get_args

import msgspec
from msgspec import Struct
from msgspec.structs import fields as fields_of

from prefstream.events import Event, EventBase
from streams.errors import InvalidMapping

Form = Literal["json", "text", "texts", "seconds", "milliseconds"]
"""How a value is read: as it is, with whole numbers as text, as a list of texts, as a time since 1970."""


class Constant(Struct, frozen=True):
    """The same value for every record."""

    value: object


class Field(Struct, frozen=True):
    """The value at ``path``; one that ``values``, if given, does not list counts as missing."""

    path: tuple[str, ...]
    form: Form = "json"
    values: dict[str, object] | None = None
    split: str = ""


class ItemFields(Struct, frozen=True):
    """An item, put together from its parts."""

    parts: dict[str, Constant | Field]
    attributes: dict[str, Constant | Field]


class Items(Struct, frozen=True):
    """A list at ``path``; the paths of ``each`` start at one of its elements."""

    path: tuple[str, ...]
    each: ItemFields


Source = Constant | Field | ItemFields | Items


class Mapping(Struct, frozen=True):
    """Where the event's type and each of its fields come from."""

    type: Constant | Field
    fields: dict[str, Source]


_UNITS: dict[str, Form] = {"seconds": "seconds", "milliseconds": "milliseconds", "rfc3339": "json"}
_EVENTS: dict[str, type[EventBase]] = {str(event.__struct_config__.tag): event for event in get_args(Event)}
_ANY_SOURCE = ("constant", "field", "values")
_COMMON_SOURCES: tuple[tuple[str, tuple[str, ...], Form], ...] = (
    ("user", ("field",), "text"),
    ("id", ("field",), "text"),
    ("domain", _ANY_SOURCE, "text"),
    ("recommended", _ANY_SOURCE, "json"),
    ("tenant", _ANY_SOURCE, "text"),
)
_TYPES: dict[str, object] = {field.name: field.type for event in _EVENTS.values() for field in fields_of(event)}
_COMMON = ("user", "at", "id", "domain", "recommended", "tenant")


def parse_mapping(text: str) -> Mapping:
    """The mapping that the TOML ``text`` describes. Raises `InvalidMapping`, which names the key and the fix."""
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as malformed:
        raise InvalidMapping("", f"not TOML: {malformed}", "see docs/mapping.md for an example") from malformed
    _known("", table, ("type", *_COMMON, "item", "fields"))
    for name in ("type", "user", "at"):
        if name not in table:
            raise InvalidMapping(name, "missing", f'write {name} = "..."')
    type_, events = _parse_type(table["type"])
    fields = _parse_common(table)
    if "item" in table:
        fields["item"] = _parse_item("item", table["item"])
    fields |= _parse_fields(_table("fields", table.get("fields", {})), events)
    if not isinstance(type_, Field) or type_.values is not None:
        _complete(fields, events)
    return Mapping(type_, fields)


def _parse_type(node: object) -> tuple[Constant | Field, tuple[str, ...]]:
    """Where the type comes from, and the types it can be."""
    source = Constant(node) if isinstance(node, str) else _parse_source("type", node, ("field", "values"))
    match source:
        case Constant():
            tags: tuple[object, ...] = (source.value,)
        case Field():
            tags = tuple(_EVENTS if source.values is None else source.values.values())
    for tag in tags:
        if not isinstance(tag, str) or tag not in _EVENTS:
            raise InvalidMapping("type", f"{tag!r} is no type of event", _nearest(str(tag), _EVENTS))
    return source, cast("tuple[str, ...]", tags)


def _parse_common(table: dict[str, object]) -> dict[str, Source]:
    fields: dict[str, Source] = {"at": _parse_at(table["at"])}
    for name, words, form in _COMMON_SOURCES:
        if name in table:
            fields[name] = _fitting(name, name, _parse_source(name, table[name], words, form))
    return fields


def _parse_at(node: object) -> Field:
    if isinstance(node, str):
        return Field(_path("at", node))
    table = _table("at", node)
    _known("at", table, ("field", "unit"))
    unit = table.get("unit")
    if not isinstance(unit, str) or unit not in _UNITS:
        raise InvalidMapping("at.unit", f"{unit!r} is no unit", _nearest(str(unit), _UNITS))
    return Field(_path("at.field", table.get("field")), _UNITS[unit])


def _parse_fields(table: dict[str, object], events: tuple[str, ...]) -> dict[str, Source]:
    own = {field.name for tag in events for field in fields_of(_EVENTS[tag])} - {*_COMMON, "item"}
    _known("fields", table, sorted(own))
    return {name: _parse_field(name, node) for name, node in table.items()}


def _parse_field(name: str, node: object) -> Source:
    key = f"fields.{name}"
    match name:
        case "chosen":
            return _parse_item(key, node)
        case "rejected":
            table = _table(key, node)
            _known(key, table, ("field", "each"))
            return Items(_path(f"{key}.field", table.get("field")), _parse_item(f"{key}.each", table.get("each")))
        case _:
            return _fitting(name, key, _parse_source(key, node, _ANY_SOURCE))


def _parse_item(key: str, node: object) -> ItemFields:
    table = _table(key, node)
    _known(key, table, ("id", "title", "attributes"))
    if "id" not in table:
        raise InvalidMapping(f"{key}.id", "missing", 'an item needs id = "..."')
    own = [name for name in table if name != "attributes"]
    attributes = _table(f"{key}.attributes", table.get("attributes", {}))
    return ItemFields(
        {name: _parse_source(f"{key}.{name}", table[name], ("field",), "text") for name in own},
        {name: _parse_attribute(f"{key}.attributes.{name}", node) for name, node in attributes.items()},
    )


def _parse_attribute(key: str, node: object) -> Constant | Field:
    source = _parse_source(key, node, ("constant", "field", "split"), "texts")
    if isinstance(source, Field):
        return source
    values = source.value if isinstance(source.value, list) else [source.value]
    if not all(isinstance(value, str) for value in values):
        raise InvalidMapping(f"{key}.constant", f"{source.value!r} is no text", "write a text or a list of texts")
    return Constant(values)


def _parse_source(key: str, node: object, words: tuple[str, ...], form: Form = "json") -> Constant | Field:
    """A path, or a table of ``words``: either ``constant``, or ``field`` with what may stand beside it."""
    if isinstance(node, str):
        return Field(_path(key, node), form)
    table = _table(key, node)
    _known(key, table, words)
    if "constant" in table:
        if len(table) > 1:
            raise InvalidMapping(key, "a constant and something else", "write one of constant and field")
        return Constant(table["constant"])
    values, split = table.get("values"), table.get("split", "")
    if "values" in table and not (isinstance(values, dict) and values):
        raise InvalidMapping(f"{key}.values", "no table", 'write values = { theirs = "ours" }')
    if "split" in table and not (isinstance(split, str) and split):
        raise InvalidMapping(f"{key}.split", "no text", 'write split = "|"')
    return Field(_path(f"{key}.field", table.get("field")), form, cast("dict[str, object] | None", values), str(split))


def _fitting(name: str, key: str, source: Constant | Field) -> Constant | Field:
    """The source, whose constants are what the contract wants of the field ``name``."""
    for value in [source.value] if isinstance(source, Constant) else (source.values or {}).values():
        try:
            msgspec.convert(value, _TYPES[name])
        except msgspec.ValidationError as misfit:
            raise InvalidMapping(key, f"{value!r} does not fit: {misfit}", f"write a {name} of the contract") from misfit
    return source


def _path(key: str, node: object) -> tuple[str, ...]:
    path = tuple(node.split(".")) if isinstance(node, str) else ()
    if not all(path) or not path:
        raise InvalidMapping(key, f"{node!r} is no path", 'write the names from the outside in, as in "movie.id"')
    return path


def _table(key: str, node: object) -> dict[str, object]:
    if not isinstance(node, dict):
        raise InvalidMapping(key, f"{node!r} is no table", f"write [{key}] or {key} = {{ ... }}")
    return node


def _known(key: str, table: dict[str, object], names: Iterable[str]) -> None:
    for name in table:
        if name not in names:
            raise InvalidMapping(f"{key}.{name}".lstrip("."), "unknown key", _nearest(name, names))


def _nearest(name: str, names: Iterable[str]) -> str:
    near = get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"write one of {', '.join(names)}"


def _complete(fields: dict[str, Source], events: tuple[str, ...]) -> None:
    """Every type that can come has the fields it cannot do without."""
    for tag in events:
        for field in fields_of(_EVENTS[tag]):
            if field.required and field.name not in fields:
                key = "item" if field.name == "item" else f"fields.{field.name}"
                raise InvalidMapping(key, "missing", f"a {tag} needs it")
