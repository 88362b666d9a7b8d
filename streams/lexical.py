"""Lexical: to which of two items a summary's claims lean, by its words alone (summary → **claims** → which item).

The plainest reader of a summary there is: it knows no catalogue and learns nothing. An item is worth what the summary says of
its title, and of its attributes on average, counted with one more of which it says nothing: two that are loved are worth more
than one. So any text can be asked whether it tells two items apart: live, the summary in force when somebody chooses, and in
training, what a model wrote.
"""

from __future__ import annotations

from collections.abc import Iterator

from prefstream.events import Item
from streams.evolution.prose import MAX_ATTRIBUTE_CHARS, MAX_TITLE_CHARS, Claims, Section, quotable
from streams.tally import spoken_attributes

# A title is the item itself, and outweighs whatever is said of its attributes.
_ATTRIBUTE_WORTH = {"loves": 1.0, "likes": 0.5, "mixed": -0.25, "dislikes": -1.0, "often": 0.5}
_TITLE_WORTH = {"favourites": 2.0, "did_not_enjoy": -2.0}


def lean(claims: Claims, first: Item, second: Item, domain: str = "") -> float:
    """How far the claims lean to the first item: positive for the first, negative for the second, 0 when nothing speaks.

    Exchanging the items turns the sign and changes nothing else. With a ``domain`` only its own section speaks, and the one
    that has no name. A lean is within -6 to +6 where the claims name nothing twice.
    """
    worth = _worth(claims, domain.casefold())
    return _of_item(worth, first) - _of_item(worth, second)


def _worth(claims: Claims, domain: str) -> dict[tuple[bool, str], float]:
    """What each claim is worth, by whether it is a title and by its words; what is said twice counts twice."""
    worth: dict[tuple[bool, str], float] = {}
    for section in claims.sections:
        if not domain or section.domain.casefold() in ("", domain):
            for key, value in _claimed(section):
                worth[key] = worth.get(key, 0.0) + value
    return worth


def _claimed(section: Section) -> Iterator[tuple[tuple[bool, str], float]]:
    for is_title, kinds in enumerate((_ATTRIBUTE_WORTH, _TITLE_WORTH)):
        for kind, value in kinds.items():
            yield from (((bool(is_title), words.casefold()), value) for words in getattr(section, kind))


def _of_item(worth: dict[tuple[bool, str], float], item: Item) -> float:
    title = _as_claimed(item.title, MAX_TITLE_CHARS)
    attributes = [_as_claimed(words, MAX_ATTRIBUTE_CHARS) for words in spoken_attributes(item)]
    levels = [worth.get((False, words), 0.0) for words in attributes]
    return worth.get((True, title), 0.0) + sum(levels) / (len(levels) + 1)


def _as_claimed(text: str, max_chars: int) -> str:
    """The words as a summary has them: they went through a prompt."""
    return quotable(text, max_chars).casefold()
