"""The script: what one person does, in order, and what each step must lead to.

A step is a line of :data:`SCRIPT`; a new control is shown by a new one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from deploy.demo_controls.promises import Foreseen, Story
from prefstream.commands import Command, Edit, Never, Pin, RollBack
from prefstream.events import Event, Item, Rating, Search

USER = "ada"
_BEGAN = datetime(2026, 1, 5, 20, 15, tzinfo=UTC)

Asks = Callable[[Story, dict[str, Any]], Command]
"""The command, given the story so far and what every command carries."""


class Step(NamedTuple):
    """One thing that happens: events, or a command; ``name`` is how later steps call the version behind it."""

    name: str
    caption: str
    events: tuple[Event, ...] = ()
    asks: Asks | None = None
    foreseen: Foreseen = Foreseen()


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
)
