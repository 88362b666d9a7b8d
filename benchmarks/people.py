"""Real people's film ratings as events: what the benchmarks with a real model publish, and write prompts of.

Place: outside the flow, before it. MovieLens 100K: 943 people, 20 to 737 ratings each, in order of time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice

from msgspec.structs import replace

from deploy.demo.movielens import PastRating, load_ratings
from prefstream.events import Item, Rating

FLUSH_EVENTS = 20
FLUSH_TOKENS = 2_400  # more than twenty ratings take, and less than fits the smallest context of a profile


def load_histories() -> dict[str, list[Rating]]:
    """Everybody's ratings in order of time, by user, as events."""
    histories: defaultdict[str, list[Rating]] = defaultdict(list)
    for past in load_ratings():
        histories[str(past.user)].append(_event(past))
    return dict(histories)


def _event(past: PastRating) -> Rating:
    item = Item(id=str(past.film.id), title=past.film.title, attributes={"genre": past.film.genres})
    at = datetime.fromtimestamp(past.at_seconds, UTC)
    return Rating(user=str(past.user), at=at, domain="films", item=item, value=past.stars)


def new_users(num_users: int) -> dict[str, list[Rating]]:
    """So many users with twenty events each: everybody's first twenty ratings, then as others their next twenty, and so on.

    There are 4,500 of them at most.
    """
    histories = load_histories()
    most = max(map(len, histories.values()))
    shares = (
        share for start in range(0, most, FLUSH_EVENTS) for share in _shares(histories, start) if len(share[1]) == FLUSH_EVENTS
    )
    return dict(islice(shares, num_users))


def _shares(histories: dict[str, list[Rating]], start: int) -> Iterator[tuple[str, list[Rating]]]:
    for user, ratings in histories.items():
        name = f"{user}-{start // FLUSH_EVENTS}"
        yield name, renamed(ratings[start : start + FLUSH_EVENTS], name)


def renamed(ratings: Sequence[Rating], user: str) -> list[Rating]:
    """The same ratings as those of ``user``."""
    return [replace(rating, user=user) for rating in ratings]


def long_histories(num_histories: int, num_events: int) -> dict[str, tuple[list[Rating], int]]:
    """The longest histories, by user, each with how many of its events are the user's own.

    Nobody in the data rated 1,000 films (the most is 737). After a user's own ratings follow those that the next in order of
    diligence gave to other films, and so on; each person is in one history.
    """
    diligent = iter(sorted(load_histories().values(), key=lambda ratings: (-len(ratings), ratings[0].user)))
    return dict(_long_history(diligent, num_events) for _ in range(num_histories))


def _long_history(diligent: Iterator[list[Rating]], num_events: int) -> tuple[str, tuple[list[Rating], int]]:
    own = next(diligent)
    history, films = list(own), {rating.item.id for rating in own}
    while len(history) < num_events:
        more = [rating for rating in next(diligent) if rating.item.id not in films]
        films.update(rating.item.id for rating in more)
        history += renamed(more, own[0].user)
    return own[0].user, (history[:num_events], min(len(own), num_events))
