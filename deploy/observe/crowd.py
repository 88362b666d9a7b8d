"""The crowd: whose real ratings are replayed: many people side by side, each in their own order, at one steady pace.

Place in the flow: between the demo's ratings and its replay. In real order of time a few people rate at a time, dozens of films
each, in 1997; here everybody rates a film now and then, as the users of a platform do, and does so now. Nobody's order is
changed.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from deploy.demo.movielens import PastRating

NUM_PEOPLE = 160
RATINGS_PER_SECOND = 20
_LATEST_JOINS_AFTER = 15  # ratings of the first one: so their minutes do not all end at the same moment


def side_by_side(ratings: Sequence[PastRating], num_people: int, num_ratings: int, began: int) -> list[PastRating]:
    """So many ratings of so many people in turn, dated from ``began`` on (seconds since 1970).

    They are the first people, in order of time, who have enough. Raises ValueError when there are too few of them.
    """
    each = -(-num_ratings // num_people) + _LATEST_JOINS_AFTER
    histories: dict[int, list[PastRating]] = {}
    for rating in ratings:
        histories.setdefault(rating.user, []).append(rating)
    long = [history[:each] for history in histories.values() if len(history) >= each][:num_people]
    if len(long) < num_people:
        raise ValueError(f"only {len(long)} people have {each} ratings: {num_people} are wanted")
    places = [
        (place + _LATEST_JOINS_AFTER * who / num_people, who, place) for who in range(num_people) for place in range(each)
    ]
    chosen = [long[who][place] for _, who, place in sorted(places)[:num_ratings]]
    return [replace(rating, at_seconds=began + number // RATINGS_PER_SECOND) for number, rating in enumerate(chosen)]
