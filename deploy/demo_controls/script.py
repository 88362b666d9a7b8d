"""The script: what one person does, in order, and what each step must lead to.

A step is a line of :data:`SCRIPT`; a new control is shown by a new one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from deploy.demo_controls.promises import Foreseen, Story
from prefstream.commands import Command, Edit, Forget, Never, Pin, RollBack
from prefstream.events import Event, Item, Rating, Search

USER = "ada-1815"  # nothing else has these letters by chance: they are looked for on the disk
_BEGAN = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)

Asks = Callable[[Story, dict[str, Any]], Command]
"""The command, given the story so far and what every command carries."""


Looks = Literal["", "history", "absence", "accounts"]


class Step(NamedTuple):
    """One thing that happens: events, a command, or a look at what is kept.

    ``name`` is how later steps call the version behind it. ``late`` events happened when their dates say, and come only now;
    with ``is_now`` the others happen as they come.
    """

    name: str
    caption: str
    events: tuple[Event, ...] = ()
    late: tuple[Event, ...] = ()
    is_now: bool = False
    asks: Asks | None = None
    foreseen: Foreseen = Foreseen()
    looks: Looks = ""


def rated(number: int, title: str, stars: int, *genres: str) -> Rating:
    """A rating of a film, one a day."""
    item = Item(id=f"film-{number}", title=title, attributes={"genre": genres})
    return Rating(user=USER, at=_BEGAN + timedelta(days=number), id=f"r{number}", domain="films", item=item, value=stars)


def searched(number: int, query: str) -> Search:
    """What was typed."""
    return Search(user=USER, at=_BEGAN + timedelta(days=number), id=f"s{number}", domain="films", query=query)


FIRST_EVENTS = (
    rated(1, "The Long Trench", 5, "war", "drama"),
    rated(2, "Letters from the Harbour", 5, "drama"),
    rated(3, "Night Patrol", 5, "war"),
    rated(4, "Cabin of Screams", 1, "horror"),
    rated(5, "The Bridge at Dawn", 5, "war"),
    rated(6, "The Last Ferry", 5, "drama"),
    rated(7, "It Waits Below", 1, "horror"),
    rated(8, "A House in March", 5, "drama"),
    rated(9, "Teeth", 2, "horror"),
    searched(10, "slow films about the sea"),
)
LATER_EVENTS = (
    rated(11, "Two Suitcases", 5, "comedy"),
    rated(12, "Front Line, No Return", 5, "war"),
    rated(13, "The Baker's Wedding", 5, "comedy"),
    rated(14, "War and Other Songs", 5, "war", "comedy"),
    rated(15, "A Summer in Socks", 5, "comedy"),
    rated(16, "Night Patrol 2", 5, "war"),
    rated(17, "My Uncle's Boat", 5, "comedy"),
    rated(18, "The Last Trench", 5, "war", "drama"),
    rated(19, "The Wrong Piano", 5, "comedy"),
    searched(20, "best war films"),
)
LATE_EVENTS = (rated(21, "The Longest Patrol", 5, "war"), rated(22, "Songs of the Ferry", 5, "drama"))
NEW_EVENTS = tuple(
    rated(number, title, 5, "western")
    for number, title in enumerate(
        (
            "Dust",
            "Two Horses",
            "The Well at Noon",
            "A Fence in Utah",
            "Rain on the Mesa",
            "The Quiet Deputy",
            "Salt Flats",
            "One Spur",
            "Coyote Hour",
            "The Long Drive",
        ),
        start=31,
    )
)
PINNED = "With subtitles, never dubbed."
OWN = "Watches on Sundays, with her father."

SCRIPT = (
    Step("met", "She rates and searches", FIRST_EVENTS, foreseen=Foreseen(says=("drama", "war", "horror"))),
    Step(
        "edited",
        "She puts the text in her own words",
        asks=lambda _, mine: Edit(text=f"Loves drama and war. {OWN}", **mine),
        foreseen=Foreseen(says=("drama", "war"), own_words=(OWN,)),
    ),
    Step("pinned", "She pins a sentence", asks=lambda _, mine: Pin(statement=PINNED, **mine)),
    Step(
        "forbidden",
        "She never wants to hear of one thing again",
        asks=lambda _, mine: Never(subject="war", **mine),
        foreseen=Foreseen(says=("drama",)),
    ),
    Step("learnt", "She goes on watching, war films too", LATER_EVENTS, foreseen=Foreseen(says=("comedy",))),
    Step(
        "refused",
        "What contradicts her own wish is refused",
        asks=lambda _, mine: Pin(statement="War films first.", **mine),
        foreseen=Foreseen(refusal="contradicts_never"),
    ),
    Step(
        "rolled back",
        "She liked it better before those films",
        asks=lambda story, mine: RollBack(version=story.marks["forbidden"].version, **mine),
        foreseen=Foreseen(same_as="forbidden"),
    ),
    Step(
        "rolled back to the first",
        "She goes back to the very first, and what she forbade since stays out",
        asks=lambda story, mine: RollBack(version=story.marks["met"].version, **mine),
        foreseen=Foreseen(says=("drama", "horror"), own_words=()),
    ),
    Step("history", "What was said before, and why it changed", looks="history"),
    Step("forgotten", "She wants to be forgotten", asks=lambda _, mine: Forget(**mine)),
    Step("searched", "What is left of her, byte by byte, on the topics and on the worker's disk", looks="absence"),
    Step(
        "new life",
        "She comes back; of what she did before, some arrives only now",
        NEW_EVENTS,
        LATE_EVENTS,
        is_now=True,
        foreseen=Foreseen(says=("western",)),
    ),
    Step("accounts", "The accounts, from the topics alone", looks="accounts"),
)
