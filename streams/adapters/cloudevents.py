"""CloudEvents 1.0 in the Kafka protocol binding, binary and structured mode, with JSON data.

===========  ========================  ==================  ==========================================================
attribute    binary mode (header)      structured mode     becomes
===========  ========================  ==================  ==========================================================
specversion  ``ce_specversion``        ``specversion``     must be ``1.0``
type         ``ce_type``               ``type``            ``type``: its last dot-segment, as in ``com.shop.rating``
source, id   ``ce_source``, ``ce_id``  ``source``, ``id``  ``id``: both, with a space between, where the data has none
time         ``ce_time``               ``time``            ``at``, where the data has none
subject      ``ce_subject``            ``subject``         ``user``, where the data has none
data         the value                 ``data`` or         the other fields of the event or command
                                       ``data_base64``
===========  ========================  ==================  ==========================================================

The first four are required. The mode is told by ``content-type``: ``application/cloudevents+json`` is structured; otherwise
it is the data's own type, which is JSON or is left out. A ``type`` within the data is overruled by the envelope's.
"""

from __future__ import annotations

import binascii
import re

from prefstream.commands import Command, decode_record
from prefstream.events import Event
from streams.adapters import RawRecord, Undecodable
from streams.adapters.validation import json_object, refuse, revalidated, value_of

_REQUIRED = ("specversion", "type", "source", "id")
_OPTIONAL = ("time", "subject")
_STRUCTURED = "application/cloudevents+json"
_JSON_TYPE = re.compile(r"(application/json|text/json|[\w.+-]+/[\w.+-]+\+json)\Z")


def cloudevents(record: RawRecord) -> tuple[Event | Command, ...] | Undecodable:
    """The adapter of CloudEvents."""
    value = value_of(record)
    if isinstance(value, Undecodable):
        return value
    headers = _headers_of(record)
    if isinstance(headers, Undecodable):
        return headers
    media_type = _media_type(headers.get("content-type", ""))
    if media_type == _STRUCTURED:
        return _structured(value)
    if media_type.startswith("application/cloudevents"):
        return refuse("undecodable", f"content-type: {media_type!r} is not {_STRUCTURED}")
    return _binary(headers, media_type, value)


def _headers_of(record: RawRecord) -> dict[str, str] | Undecodable:
    """The headers that matter here, by lower-case name; the last of a name counts, as with Kafka's own ``lastHeader``."""
    headers: dict[str, str] = {}
    for name, value in record.headers:
        lowered = name.lower()
        if lowered == "content-type" or lowered.startswith("ce_"):
            try:
                headers[lowered] = value.decode()
            except UnicodeDecodeError:
                return refuse("undecodable", f"{lowered}: not UTF-8 ({value[:40]!r})")
    return headers


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _binary(headers: dict[str, str], media_type: str, value: bytes) -> tuple[Event | Command, ...] | Undecodable:
    attributes = {name: headers[f"ce_{name}"] for name in (*_REQUIRED, *_OPTIONAL) if f"ce_{name}" in headers}
    faulty = _faulty(dict(attributes), prefix="ce_") or _not_json(media_type, "content-type")
    if faulty:
        return faulty
    data = json_object(value, "value")
    return data if isinstance(data, Undecodable) else _merged(attributes, data)


def _structured(value: bytes) -> tuple[Event | Command, ...] | Undecodable:
    envelope = json_object(value, "value")
    if isinstance(envelope, Undecodable):
        return envelope
    content_type = envelope.get("datacontenttype") or ""
    faulty = _faulty(envelope, prefix="") or _not_json(_media_type(str(content_type)[:100]), "datacontenttype")
    if faulty:
        return faulty
    data = _data_of(envelope)
    if isinstance(data, Undecodable):
        return data
    return _merged({name: str(envelope[name]) for name in (*_REQUIRED, *_OPTIONAL) if envelope.get(name) is not None}, data)


def _data_of(envelope: dict[str, object]) -> dict[str, object] | Undecodable:
    data, encoded = envelope.get("data"), envelope.get("data_base64")
    if encoded is None:
        return data if isinstance(data, dict) else refuse("invalid", f"data: expected an object, got {_kind_of(data)}")
    if data is not None:
        return refuse("invalid", "data_base64: given together with data")
    if not isinstance(encoded, str):
        return refuse("invalid", f"data_base64: expected text, got {_kind_of(encoded)}")
    try:
        return json_object(binascii.a2b_base64(encoded, strict_mode=True), "data_base64")
    except ValueError as malformed:
        return refuse("undecodable", f"data_base64: not base64: {malformed}")


def _faulty(attributes: dict[str, object], prefix: str) -> Undecodable | None:
    """The first attribute that is missing or impossible, named as it stands in this mode."""
    for name in _REQUIRED:
        if attributes.get(name) in (None, ""):
            return refuse("unknown_type" if name == "type" else "undecodable", f"{prefix}{name}: missing")
    for name in (*_REQUIRED, *_OPTIONAL):
        if not isinstance(attributes.get(name, ""), str | None):
            return refuse("undecodable", f"{prefix}{name}: expected text, got {_kind_of(attributes[name])}")
    if attributes["specversion"] != "1.0":
        return refuse("undecodable", f"{prefix}specversion: {str(attributes['specversion'])[:40]!r} is not '1.0'")
    return None


def _not_json(media_type: str, name: str) -> Undecodable | None:
    if media_type and not _JSON_TYPE.match(media_type):
        return refuse("undecodable", f"{name}: {media_type[:100]!r} is not JSON")
    return None


def _kind_of(value: object) -> str:
    return "nothing" if value is None else type(value).__name__


def _merged(attributes: dict[str, str], data: dict[str, object]) -> tuple[Event | Command, ...] | Undecodable:
    """The event or command of ``data``, completed from the envelope."""
    # No URI holds a space, so two pairs never make the same id.
    fields: dict[str, object] = {"id": f"{attributes['source']} {attributes['id']}"}
    fields |= {ours: attributes[theirs] for ours, theirs in (("at", "time"), ("user", "subject")) if theirs in attributes}
    fields |= {name: value for name, value in data.items() if value is not None}
    fields["type"] = attributes["type"].rpartition(".")[2]
    found = revalidated(fields, decode_record)
    return found if isinstance(found, Undecodable) else (found,)
