"""Enriched events of Snowplow: lines of 131 tab-separated fields, or the JSON its libraries make of them (docs/formats.md)."""

from __future__ import annotations

import re

from prefstream.events import Event
from streams.adapters import RawRecord, Undecodable
from streams.adapters.shop import Act, Fields, Shape, acted, events, listed
from streams.adapters.validation import json_object, refuse, value_of

NUM_FIELDS = 131
FIELDS: dict[str, int] = {
    "collector_tstamp": 3,
    "event": 5,
    "event_id": 6,
    "user_id": 12,
    "domain_userid": 15,
    "network_userid": 17,
    "contexts": 52,
    "unstruct_event": 58,
    "ti_sku": 68,
    "ti_name": 69,
    "ti_category": 70,
    "derived_contexts": 122,
    "derived_tstamp": 124,
}
"""Where in a line each field that is read stands, counted from 0."""

ACTIONS: dict[str, Act] = {
    "product_view": "view",
    "list_click": "click",
    "add_to_cart": "click",
    "transaction": "purchase",
    "refund": "return",
}
"""What each type of e-commerce action becomes. Actions of other types are filtered."""

PRODUCT = Shape(
    ids=("id",),
    title="name",
    attributes={"category": ("category",), "brand": ("brand",), "variant": ("variant",), "size": ("size",)},
    absent=(None, "", "00000000-0000-0000-0000-000000000000"),
)
TRANSACTION_ITEM = Shape(ids=("ti_sku",), title="ti_name", attributes={"category": ("ti_category",)})

# As Snowplow's libraries name the columns of schemas, without the major version.
_ACTION = "unstruct_event_com_snowplowanalytics_snowplow_ecommerce_snowplow_ecommerce_action"
_SEARCH = "unstruct_event_com_snowplowanalytics_snowplow_site_search"
_PRODUCTS = "contexts_com_snowplowanalytics_snowplow_ecommerce_product"
_SCHEMA = re.compile(r"iglu:([\w.-]+)/([\w.-]+)/jsonschema/\d+-\d+-\d+\Z")
_VERSION = re.compile(r"_\d+\Z")
_LINE_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d(?:\.\d+)?)\Z")


def snowplow(record: RawRecord) -> tuple[Event, ...] | Undecodable:
    """The adapter of Snowplow's enriched events."""
    value = value_of(record)
    if isinstance(value, Undecodable):
        return value
    found = json_object(value, "value") if value.lstrip()[:1] == b"{" else _line(value)
    if isinstance(found, Undecodable):
        return found
    columns = _columns(found)
    return columns if isinstance(columns, Undecodable) else _made(columns)


def _line(value: bytes) -> Fields | Undecodable:
    try:
        fields = value.decode().rstrip("\r\n").split("\t")
    except UnicodeDecodeError as malformed:
        return refuse("undecodable", f"value: not UTF-8: {malformed}")
    if len(fields) != NUM_FIELDS:
        return refuse("undecodable", f"value: neither JSON nor a line of {NUM_FIELDS} fields, but of {len(fields):,}")
    return {name: fields[index] for name, index in FIELDS.items()}


def _columns(found: Fields) -> Fields | Undecodable:
    """The fields, with self-describing JSON in columns of its schema's name, as Snowplow's libraries have it."""
    columns: Fields = {_VERSION.sub("", name): value for name, value in found.items()}
    for name in ("unstruct_event", "contexts", "derived_contexts"):
        envelope = columns.pop(name, None)
        if isinstance(envelope, str) and envelope:
            envelope = json_object(envelope.encode(), name)
        if isinstance(envelope, Undecodable):
            return envelope
        inner = envelope.get("data") if isinstance(envelope, dict) else None
        if name == "unstruct_event" and isinstance(inner, dict):
            columns[f"unstruct_event_{_column(inner)}"] = inner.get("data")
        elif name != "unstruct_event":
            for one in listed(inner):
                if isinstance(one, dict):
                    columns.setdefault(f"contexts_{_column(one)}", [])
                    _append(columns[f"contexts_{_column(one)}"], one.get("data"))
    return columns


def _append(column: object, found: object) -> None:
    if isinstance(column, list):
        column.append(found)


def _column(described: Fields) -> str:
    schema = _SCHEMA.match(str(described.get("schema"))[:1_000])
    return re.sub(r"[.-]", "_", f"{schema[1]}_{schema[2]}").lower() if schema else ""


def _made(columns: Fields) -> tuple[Event, ...] | Undecodable:
    user = PRODUCT.first(columns, "user_id", "domain_userid", "network_userid")
    name, each = _each(columns)
    if user is None or not each:
        return ()
    common: Fields = {
        "user": user,
        "at": _instant(PRODUCT.first(columns, "derived_tstamp", "collector_tstamp")),
        "id": PRODUCT.first(columns, "event_id"),
    }
    return events(name, common, each)


def _each(columns: Fields) -> tuple[str, list[Fields]]:
    """What is said of each item, and the event's name for people."""
    action, search = columns.get(_ACTION), columns.get(_SEARCH)
    if isinstance(action, dict):
        kind = action.get("type")
        act = ACTIONS.get(kind) if isinstance(kind, str) else None
        products = listed(columns.get(_PRODUCTS)) if act else []
        return str(kind), [acted(act, PRODUCT.item(one)) for one in products if act]
    if isinstance(search, dict):
        terms = " ".join(term for term in listed(search.get("terms")) if isinstance(term, str))
        return "site_search", [{"type": "search", "query": terms}] if terms else []
    if columns.get("event") == "transaction_item":
        return "transaction_item", [acted("purchase", TRANSACTION_ITEM.item(columns))]
    return "", []


def _instant(found: object) -> object:
    """A time of a line, which is in UTC and does not say so; anything else as it is."""
    line = _LINE_TIME.match(found) if isinstance(found, str) else None
    return f"{line[1]}T{line[2]}Z" if line else found
