"""Rows of the export of Google Analytics 4 to BigQuery, one JSON object a record (docs/formats.md)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Literal

import msgspec

from prefstream.events import Event
from streams.adapters import RawRecord, Undecodable
from streams.adapters.shop import Act, Fields, Shape, acted, events, listed
from streams.adapters.validation import as_text, json_object, refuse, shown, value_of

EVENTS: dict[str, Act | Literal["search"]] = {
    "view_item": "view",
    "select_item": "click",
    "add_to_cart": "click",
    "add_to_wishlist": "click",
    "purchase": "purchase",
    "refund": "return",
    "search": "search",
    "view_search_results": "search",
}
"""What each event becomes, by its name. Rows of other names are filtered."""

PRODUCT = Shape(
    ids=("item_id", "item_name"),
    title="item_name",
    attributes={
        "category": ("item_category", "item_category2", "item_category3", "item_category4", "item_category5"),
        "brand": ("item_brand",),
        "variant": ("item_variant",),
    },
    absent=(None, "", "(not set)"),
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# What tells a row from all others of its user: none of these alone does, and the last three are not in every export.
_IDENTITY = (
    "stream_id",
    "user_pseudo_id",
    "user_id",
    "event_timestamp",
    "event_name",
    "event_bundle_sequence_id",
    "batch_page_id",
    "batch_ordering_id",
    "batch_event_index",
)


def ga4(record: RawRecord) -> tuple[Event, ...] | Undecodable:
    """The adapter of GA4's export."""
    value = value_of(record)
    row = json_object(value, "value") if isinstance(value, bytes) else value
    if isinstance(row, Undecodable):
        return row
    name = row.get("event_name")
    if not isinstance(name, str):
        return refuse("unknown_type", f"event_name: {shown(name)} is no name of an event")
    kind, user = EVENTS.get(name), PRODUCT.first(row, "user_id", "user_pseudo_id")
    if kind is None or user is None:
        return ()
    each = _each(kind, row)
    common: Fields = {"user": user, "at": _instant(row.get("event_timestamp")), "id": _identity(row, each)}
    return events(name, common, each)


def _each(kind: Act | Literal["search"], row: Fields) -> list[Fields]:
    if kind == "search":
        query = _parameter(row, "search_term")
        return [] if query is None else [{"type": "search", "query": query}]
    return [acted(kind, PRODUCT.item(product)) for product in listed(row.get("items"))]


def _parameter(row: Fields, key: str) -> object:
    """The value of a parameter, which is in the field of its type; None where it is not there."""
    for one in listed(row.get("event_params")):
        if isinstance(one, dict) and one.get("key") == key and isinstance(one.get("value"), dict):
            return PRODUCT.first(one["value"], "string_value", "int_value", "float_value", "double_value")
    return None


def _instant(found: object) -> object:
    """Microseconds since 1970, which JSON exports of BigQuery write as a text; anything else is left for the contract."""
    if isinstance(found, bool) or not isinstance(found, str | int):
        return found
    try:
        return _EPOCH + timedelta(microseconds=int(found))
    except (ValueError, OverflowError):
        return as_text(found)


def _identity(row: Fields, each: list[Fields]) -> str:
    """An id of what is in the row: an export has none. Rows of one batch may differ in nothing else but what they are about."""
    try:
        parts = msgspec.json.encode([[as_text(row.get(name)) for name in _IDENTITY], each])
    except RecursionError:  # the contract refuses it with better words
        return ""
    return f"ga4:{blake2b(parts, digest_size=16).hexdigest()}"
