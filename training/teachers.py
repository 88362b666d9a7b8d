"""Teachers of S2 by code: five ways to pick the claims that matter for a choice (what is known → **teacher** → S2).

They see what a summary may say and two items. They look at both items alike: a pick that knew which one was taken
would teach what no prompt can show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from evaluation.catalogue import Catalogue, written
from prefstream.events import Item
from streams.evolution.prose import Claims, Section
from streams.tally import spoken_attributes
from training.merging import Pick, Rules, Teacher, picking

NUM_FAVOURITES = 5
NUM_DISLIKES = 2
_LEVELS = ("loves", "likes", "mixed", "dislikes", "often")
_TITLES = ("favourites", "did_not_enjoy")

Order = Callable[[str, tuple[Item, Item]], float]
"""How little a title matters for a choice between the items: titles are picked from the smallest on."""


def by_code(catalogue: Catalogue, rules: Rules) -> tuple[Teacher, ...]:
    """The five teachers, for people whom the catalogue does not know."""
    picks = {
        "recent": recent,
        "near": in_order(nearest(catalogue)),
        "distinctive": in_order(rarest(catalogue)),
        "shared": shared,
        "levels": level_by_level,
    }
    return tuple(picking(name, pick, rules) for name, pick in picks.items())


def recent(known: Claims, items: tuple[Item, Item]) -> Claims:
    """The newest titles and the strongest levels: what production would say in so few tokens."""
    return _each(known, lambda section: _with_levels(_newest(section), section, 2))


def level_by_level(known: Claims, items: tuple[Item, Item]) -> Claims:
    """The levels alone, all of them."""
    return _each(known, lambda section: _with_levels(Section(domain=section.domain), section, 5))


def shared(known: Claims, items: tuple[Item, Item]) -> Claims:
    """The levels of what either item has, and the newest titles."""
    theirs = {value for item in items for value in spoken_attributes(item)}

    def picked(section: Section) -> Section:
        said = {kind: tuple(value for value in getattr(section, kind) if value in theirs) for kind in _LEVELS}
        return replace(_newest(section), **said)

    return _each(known, picked)


def in_order(order: Order) -> Pick:
    """The titles that the order puts first, and no levels."""

    def picked(section: Section, items: tuple[Item, Item]) -> Section:
        first, second = (sorted(getattr(section, kind), key=lambda title: order(title, items)) for kind in _TITLES)
        return _titled(section, first, second)

    return lambda known, items: _each(known, lambda section: picked(section, items))


def nearest(catalogue: Catalogue) -> Order:
    """Titles that the same people like as either of the two items come first."""

    def distance(title: str, items: tuple[Item, Item]) -> float:
        mine = catalogue.titled.get(written(title), ())
        theirs = [catalogue.rows[item.id] for item in items if item.id in catalogue.rows]
        return -max((float(catalogue.liked_together[row, other]) for row in mine for other in theirs), default=0.0)

    return distance


def rarest(catalogue: Catalogue) -> Order:
    """Titles that few people met come first."""

    def popularity(title: str, items: tuple[Item, Item]) -> float:
        return max((float(catalogue.counts[row]) for row in catalogue.titled.get(written(title), ())), default=0.0)

    return popularity


def _each(known: Claims, pick: Callable[[Section], Section]) -> Claims:
    return Claims(tuple(map(pick, known.sections)))


def _newest(section: Section) -> Section:
    return _titled(section, section.favourites, section.did_not_enjoy)


def _titled(section: Section, favourites: Iterable[str], dislikes: Iterable[str]) -> Section:
    first, second = tuple(favourites)[:NUM_FAVOURITES], tuple(dislikes)[:NUM_DISLIKES]
    return Section(domain=section.domain, favourites=first, did_not_enjoy=second)


def _with_levels(titled: Section, section: Section, most: int) -> Section:
    return replace(titled, **{kind: getattr(section, kind)[:most] for kind in _LEVELS})
