"""A platform's own JSON by a mapping file, without Python (docs/mapping.md).

The adapter is lenient where that loses nothing and leaves every judgement to the contract, whose refusal then also names the
platform's field.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Literal

from msgspec.structs import replace

from prefstream.events import Event, decode_event
from prefstream.tenants import UNTOLD_TENANT, is_tenant
from streams.adapters import Adapter, RawRecord, Undecodable
from streams.adapters.mapping_file import Constant, Field, ItemFields, Items, Mapping, Source
from streams.adapters.validation import as_text, json_object, refuse, revalidated, value_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OUR_PATH = re.compile(r"[a-z_]+(?:\.[a-z_]+|\[[^\]]*\])*")


def mapping_adapter(mapping: Mapping) -> Adapter:
    """The adapter that reads a platform's JSON objects by ``mapping``, one event each."""

    def mapped(record: RawRecord) -> tuple[Event, ...] | Undecodable:
        value = value_of(record)
        body = json_object(value, "value") if isinstance(value, bytes) else value
        if isinstance(body, Undecodable):
            return _with_tenant(body, None, mapping)
        found = _mapped(body, mapping)
        return _with_tenant(found, body, mapping) if isinstance(found, Undecodable) else (found,)

    return mapped


def _mapped(body: object, mapping: Mapping) -> Event | Undecodable:
    tag = _tag_in(body, mapping.type)
    if isinstance(tag, Undecodable):
        return tag
    fields = _present(_read_all(mapping.fields, body))
    if "tenant" in mapping.fields and not fields.get("tenant"):  # it would be the default tenant's
        return _with_source(refuse("invalid", "tenant: missing"), mapping)
    found = revalidated({"type": tag} | fields, decode_event)
    return _with_source(found, mapping) if isinstance(found, Undecodable) else found


def _with_tenant(refusal: Undecodable, body: object, mapping: Mapping) -> Undecodable:
    """The refusal with whose it is: a record without its tenant is nobody's, and not the default tenant's."""
    if "tenant" not in mapping.fields:
        return refusal
    tenant = _read(mapping.fields["tenant"], body)
    return replace(refusal, tenant=tenant if isinstance(tenant, str) and tenant and is_tenant(tenant) else UNTOLD_TENANT)


def _tag_in(body: object, source: Constant | Field) -> object | Undecodable:
    found = _read(source, body)
    if found is None and isinstance(source, Field) and source.values is not None:
        unlisted = _key_of(_at(source.path, body))
        problem = "missing" if unlisted is None else f"{unlisted[:60]!r} is not in its values"
        return refuse("unknown_type", f"type: {problem}; mapped from {'.'.join(source.path)}")
    return found


def _present(found: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in found.items() if value is not None}


def _read_all(sources: dict[str, Source], body: object) -> dict[str, object]:
    return {name: _read(source, body) for name, source in sources.items()}


def _read(source: Source, body: object) -> object:
    """What ``source`` finds in ``body``; None where it finds nothing, a null, or an item without any part."""
    match source:
        case Constant():
            return source.value
        case Field():
            return _formed(_at(source.path, body), source)
        case ItemFields():
            attributes = _present({name: _read(part, body) for name, part in source.attributes.items()})
            parts = {name: _read(part, body) for name, part in source.parts.items()}
            return _present(parts | {"attributes": attributes or None}) or None
        case Items():
            return _read_each(source.each, _at(source.path, body))


def _read_each(each: ItemFields, found: object) -> object:
    """The items of a list; what is no list or no object stays as it is, for the contract to refuse by name."""
    if not isinstance(found, list):
        return found
    return [_read(each, element) if isinstance(element, dict) else element for element in found]


def _at(path: tuple[str, ...], body: object) -> object:
    for name in path:
        body = body.get(name) if isinstance(body, dict) else None
    return body


def _formed(found: object, source: Field) -> object:
    if found is None:
        return None
    if source.values is not None:
        key = _key_of(found)
        return None if key is None else source.values.get(key)
    match source.form:
        case "json":
            return found
        case "text":
            return as_text(found)
        case "texts":
            return _texts(found, source.split)
        case "seconds" | "milliseconds":
            return _instant(found, source.form)


def _key_of(found: object) -> str | None:
    """A JSON scalar as ``values`` writes it."""
    if isinstance(found, bool):
        return "true" if found else "false"
    return str(found) if isinstance(found, str | int | float) else None


def _texts(found: object, split: str) -> list[object]:
    if isinstance(found, str) and split:
        return [part.strip() for part in found.split(split) if part.strip()]
    return [as_text(element) for element in found] if isinstance(found, list) else [as_text(found)]


def _instant(found: object, unit: Literal["seconds", "milliseconds"]) -> object:
    """The time ``found`` after 1970; what is no number, or too large for a date, is left for the contract to refuse."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        return found
    try:
        return _EPOCH + (timedelta(seconds=found) if unit == "seconds" else timedelta(milliseconds=found))
    except OverflowError:
        return found


def _with_source(refusal: Undecodable, mapping: Mapping) -> Undecodable:
    """The refusal with the platform's name of the field that its message begins with, where the mapping has one."""
    ours = _OUR_PATH.match(refusal.message)
    theirs = _origin_of(re.sub(r"\[[^\]]*\]", "", ours[0]).split("."), mapping) if ours else ""
    return refuse(refusal.reason, f"{refusal.message}; mapped from {theirs}") if theirs else refusal


def _origin_of(ours: list[str], mapping: Mapping) -> str:
    """The platform's path behind our path ``ours``; empty where the mapping has none."""
    source: Source | None = mapping.type if ours[0] == "type" else mapping.fields.get(ours[0])
    prefix = ""
    if isinstance(source, Items) and len(ours) > 1:
        prefix = ".".join(source.path) + "[]."
        source = source.each
    if isinstance(source, ItemFields):
        source = source.parts.get(ours[1] if len(ours) > 1 else "id")
    match source:
        case Constant():
            return "a constant"
        case Field() | Items():
            return prefix + ".".join(source.path)
        case _:
            return ""
