"""Evidence: an event normalised to what was asked, taken, left, and how strongly; what the tally counts and a prompt words.

==========  ============================================  ==================================================
event       strength                                      where it goes
==========  ============================================  ==================================================
rating      its place on its scale, as -1 to +1           the item
purchase    +0.8, returned -0.4                           the item
choice      +0.9                                          ``chosen`` and ``rejected`` as they are, ``query``
feedback    +0.8 liked, -0.8 not                          the item, ``quote``
click       +0.3                                          the item
view        +0.1, up to +0.5 when watched to the end      the item
            or, that unknown, +0.3 after two minutes
skip        -0.2                                          the item
search      +0.3                                          ``query``, and ``quote``
post        +0.2                                          ``quote``
comment     +0.2                                          ``quote``, ``query`` what was answered, the item
message     +0.2 the user's, 0 the assistant's            ``quote``; none of the assistant's
==========  ============================================  ==================================================

The item of an event with a negative strength is the one rejected, otherwise the one chosen. The strength belongs to
``chosen``, or to ``rejected`` where nothing was chosen. A return also takes back what the purchase counted, as far as the tally
remembers it. What the user wrote counts little here: its words say what it means, and code cannot tell praise from blame.
Whatever the platform recommended counts half, so that its echo is no taste. ``docs/events.md`` has an example of each.
"""

from __future__ import annotations

from msgspec import Struct

from prefstream.events import (
    Choice,
    Click,
    Comment,
    Event,
    Feedback,
    Item,
    Message,
    Post,
    Purchase,
    Rating,
    Search,
    Skip,
    View,
)

FAINT = 0.25
"""Under this strength nobody reacted to what was shown: it was passed over, glanced at, opened as it was put forward."""
_SHOWN = frozenset({"skip", "view", "click", "message"})

MAX_QUOTE_CHARS = 600
"""Some 100 words: a flush of twenty, about 5,000 tokens, fits a context of 8 k beside the old summary and the answer."""


PURCHASE_STRENGTH = 0.8
GLANCE_SECONDS, LOOK_SECONDS = 5.0, 120.0
"""How long a view of unknown completion is no more than any, and from when on it counts most; items differ in length."""


class Evidence(Struct, frozen=True, kw_only=True):
    """One event as evidence.

    ``kind`` is the event's tag, ``at_seconds`` its time since 1970, ``strength`` lies in -1 to +1, and ``quote`` holds the
    user's own words; ``query`` and ``quote`` are cut at ``MAX_QUOTE_CHARS``.
    """

    kind: str
    at_seconds: float
    domain: str
    strength: float
    query: str
    chosen: Item | None
    rejected: tuple[Item, ...]
    quote: str
    recommended: bool


def is_impression(evidence: Evidence) -> bool:
    """Whether it is an impression without a reaction and without words: it says nothing by itself, however many may tell.

    A rating of three stars has strength 0 too, and says something.
    """
    return evidence.kind in _SHOWN and abs(evidence.strength) < FAINT and not (evidence.quote or evidence.query)


def title_of(item: Item) -> str:
    """The item's title, or its id where it has none."""
    return item.title or item.id


def evidence_of(event: Event) -> Evidence:
    """The event as evidence, by the table above; every event has one."""
    match event:
        case View() | Click() | Skip() | Purchase() | Rating():
            return _about(event, _item_strength(event))
        case Feedback():
            return _about(event, 0.8 if event.liked else -0.8, quote=event.text)
        case Choice():
            return _evidence(event, 0.9, chosen=event.chosen, rejected=event.rejected, query=event.query)
        case Post():
            return _evidence(event, 0.2, quote=event.text)
        case Comment():
            return _evidence(event, 0.2, chosen=event.item, query=event.in_reply_to, quote=event.text)
        case Search():
            return _evidence(event, 0.3, query=event.query, quote=event.query)
        case Message():
            spoken = event.role == "user"
            return _evidence(event, 0.2 if spoken else 0.0, quote=event.text if spoken else "")


def _item_strength(event: View | Click | Skip | Purchase | Rating) -> float:
    match event:
        case View():
            return _view_strength(event.completion, event.seconds)
        case Click():
            return 0.3
        case Skip():
            return -0.2
        case Purchase():
            return -0.4 if event.returned else PURCHASE_STRENGTH
        case Rating():
            return _rating_strength(event.value, event.scale)


def _view_strength(completion: float | None, seconds: float | None) -> float:
    if completion is not None:
        return 0.1 + 0.4 * completion
    share = ((seconds or 0.0) - GLANCE_SECONDS) / (LOOK_SECONDS - GLANCE_SECONDS)
    return 0.1 + 0.2 * min(1.0, max(0.0, share))


def _rating_strength(value: float, scale: tuple[float, float]) -> float:
    lowest, highest = scale
    # Halved first: the width of a scale of the largest floats is no float. That of the smallest ones is nothing then.
    width = highest / 2 - lowest / 2
    if not width:
        return 0.0
    share = (value / 2 - lowest / 2) / width
    return min(1.0, max(-1.0, 2.0 * share - 1.0))


def _about(event: View | Click | Skip | Purchase | Rating | Feedback, strength: float, quote: str = "") -> Evidence:
    if strength < 0:
        return _evidence(event, strength, rejected=(event.item,), quote=quote)
    return _evidence(event, strength, chosen=event.item, quote=quote)


def _evidence(
    event: Event,
    strength: float,
    *,
    chosen: Item | None = None,
    rejected: tuple[Item, ...] = (),
    query: str = "",
    quote: str = "",
) -> Evidence:
    return Evidence(
        kind=str(event.__struct_config__.tag),
        at_seconds=event.at.timestamp(),
        domain=event.domain,
        strength=strength / 2 if event.recommended else strength,
        query=_bounded(query),
        chosen=chosen,
        rejected=rejected,
        quote=_bounded(quote),
        recommended=event.recommended,
    )


def _bounded(text: str) -> str:
    return text if len(text) <= MAX_QUOTE_CHARS else text[: MAX_QUOTE_CHARS - 1] + "…"
