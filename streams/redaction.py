"""Redaction: personal details are taken out of what people wrote (stored event → **redaction** → evidence → tally, prompt).

=========  ==================================================================================================  =========
kind       what is found                                                                                       stands for it
=========  ==================================================================================================  =========
email      a name, ``@`` and a domain                                                                          (e-mail)
card       13 to 19 digits in groups whose check digit is right, as card networks issue them                   (card)
phone      a number that somebody can have: with ``+`` of any country, otherwise of one of the policy's        (phone)
address    a house number and a street in English, German, French, Spanish or Italian, a box, a British code   (address)
=========  ==================================================================================================  =========

By field, because a title is no letter: "1984", "867-5309/Jenny" and "84 Charing Cross Road" are works. Names of people are not
found: without a model nobody can tell them from titles. What is found is counted by kind; the words themselves go nowhere. The
stored event keeps them until a summary covers it.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import Literal, get_args

from msgspec import Struct, field
from msgspec.structs import replace
from phonenumbers import Leniency, PhoneNumberMatcher
from stdnum import luhn

from prefstream.events import Choice, Click, Comment, Event, Feedback, Item, Message, Post, Purchase, Rating, Search, Skip, View
from streams.evolution.invisible import without_invisible

Kind = Literal["email", "card", "phone", "address"]
Field = Literal["post", "comment", "message", "feedback", "search", "title", "attribute"]
KINDS: tuple[Kind, ...] = get_args(Kind)
FIELDS: tuple[Field, ...] = get_args(Field)
MAX_CHARS = 2_000
"""Read of a text: three times what evidence quotes of it."""

_WORDS: dict[Kind, str] = {"email": "(e-mail)", "card": "(card)", "phone": "(phone)", "address": "(address)"}
_ALL = frozenset(KINDS)
_NONE: frozenset[Kind] = frozenset()
DEFAULT_KINDS: Mapping[Field, frozenset[Kind]] = {
    "post": _ALL,
    "comment": _ALL,
    "message": _ALL,
    "feedback": _ALL,
    "search": _ALL - {"address"},
    "title": _NONE,
    "attribute": _NONE,
}
"""People search for films by titles that read like an address."""


class Redaction(Struct, frozen=True):
    """Which kinds are taken out of which field, and the regions (ISO 3166) whose phone numbers need no ``+``.

    ``comment`` is also what a comment answers, ``search`` also what a choice was asked for.
    """

    kinds: Mapping[Field, frozenset[Kind]] = field(default_factory=lambda: DEFAULT_KINDS)
    phone_regions: tuple[str, ...] = ("US",)


DEFAULT_REDACTION = Redaction()

_EMAIL = re.compile(r"[\w.%+-]{1,64}[@＠][^\W_](?:[\w-]{0,62})(?:[.．。][\w-]{1,63}){1,8}")
_CARD = re.compile(r"(?<![\d.])[2-6]\d{3}(?:[ -]?\d){9,15}(?![\d])")
_NUMBER = re.compile(r"[+(＋]?\d(?:[\s().\-–/]{0,3}\d){6,}")
_STREET = "street|road|avenue|lane|drive|boulevard|highway|parkway"
_PLACE = "St|Rd|Ave|Ln|Dr|Blvd|Hwy|Pkwy|Court|Ct|Place|Pl|Square|Sq|Way|Terrace|Close|Crescent"
_NAME = r"[^\W\d_][\w'’-]*\.?"
_ADDRESS = re.compile(
    rf"\b\d{{1,5}}[A-Za-z]?,? (?:{_NAME} ){{1,3}}(?:(?i:{_STREET})\b|(?:{_PLACE})\b\.?)"
    r"(?:,? (?:Apt|Suite|Unit|Flat)\.? ?#?\w{1,5})?(?:,? [A-Z][\w .]{1,30},? [A-Z]{2} \d{5}(?:-\d{4})?)?"
    r"|\b[A-ZÄÖÜ][\w-]*(?:straße|strasse|str\.|weg|platz|allee|gasse) \d{1,4} ?[a-z]?\b(?:,? \d{5} [A-ZÄÖÜ]\w+)?"
    r"|\b\d{1,4}(?: (?:bis|ter))?,? (?i:rue|boulevard|chemin|quai|impasse) (?:\w+['’ ]){0,3}\w+(?:,? \d{5} [A-Z]\w+)?"
    r"|\b(?:Calle|Avenida|Via|Viale|Piazza|Corso) (?:\w+ ){0,3}\w+,? (?:n\.? ?º? ?)?\d{1,4}\b"
    r"|\b(?i:p\.? ?o\.? ?box) \d{1,6}\b|\b[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}\b"
)
_SUSPECT = re.compile(r"[@＠]|\d")
_MIN_CARD_DIGITS, _MAX_CARD_DIGITS = 13, 19


def redacted(event: Event, policy: Redaction = DEFAULT_REDACTION) -> tuple[Event, Mapping[Kind, int]]:
    """The event without personal details in what its user wrote, and how many of each kind there were."""
    pen = _Pen(policy)
    return pen.redacted(event), +pen.found


class _Pen:
    """Takes out of one event what the policy names, and counts it."""

    def __init__(self, policy: Redaction) -> None:
        self._policy = policy
        self.found: Counter[Kind] = Counter()

    def redacted(self, event: Event) -> Event:
        match event:
            case Post():
                return replace(event, text=self._text(event.text, "post"))
            case Comment():
                item = self._item(event.item) if event.item else None
                text, answered = self._text(event.text, "comment"), self._text(event.in_reply_to, "comment")
                return replace(event, text=text, in_reply_to=answered, item=item)
            case Message():
                return replace(event, text=self._text(event.text, "message"))
            case Search():
                return replace(event, query=self._text(event.query, "search"))
            case Feedback():
                return replace(event, text=self._text(event.text, "feedback"), item=self._item(event.item))
            case Choice():
                rejected = tuple(map(self._item, event.rejected))
                query = self._text(event.query, "search")
                return replace(event, query=query, chosen=self._item(event.chosen), rejected=rejected)
            case View() | Click() | Skip() | Purchase() | Rating():
                return replace(event, item=self._item(event.item)) if self._touches_items else event

    @property
    def _touches_items(self) -> bool:
        return bool(self._policy.kinds.get("title") or self._policy.kinds.get("attribute"))

    def _item(self, item: Item) -> Item:
        if not self._touches_items:
            return item
        attributes = {
            name: tuple(self._text(value, "attribute") for value in values) for name, values in item.attributes.items()
        }
        return replace(item, title=self._text(item.title, "title"), attributes=attributes)

    def _text(self, text: str, where: Field) -> str:
        kinds = self._policy.kinds.get(where, _NONE)
        if not kinds or _SUSPECT.search(text) is None:
            return text
        text = _readable(text)
        # A card number could be somebody's phone number, and a house number the end of one.
        for kind in KINDS:
            if kind in kinds:
                text = self._without(kind, text)
        return text

    def _without(self, kind: Kind, text: str) -> str:
        spans = _spans(kind, text, self._policy.phone_regions)
        self.found[kind] += len(spans)
        for begin, end in reversed(spans):
            text = text[:begin] + _WORDS[kind] + text[end:]
        return text


def _readable(text: str) -> str:
    """As much as is read, without half a word at its end, and without what nobody sees, as between two digits."""
    if len(text) > MAX_CHARS:
        text = text[:MAX_CHARS].rsplit(None, 1)[0] + " …"
    return without_invisible(text)


def _spans(kind: Kind, text: str, phone_regions: tuple[str, ...]) -> list[tuple[int, int]]:
    match kind:
        case "email":
            return [found.span() for found in _EMAIL.finditer(text)]
        case "card":
            return [found.span() for found in _CARD.finditer(text) if _is_card(found[0])]
        case "phone":
            return _phones(text, phone_regions) if _NUMBER.search(text) else []
        case "address":
            return [found.span() for found in _ADDRESS.finditer(text)]


def _is_card(text: str) -> bool:
    digits = "".join(str(unicodedata.digit(character)) for character in text if character.isdecimal())
    return _MIN_CARD_DIGITS <= len(digits) <= _MAX_CARD_DIGITS and luhn.is_valid(digits)


def _phones(text: str, regions: tuple[str, ...]) -> list[tuple[int, int]]:
    """Where the numbers are, each once; without a region only those with a ``+``."""
    found = {
        (match.start, match.end)
        for region in regions or (None,)
        for match in PhoneNumberMatcher(text, region, leniency=Leniency.VALID, max_tries=100)
    }
    spans: list[tuple[int, int]] = []
    for begin, end in sorted(found):
        if spans and begin < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((begin, end))
    return spans
