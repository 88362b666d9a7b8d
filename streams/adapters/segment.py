"""Track calls of Segment and RudderStack in their e-commerce specification, one JSON object a record (docs/formats.md)."""

from __future__ import annotations

from typing import Literal

from prefstream.events import Event
from streams.adapters import RawRecord, Undecodable
from streams.adapters.shop import Act, Fields, Shape, acted, events, listed
from streams.adapters.validation import as_text, json_object, refuse, shown, value_of

EVENTS: dict[str, Act | Literal["search", "review"]] = {
    "product viewed": "view",
    "product clicked": "click",
    "product added": "click",
    "product added to wishlist": "click",
    "order completed": "purchase",
    "order refunded": "return",
    "order cancelled": "return",
    "products searched": "search",
    "product reviewed": "review",
}
"""What each track call becomes, by its name in lower case. Calls of other names are filtered."""

OTHER_CALLS = ("identify", "page", "screen", "group", "alias")
"""Calls that are no events of an item: filtered."""

PRODUCT = Shape(
    ids=("product_id", "sku"),
    title="name",
    attributes={"category": ("category",), "brand": ("brand",), "variant": ("variant",)},
)


def segment(record: RawRecord) -> tuple[Event, ...] | Undecodable:
    """The adapter of Segment's and RudderStack's calls."""
    value = value_of(record)
    call = json_object(value, "value") if isinstance(value, bytes) else value
    if isinstance(call, Undecodable):
        return call
    kind, name = call.get("type"), call.get("event")
    if kind in OTHER_CALLS:
        return ()
    if kind != "track":
        return refuse("unknown_type", f"type: {shown(kind)} is no call; the calls are track, {', '.join(OTHER_CALLS)}")
    if not isinstance(name, str):
        return refuse("unknown_type", f"event: {shown(name)} is no name of a track call")
    return _track(name, call)


def _track(name: str, call: Fields) -> tuple[Event, ...] | Undecodable:
    kind = EVENTS.get(name.strip().lower())
    if kind is None:
        return ()
    properties = call.get("properties") or {}
    if not isinstance(properties, dict):
        return refuse("invalid", f"properties: expected an object, got {type(properties).__name__}")
    common: Fields = {
        "user": PRODUCT.first(call, "userId", "anonymousId"),
        "at": PRODUCT.first(call, "timestamp", "originalTimestamp"),
        "id": PRODUCT.first(call, "messageId"),
    }
    return events(name, common, _each(kind, properties))


def _each(kind: Act | Literal["search", "review"], properties: Fields) -> list[Fields]:
    match kind:
        case "search":
            query = as_text(properties.get("query"))
            return [] if query == "" else [{"type": "search", "query": query}]
        case "review":
            return _reviewed(properties)
        case "purchase" | "return":
            return [acted(kind, PRODUCT.item(product)) for product in listed(properties.get("products"))]
        case _:
            return [acted(kind, PRODUCT.item(properties))]


def _reviewed(properties: Fields) -> list[Fields]:
    """A rating and a comment, as far as there are any; of neither, a rating without a value, which the contract refuses."""
    item, text, value = PRODUCT.item(properties), PRODUCT.first(properties, "review_body"), properties.get("rating")
    comment: list[Fields] = [] if text is None else [{"type": "comment", "item": item, "text": text}]
    if value in PRODUCT.absent and comment:
        return comment
    return [{"type": "rating", "item": item, "value": _number(value)}, *comment]


def _number(found: object) -> object:
    """The specification has ratings as texts; what is none stays as it is, for the contract to refuse."""
    try:
        return float(found) if isinstance(found, str) else found
    except ValueError:
        return found
