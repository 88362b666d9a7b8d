"""Variety: what a platform's events and a person's wishes can look like, made from ratings (people → **variety** → examples).

Ratings alone would teach a model to read ratings. So some people act instead of rating, some have a second domain with items
of our own invention, and some have pinned a sentence or written some of the text themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import TypedDict

from msgspec import Struct

from evaluation.records import Person
from prefstream.events import Choice, Click, Event, Feedback, Item, Post, Purchase, Rating, Search, Skip, View

PINS = (
    "No horror, please.",
    "I only watch films with subtitles.",
    "Nothing longer than two hours.",
    "I watch with my children on Sundays.",
    "Please keep spoilers away from me.",
    "I am colour-blind.",
    "I prefer to own rather than rent.",
    "Ask me before you suggest sequels.",
    "I live in a small flat.",
    "Never anything with spiders.",
    "I like to be surprised.",
    "Old films are fine in black and white.",
    "I am learning Spanish.",
    "Evenings only.",
    "Nothing violent on weekdays.",
    "My budget is small.",
)
OWN_WORDS = (
    "I go to the cinema with friends.",
    "I mostly watch at night.",
    "I read the book first.",
    "I used to work in a video shop.",
    "A good score matters to me.",
    "I give up after twenty minutes if nothing happens.",
    "I share this account with my sister.",
    "I look for directors, not actors.",
    "The older I get, the less I like noise.",
    "I collect soundtracks.",
)
_OPINIONS = (
    "I could see {} again tomorrow",
    "everybody should know {}",
    "{} was not what I had hoped for",
    "I do not understand the praise for {}",
    "finally saw {} with my brother",
    "{} made me think for days",
)
_QUERIES = ("new {}", "best {} of the year", "{} like last week's", "short {}", "{} for the whole family", "quiet {}")

# Of a second domain; the words are put together at random.
_DOMAINS = {
    "books": (("novel", "memoir", "poetry", "history", "essays", "science"), ("The {a} {n}", "{n} and {n2}", "A {a} {n}")),
    "clothes": (("knits", "dresses", "outerwear", "denim", "shoes", "linen"), ("{a} {n} Dress", "{n} Cardigan", "{a} Coat")),
    "music": (("jazz", "folk", "techno", "soul", "opera", "punk"), ("{a} {n}", "Songs for {n}", "{n} Sessions")),
    "recipes": (("soup", "baking", "vegan", "grill", "salad", "pasta"), ("{a} {n} Stew", "{n} Pie", "{a} Bread with {n}")),
}
_ADJECTIVES = ("Quiet", "Golden", "Northern", "Broken", "Second", "Velvet", "Late", "Hidden", "Paper", "Wild", "Blue", "Slow")
_NOUNS = (
    "Harbour",
    "Orchard",
    "Winter",
    "Letters",
    "River",
    "Almond",
    "Lantern",
    "Fennel",
    "Mirror",
    "Garden",
    "Thunder",
    "Salt",
)


class _Common(TypedDict):
    user: str
    at: datetime
    domain: str


class Wishes(Struct, frozen=True):
    """What a person told the system themselves: sentences they pinned, and sentences they wrote into the text."""

    pins: tuple[str, ...] = ()
    own_words: tuple[str, ...] = ()


def wishes(random: Random, share: float = 0.15) -> Wishes:
    """The wishes of one person: of ``share`` of them one or two pins, and as often words of their own."""
    pins = tuple(random.sample(PINS, random.choice((1, 1, 2)))) if random.random() < share else ()
    own_words = (random.choice(OWN_WORDS),) if random.random() < share else ()
    return Wishes(pins, own_words)


def varied(person: Person, random: Random) -> Person:
    """The person as another platform would have met them: seven of ten rate, the others act; one in five has two domains."""
    events: Sequence[Event] = person.events
    if random.random() < 0.3:
        events = list(_acted(events, random))
    if random.random() < 0.2:
        events = list(_with_second_domain(events, random))
    return Person(person.user, tuple(events))


def _acted(events: Sequence[Event], random: Random) -> Iterator[Event]:
    left: list[Item] = []
    for event in events:
        if not isinstance(event, Rating) or random.random() < 0.3:
            yield event
            continue
        yield _act(event, left, random)
        if event.value < 3:
            left.append(event.item)
        if random.random() < 0.06:
            yield _spoken(event, random)


def _act(event: Rating, left: Sequence[Item], random: Random) -> Event:
    """What somebody does who would rate so: a strong act for a strong feeling."""
    common: _Common = {"user": event.user, "at": event.at, "domain": event.domain}
    if event.value >= 4.5:
        rejected = tuple(random.sample(left, min(len(left), random.randint(1, 2))))
        strong = (
            Purchase(**common, item=event.item),
            Feedback(**common, item=event.item, liked=True),
            Choice(**common, chosen=event.item, rejected=rejected),
        )
        return random.choice(strong)
    if event.value >= 3.5:
        return View(**common, item=event.item, completion=round(random.uniform(0.85, 1.0), 2))
    if event.value >= 2.5:
        return random.choice((Click(**common, item=event.item), View(**common, item=event.item, completion=0.3)))
    if event.value >= 1.5:
        return Skip(**common, item=event.item)
    return random.choice((Feedback(**common, item=event.item, liked=False), Purchase(**common, item=event.item, returned=True)))


def _spoken(event: Rating, random: Random) -> Event:
    at, genres = event.at + timedelta(seconds=1), [value for values in event.item.attributes.values() for value in values]
    if genres and random.random() < 0.5:
        query = random.choice(_QUERIES).format(random.choice(genres))
        return Search(user=event.user, at=at, domain=event.domain, query=query)
    text = random.choice(_OPINIONS).format(event.item.title)
    return Post(user=event.user, at=at, domain=event.domain, text=text)


def _with_second_domain(events: Sequence[Event], random: Random) -> Iterator[Event]:
    domain = random.choice(sorted(_DOMAINS))
    kinds, _ = _DOMAINS[domain]
    tastes = {kind: random.choice((-1.0, 0.3, 1.0)) for kind in kinds}
    for number, event in enumerate(events):
        yield event
        if random.random() < 0.4:
            kind = random.choice(kinds)
            value = min(5.0, max(1.0, float(round(3.2 + 1.3 * tastes[kind] + random.gauss(0, 0.7)))))
            item = Item(f"{domain}-{number}", _invented(domain, random), {"kind": (kind,)})
            yield Rating(user=event.user, at=event.at, domain=domain, item=item, value=value)


def _invented(domain: str, random: Random) -> str:
    _, titles = _DOMAINS[domain]
    noun, other = random.sample(_NOUNS, 2)
    return random.choice(titles).format(a=random.choice(_ADJECTIVES), n=noun, n2=other)
