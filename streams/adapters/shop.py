"""A shop's products and what was done with them: what the formats of web analytics have in common.

Place in the flow: below the adapters of Segment, Snowplow and GA4, which find the parts; the contract judges what is made of
them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from prefstream.events import Event, decode_event
from streams.adapters import Undecodable
from streams.adapters.validation import as_text, refuse, revalidated

Act = Literal["view", "click", "purchase", "return"]
Fields = dict[str, object]

_MAX_NAME_CHARS = 60


class Shape(Struct, frozen=True):
    """How a format names a product's parts: of several ids the first that is there, and each attribute's fields."""

    ids: tuple[str, ...]
    title: str
    attributes: dict[str, tuple[str, ...]]
    absent: tuple[object, ...] = (None, "")

    def first(self, found: Fields, *names: str) -> object:
        """The first of these fields that is there, a whole number as its text; None where none is."""
        return next((as_text(found[name]) for name in names if found.get(name) not in self.absent), None)

    def item(self, product: object) -> object:
        """The product as an item; what is no product as it is, for the contract to refuse."""
        if not isinstance(product, dict):
            return product
        attributes = {
            ours: [value for name in theirs for value in _texts(self.first(product, name))]
            for ours, theirs in self.attributes.items()
        }
        parts = {
            "id": self.first(product, *self.ids),
            "title": self.first(product, self.title),
            "attributes": {name: values for name, values in attributes.items() if values},
        }
        return {name: value for name, value in parts.items() if value is not None}


def _texts(found: object) -> list[object]:
    if isinstance(found, list):
        return [as_text(one) for one in found]
    return [] if found is None else [found]


def acted(act: Act, item: object) -> Fields:
    """The fields of what somebody did with an item."""
    return {"type": "purchase", "returned": True, "item": item} if act == "return" else {"type": act, "item": item}


def listed(found: object) -> list[object]:
    """A list; nothing as an empty one, and what is no list as its only element, for the contract to refuse."""
    if isinstance(found, list):
        return found
    return [] if found is None else [found]


def events(name: str, common: Fields, each: Iterable[Fields]) -> tuple[Event, ...] | Undecodable:
    """An event of each, all of them or none; none at all says that the record was nothing of anybody's taste.

    ``common`` is what they share; the second one's id is ``id/1``. ``name`` is the platform's name of what happened, for a
    refusal.
    """
    made: list[Event] = []
    for index, fields in enumerate(each):
        whole = {field: value for field, value in (common | fields).items() if value is not None}
        if index and isinstance(whole.get("id"), str):
            whole["id"] = f"{whole['id']}/{index}"
        found = revalidated(whole, decode_event)
        if isinstance(found, Undecodable):
            return refuse(found.reason, f"{name[:_MAX_NAME_CHARS]}, {index}: {found.message}")
        made.append(found)
    return tuple(made)
