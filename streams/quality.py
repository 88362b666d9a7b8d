"""Quality: whether the summary in force tells what somebody takes from what they leave (choice → **verdict** → metric).

A prequential test: collect asks it of each new choice while the summary knows nothing of it, and only then is the choice
evidence for the next one. So every choice is test and training, and nothing is set aside. What counts is a `choice` with items
left beside the one taken: there alone the person said which of two they wanted, at one moment and from one list. Ratings,
clicks and feedback are about one item each; pairs made of two of them depend on who makes the pairs. :mod:`streams.lexical`
reads the summary, so what is measured is what its words alone tell: silence is common, and no fault of the text.
"""

from __future__ import annotations

from typing import Literal, TypeGuard

from prefstream.events import Choice, Event
from streams.evolution.prose import parse
from streams.lexical import lean

Verdict = Literal["right", "wrong", "silent"]

MAX_LEFT = 10
"""Of the items left so many are compared: 20 µs each, beside about 90 µs that an event costs a worker."""


def is_clear(event: Event) -> TypeGuard[Choice]:
    """Whether the event says that one item was taken and another one left."""
    return isinstance(event, Choice) and any(item.id != event.chosen.id for item in event.rejected)


def verdict_on(text: str, choice: Choice) -> Verdict:
    """How a summary that knows nothing of this clear choice would have chosen.

    ``right``: what was taken is ahead of more of the items left than it is behind, ``wrong``: the other way round, so chance is
    one half however many were left. ``silent``: it tells them not apart, or is ahead of as many as it is behind.
    """
    claims = parse(text)
    left = [item for item in choice.rejected if item.id != choice.chosen.id][:MAX_LEFT]
    leans = [lean(claims, choice.chosen, item, choice.domain) for item in left]
    ahead = sum(one > 0 for one in leans) - sum(one < 0 for one in leans)
    return "right" if ahead > 0 else "wrong" if ahead < 0 else "silent"
