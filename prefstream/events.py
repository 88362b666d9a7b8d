"""Event: what a platform publishes, the first record of the flow (platform topic → **event** → pending → summary).

One frozen Struct per kind of event, one union tagged by ``type``, JSON on the wire::

    {"type": "rating", "user": "ada", "at": "2026-01-05T20:15:00Z", "domain": "films",
     "item": {"id": "50", "title": "Star Wars (1977)", "attributes": {"genre": ["action", "sci-fi"]}},
     "value": 5, "scale": [1, 5]}

Rules of evolution, for every record of the contract:

- a new field has a default, so that an old writer's record still decodes;
- a field is never renamed, never changes its type or unit, and is never made required later;
- a tag never changes its meaning, and a retired tag is never used again;
- a reader ignores fields it does not know, so that an old reader reads a new record.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from prefstream import wire
from prefstream.tenants import TenantId

UserId = Annotated[str, Meta(min_length=1, max_length=512)]
Instant = Annotated[datetime, Meta(tz=True)]
ShortText = Annotated[str, Meta(max_length=1_000)]
LongText = Annotated[str, Meta(max_length=20_000)]


class Item(Struct, frozen=True, omit_defaults=True):
    """Something a user can meet: a film, a shirt, an article.

    ``attributes`` maps a name to its values, as in ``{"genre": ["drama", "war"]}``.
    """

    id: Annotated[str, Meta(min_length=1, max_length=512)]
    title: ShortText = ""
    attributes: dict[ShortText, tuple[ShortText, ...]] = field(default_factory=dict)


class EventBase(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """What every event carries.

    ``at`` is the event's own time (RFC 3339 with an offset). ``id``, when given, makes a publisher's retry recognisable.
    ``tenant`` says whose user it is (a-z, 0-9, ``.``, ``_``, ``-``); empty where an installation serves one platform.
    ``recommended`` marks what the platform itself put forward, so that the system does not learn from its own echo.
    """

    user: UserId
    at: Instant
    id: ShortText = ""
    domain: ShortText = ""
    recommended: bool = False
    tenant: TenantId = ""


class View(EventBase, frozen=True, tag="view"):
    """The user looked at an item for ``seconds``, through the share ``completion`` (0 to 1) of it."""

    item: Item
    seconds: Annotated[float, Meta(ge=0)] | None = None
    completion: Annotated[float, Meta(ge=0, le=1)] | None = None


class Click(EventBase, frozen=True, tag="click"):
    """The user opened an item."""

    item: Item


class Skip(EventBase, frozen=True, tag="skip"):
    """The user was shown an item and passed over it."""

    item: Item


class Purchase(EventBase, frozen=True, tag="purchase"):
    """The user bought an item, or, with ``returned``, sent it back."""

    item: Item
    returned: bool = False


class Rating(EventBase, frozen=True, tag="rating"):
    """The user rated an item ``value`` on a ``scale`` of (lowest, highest)."""

    item: Item
    value: float
    scale: tuple[float, float] = (1.0, 5.0)

    def __post_init__(self) -> None:
        lowest, highest = self.scale
        if not all(map(math.isfinite, (self.value, lowest, highest))):
            raise ValueError(f"value {self.value} on scale {self.scale} is not a finite number")
        if not lowest < highest:
            raise ValueError(f"scale {self.scale} must go from its lowest to its highest value")
        if not lowest <= self.value <= highest:
            raise ValueError(f"value {self.value} is outside its scale {self.scale}")


class Choice(EventBase, frozen=True, tag="choice"):
    """The user took ``chosen`` and left ``rejected``, after asking for ``query`` if there was one."""

    chosen: Item
    rejected: Annotated[tuple[Item, ...], Meta(max_length=100)] = ()
    query: ShortText = ""


class Post(EventBase, frozen=True, tag="post"):
    """The user published a text of their own."""

    text: LongText


class Comment(EventBase, frozen=True, tag="comment"):
    """The user answered something: ``in_reply_to`` quotes what was answered."""

    text: LongText
    in_reply_to: LongText = ""
    item: Item | None = None


class Search(EventBase, frozen=True, tag="search"):
    """The user searched."""

    query: ShortText


class Message(EventBase, frozen=True, tag="message"):
    """A turn of a chat; what the assistant said is not the user's taste."""

    text: LongText
    role: Literal["user", "assistant"] = "user"


class Feedback(EventBase, frozen=True, tag="feedback"):
    """The user said whether a recommended item was welcome."""

    item: Item
    liked: bool
    text: LongText = ""


Event = View | Click | Skip | Purchase | Rating | Choice | Post | Comment | Search | Message | Feedback

_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def encode_event(event: Event) -> bytes:
    """The event as JSON.

    Raises InvalidRecord for text that is not Unicode (half of a surrogate pair). Nothing else is checked here.
    """
    return wire.encode(event)


def decode_event(data: bytes) -> Event:
    """The event in ``data``.

    Raises InvalidRecord, whose message names the field and its value and whose ``reason`` is ``undecodable``,
    ``unknown_type``, ``missing_user`` or ``invalid``.
    """
    return wire.decode(_decoder, data)
